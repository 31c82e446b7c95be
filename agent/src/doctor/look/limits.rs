//! Limits as the kernel states them.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;

use super::number;
use crate::doctor::limits::Facts;

pub(super) fn look(data_dir: &Path) -> Facts {
    let place = nearest(data_dir);
    let conntrack = |file: &str| number(&format!("/proc/sys/net/netfilter/nf_conntrack_{file}"));
    Facts {
        memory_available_bytes: available(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        disk_free_bytes: statvfs(place).ok().map(|fs| fs.blocks_available() * fs.fragment_size()),
        data_dir: place.display().to_string(),
        descriptors: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(_, hard)| hard),
        inotify_instances: number("/proc/sys/fs/inotify/max_user_instances"),
        pid_max: number("/proc/sys/kernel/pid_max"),
        neighbours_max: number("/proc/sys/net/ipv4/neigh/default/gc_thresh3"),
        conntrack: conntrack("count").zip(conntrack("max")),
    }
}

/// The part of a path that exists: an agent that never ran has no data directory.
fn nearest(path: &Path) -> &Path {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"))
}

/// `MemAvailable` of `/proc/meminfo` (proc(5)), which is in KiB.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_yet_is_judged_by_where_it_would_be() {
        assert_eq!(nearest(Path::new("/proc/no/such/place")), Path::new("/proc"));
    }

    #[test]
    fn this_machine_states_its_limits() {
        let facts = look(Path::new("/"));
        assert!(facts.memory_available_bytes.is_some() && facts.disk_free_bytes.is_some(), "{facts:?}");
    }
}
