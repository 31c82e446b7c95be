//! Mounts, in the engine's two ways of saying them.

use bollard::models::{
    Mount as EngineMount, MountBindOptions, MountBindOptionsPropagationEnum, MountTmpfsOptions, MountType,
    MountVolumeOptions,
};
use remuda_api::engine::Mount;

/// `Binds` (`source:target:options`) and `Mounts`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Mounts {
    pub(super) binds: Vec<String>,
    pub(super) mounts: Vec<EngineMount>,
}

/// Only `Binds` make a missing folder on the host (`create_mountpoint` is newer than 20.10), and cannot name a path
/// with a colon; everything else goes by `Mounts`.
pub(super) fn mounts(all: &[Mount]) -> Mounts {
    let mut said = Mounts::default();
    for mount in all {
        let has_colon = mount.source.contains(':') || mount.target.contains(':');
        match mount.kind.as_str() {
            "bind" if !mount.must_exist && !has_colon => said.binds.push(bind(mount)),
            _ => said.mounts.push(long(mount)),
        }
    }
    said
}

fn bind(mount: &Mount) -> String {
    let access = if mount.read_only { "ro" } else { "rw" };
    let propagation = match mount.propagation.as_str() {
        "" => String::new(),
        word => format!(",{word}"),
    };
    format!("{}:{}:{access}{propagation}", mount.source, mount.target)
}

fn long(mount: &Mount) -> EngineMount {
    let typ = match mount.kind.as_str() {
        "bind" => MountType::BIND,
        "tmpfs" => MountType::TMPFS,
        _ => MountType::VOLUME,
    };
    EngineMount {
        target: Some(mount.target.clone()),
        source: Some(mount.source.clone()).filter(|source| !source.is_empty()),
        typ: Some(typ),
        read_only: Some(mount.read_only),
        bind_options: propagation(&mount.propagation)
            .map(|word| MountBindOptions { propagation: Some(word), ..MountBindOptions::default() }),
        volume_options: mount
            .no_copy
            .then(|| MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        tmpfs_options: (typ == MountType::TMPFS).then(|| MountTmpfsOptions {
            size_bytes: Some(mount.tmpfs_bytes).filter(|bytes| *bytes > 0).map(|bytes| bytes as i64),
            mode: Some(mount.tmpfs_mode).filter(|mode| *mode > 0).map(i64::from),
            ..MountTmpfsOptions::default()
        }),
        ..EngineMount::default()
    }
}

fn propagation(word: &str) -> Option<MountBindOptionsPropagationEnum> {
    word.parse().ok().filter(|word| *word != MountBindOptionsPropagationEnum::EMPTY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(kind: &str, source: &str) -> Mount {
        Mount { kind: kind.into(), source: source.into(), target: "/data".into(), ..Mount::default() }
    }

    #[test]
    fn a_folder_of_the_host_is_made_if_it_is_missing_unless_it_must_exist() {
        let short = Mount { read_only: true, propagation: "rslave".into(), ..mount("bind", "/srv/a") };
        let must_exist = Mount { must_exist: true, propagation: "shared".into(), ..mount("bind", "/srv/b") };
        let said = mounts(&[short, must_exist]);
        assert_eq!(said.binds, ["/srv/a:/data:ro,rslave"]);
        let [long] = said.mounts.as_slice() else { panic!("{said:?}") };
        assert_eq!((long.typ, long.source.as_deref()), (Some(MountType::BIND), Some("/srv/b")));
        let options = long.bind_options.as_ref().and_then(|options| options.propagation);
        assert_eq!(options, Some(MountBindOptionsPropagationEnum::SHARED));
    }

    #[test]
    fn a_path_with_a_colon_goes_by_the_long_form() {
        assert!(mounts(&[mount("bind", "/srv/a:b")]).binds.is_empty());
    }

    #[test]
    fn volumes_are_named_or_of_the_containers_own_and_memory_has_its_size() {
        let named = Mount { no_copy: true, ..mount("volume", "shop_db") };
        let memory = Mount { tmpfs_bytes: 1 << 20, tmpfs_mode: 0o700, ..mount("tmpfs", "") };
        let said = mounts(&[named, mount("volume", ""), memory]).mounts;
        let [named, own, memory] = said.as_slice() else { panic!("{said:?}") };
        assert_eq!(named.source.as_deref(), Some("shop_db"));
        assert_eq!(named.volume_options.as_ref().and_then(|options| options.no_copy), Some(true));
        assert_eq!((own.source.as_deref(), own.typ), (None, Some(MountType::VOLUME)));
        let options = memory.tmpfs_options.as_ref().map(|options| (options.size_bytes, options.mode));
        assert_eq!(options, Some((Some(1 << 20), Some(0o700))));
    }
}
