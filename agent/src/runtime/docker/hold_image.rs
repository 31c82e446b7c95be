//! The image of holders: one static program that pauses, brought along and imported when it is missing.

use bollard::query_parameters::{CreateImageOptions, ListImagesOptions, RemoveImageOptions};
use futures::TryStreamExt;
use std::sync::LazyLock;

use super::engine::{CHANGE_LIMIT, Engine, EngineError, LOOK_LIMIT};

/// Built by `build.rs` from `hold/hold.rs`.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hold"));
/// In the image.
const PATH: &str = "hold";
const REPOSITORY: &str = "remuda/hold";

/// See the module.
pub(super) struct HoldImage;

impl HoldImage {
    /// `remuda/hold:<digest of the program>`: another program is another image, and holders keep the one they have.
    pub(super) fn name() -> &'static str {
        static NAME: LazyLock<String> = LazyLock::new(|| format!("{REPOSITORY}:{}", tag()));
        &NAME
    }

    /// Nothing if somebody else just did it.
    pub(super) async fn import(engine: &Engine) -> Result<(), EngineError> {
        let look = |docker: bollard::Docker| async move { docker.inspect_image(Self::name()).await };
        if engine.ask(LOOK_LIMIT, look).await.is_ok() {
            return Ok(());
        }
        let options = CreateImageOptions {
            from_src: Some("-".into()),
            repo: Some(REPOSITORY.into()),
            tag: Some(tag()),
            changes: vec![format!("ENTRYPOINT [\"/{PATH}\"]")],
            ..CreateImageOptions::default()
        };
        let body = bollard::body_full(archive().into());
        let import = |docker: bollard::Docker| async move {
            let told: Vec<_> = docker.create_image(Some(options), Some(body), None).try_collect().await?;
            Ok(told)
        };
        engine.ask(CHANGE_LIMIT, import).await.map(drop)
    }

    /// Every version of it; one that a container still needs stays.
    pub(super) async fn remove(engine: &Engine) -> Result<(), EngineError> {
        let filters = [("reference".to_owned(), vec![REPOSITORY.to_owned()])];
        let options = ListImagesOptions { filters: Some(filters.into()), ..ListImagesOptions::default() };
        let images = engine.ask(LOOK_LIMIT, |docker| async move { docker.list_images(Some(options)).await }).await?;
        for name in images.iter().flat_map(|image| &image.repo_tags) {
            let remove = |docker: bollard::Docker| async move {
                docker.remove_image(name, None::<RemoveImageOptions>, None).await
            };
            match engine.ask(CHANGE_LIMIT, remove).await {
                Err(error) if !error.is_missing() && !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn tag() -> String {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(PROGRAM);
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// A file system that holds the program alone.
fn archive() -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(PROGRAM.len() as u64);
    let mut archive = tar::Builder::new(Vec::new());
    // Both write to memory, which takes everything, and the path is short.
    let _ = archive.append_data(&mut header, PATH, PROGRAM);
    archive.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_archive_holds_one_program_that_is_static() {
        let archive = archive();
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut entries = archive.entries().expect("an archive");
        let mut entry = entries.next().expect("an entry").expect("readable");
        assert_eq!(entry.path().expect("a path").as_ref(), std::path::Path::new(PATH));
        assert_eq!(entry.header().mode().expect("a mode"), 0o755);
        let mut program = Vec::new();
        entry.read_to_end(&mut program).expect("its content");
        assert!(program.starts_with(b"\x7fELF") && program == PROGRAM);
        assert!(!program.windows(6).any(|bytes| bytes == b"ld-lin"), "it needs no loader");
        assert!(entries.next().is_none());
    }
}
