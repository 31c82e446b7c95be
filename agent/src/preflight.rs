//! Whether this machine can run the agent, checked before anything is touched: one clear sentence each, and what to do.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// Oldest kernel whose verifier takes our programs, and which has managed neighbours.
pub(crate) const KERNEL_MIN: (u32, u32) = (6, 1);
pub(crate) const BTF: &str = "/sys/kernel/btf/vmlinux";
const BPFFS: &str = "/sys/fs/bpf";
/// Less free space and neither logs nor the assignment can be written.
const DISK_MIN_BYTES: u64 = 16 << 20;

/// What stands in the way, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Obstacle(String);

/// Held as long as the agent runs: one agent per data directory.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock, released with the process")] Flock<File>);

/// Everything that needs no data directory.
pub fn machine() -> Result<(), Obstacle> {
    root()?;
    kernel()?;
    btf()?;
    bpffs()?;
    cgroup2().map(drop)
}

/// Makes the data directory and takes its lock.
pub fn data_dir(path: &Path) -> Result<Lock, Obstacle> {
    let refuse = |error: &dyn std::fmt::Display| {
        Obstacle(format!("data directory {}: {error}; choose another with --data-dir", path.display()))
    };
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| refuse(&error))?;
    space(path)?;
    lock(&path.join("agent.pid"))
}

fn root() -> Result<(), Obstacle> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Obstacle("the agent loads kernel programs and makes namespaces, so it must be root: run it with sudo".into()))
}

fn kernel() -> Result<(), Obstacle> {
    let release = nix::sys::utsname::uname().map_err(|error| Obstacle(format!("uname: {error}")))?;
    let release = release.release().to_string_lossy().into_owned();
    if kernel_version(&release).is_some_and(|version| version < KERNEL_MIN) {
        let (major, minor) = KERNEL_MIN;
        return Err(Obstacle(format!("kernel {release} is too old: install {major}.{minor} or newer and boot it")));
    }
    Ok(())
}

pub(crate) fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn btf() -> Result<(), Obstacle> {
    if Path::new(BTF).exists() {
        return Ok(());
    }
    Err(Obstacle(format!(
        "{BTF} is missing: boot a kernel with CONFIG_DEBUG_INFO_BTF (the distributions' own have it), or, in a \
         container, mount /sys of the host"
    )))
}

pub(crate) fn has_bpffs() -> bool {
    statfs(BPFFS).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC)
}

/// Mounts bpffs if nobody did.
fn bpffs() -> Result<(), Obstacle> {
    if has_bpffs() {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("bpf"), BPFFS, Some("bpf"), flags, Some("mode=700")).map_err(|error| {
        Obstacle(format!("{BPFFS} is not mounted and mounting it failed ({error}): `mount -t bpf bpf {BPFFS}` as root"))
    })
}

/// Where cgroup v2 is mounted, wherever that is.
pub fn cgroup2() -> Result<PathBuf, Obstacle> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    cgroup2_of(&mounts).ok_or_else(|| {
        Obstacle(
            "no cgroup v2 is mounted, and VIPs are attached to its root: `mkdir -p /sys/fs/cgroup/unified && mount -t \
             cgroup2 none /sys/fs/cgroup/unified`"
                .into(),
        )
    })
}

/// The mount point of type cgroup2 (proc(5), `/proc/pid/mountinfo`).
fn cgroup2_of(mountinfo: &str) -> Option<PathBuf> {
    let line = mountinfo.lines().find(|line| line.contains(" - cgroup2 "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

fn space(path: &Path) -> Result<(), Obstacle> {
    let Ok(fs) = nix::sys::statvfs::statvfs(path) else { return Ok(()) };
    let free = fs.blocks_available() * fs.fragment_size();
    if free >= DISK_MIN_BYTES {
        return Ok(());
    }
    Err(Obstacle(format!(
        "only {} KiB are free in {}, the agent needs {} MiB: make room or choose another place with --data-dir",
        free >> 10,
        path.display(),
        DISK_MIN_BYTES >> 20
    )))
}

/// How long an agent that is ending may hold its lock: a supervisor starts the next one at once.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// flock(2) knows no time limit, so it is asked again.
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// A lock of the kernel's, gone with its process: a pid left behind by a crash is in nobody's way.
fn lock(path: &Path) -> Result<Lock, Obstacle> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match try_lock(path) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(LOCK_RETRY),
            result => return result,
        }
    }
}

fn try_lock(path: &Path) -> Result<Lock, Obstacle> {
    let failed = |error: io::Error| Obstacle(format!("{}: {error}", path.display()));
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut held) => {
            held.set_len(0).and_then(|()| held.rewind()).map_err(failed)?;
            writeln!(held, "{}", std::process::id()).map_err(failed)?;
            Ok(Lock(held))
        }
        Err((mut file, _)) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            Err(Obstacle(format!(
                "an agent with this data directory runs already (process {}, lock {}): stop it first, or give this one \
                 its own --data-dir",
                holder.trim(),
                path.display()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_of_all_distributions_are_understood() {
        for (release, version) in [("6.1.0-18-amd64", (6, 1)), ("5.15.0", (5, 15)), ("6.18.2+deb13", (6, 18))] {
            assert_eq!(kernel_version(release), Some(version));
        }
    }

    #[test]
    fn cgroup_v2_is_found_beside_v1() {
        let mounts = "30 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
                      31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n";
        assert_eq!(cgroup2_of(mounts), Some(PathBuf::from("/sys/fs/cgroup/unified")));
    }

    #[test]
    fn a_second_agent_with_the_same_directory_is_told_who_holds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let held = data_dir(folder.path()).expect("free");
        let refusal = data_dir(folder.path()).expect_err("taken").to_string();
        assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
        drop(held);
        data_dir(folder.path()).expect("free again");
    }
}
