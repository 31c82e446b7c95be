//! Stand-ins for images that cannot be pulled here: the project's own static `whoami` under any name.
//!
//! The archive is what `docker save` writes, so an engine loads it with entrypoint, environment and port as from a registry.

use crate::lab::root;
use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// An archive for `docker load`: `whoami` as image `name` (`repository[:tag]`), answering on `port`.
///
/// Errors with the command that builds `whoami` when it is not built.
pub fn stand_in(name: &str, port: u16) -> Result<Vec<u8>> {
    let path = whoami();
    let program = std::fs::read(&path)
        .with_context(|| format!("{} is not built; run: cargo xtask lab load-image --help", path.display()))?;
    archive(&with_tag(name), port, &program)
}

/// Where the static `whoami` lies once `cargo xtask` has built it.
pub fn whoami() -> PathBuf {
    root().join("target").join(target()).join("release/whoami")
}

/// What it is built for: given to cargo, so that what is static about it stays out of everything else's build.
pub fn target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn archive(name: &str, port: u16, program: &[u8]) -> Result<Vec<u8>> {
    let layer = tar(&[("whoami", 0o755, program)])?;
    let config = serde_json::to_vec(&json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "2000-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/whoami"],
            "Env": ["PATH=/", format!("PORT={port}")],
            "ExposedPorts": {(format!("{port}/tcp")): {}},
            "Labels": {"org.opencontainers.image.title": "Remuda's whoami, a stand-in"},
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex(&layer))]},
        "history": [{"created_by": "cargo xtask lab load-image"}],
    }))?;
    let config_name = format!("{}.json", hex(&config));
    let manifest = serde_json::to_vec(&json!([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]))?;
    tar(&[(&config_name, 0o644, &config), ("layer.tar", 0o644, &layer), ("manifest.json", 0o644, &manifest)])
}

/// Names, modes and contents as a tar archive; always the same bytes for the same input.
fn tar(files: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, *content)?;
    }
    Ok(archive.into_inner()?)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What Docker calls this machine's.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// `latest` where none is written; a colon before the last slash belongs to a registry's port.
fn with_tag(name: &str) -> String {
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if has_tag { name.to_owned() } else { format!("{name}:latest") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::io::Read;

    #[test]
    fn an_image_without_a_tag_is_latest() {
        assert_eq!(with_tag("rawmind/hms"), "rawmind/hms:latest");
        assert_eq!(with_tag("edtasixm11/k19:hello"), "edtasixm11/k19:hello");
        assert_eq!(with_tag("localhost:5000/hms"), "localhost:5000/hms:latest");
    }

    #[test]
    fn an_archive_holds_what_its_manifest_names() {
        let archive = archive("x/y:latest", 8080, b"\x7fELF").unwrap();
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), content);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], "x/y:latest");
        let config = &files[manifest[0]["Config"].as_str().unwrap()];
        let config: serde_json::Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(&files["layer.tar"])));
        assert_eq!(config["config"]["Env"][1], "PORT=8080");
    }
}
