//! Where cgroup v2 is mounted: never assumed, because hybrid systems put it beside v1.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::error::KernelError;

/// The mount point of cgroup v2.
pub(crate) fn v2_root() -> Result<&'static Path, KernelError> {
    static ROOT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = ROOT.get_or_init(|| find(&std::fs::read_to_string("/proc/self/mounts").unwrap_or_default()));
    found.as_deref().ok_or_else(|| {
        KernelError::Unusable(
            "cgroup v2 is mounted nowhere: `mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none \
             /sys/fs/cgroup/unified`"
                .into(),
        )
    })
}

fn find(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ');
        let (_, path, kind) = (words.next()?, words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroup_v2_is_found_beside_v1() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(find(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(find("proc /proc proc rw 0 0\n"), None);
    }
}
