//! CPU, memory and process limits, on whichever cgroup hierarchy has the controller.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Unit, words};
use crate::action::UnitSpec;

/// Our directory in every hierarchy.
const ROOT: &str = "remuda";
/// Where holders live on cgroup v2, so that stopping the agent's service does not end them.
const HOLDERS: &str = "holders";
/// Length of the CPU quota's period: the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// The cgroups of one unit.
pub(super) struct Limits {
    dirs: Vec<PathBuf>,
}

impl Limits {
    /// Makes the cgroups the unit needs and writes its limits. A limit nobody can keep is refused.
    pub(super) fn make(unit: &Unit) -> Result<Limits, String> {
        let mounts = Mounts::read();
        let mut dirs = Vec::new();
        for (controller, files) in wanted(&unit.spec) {
            let mount = mounts
                .of(controller)
                .ok_or_else(|| format!("limit {controller}: no cgroup hierarchy of this host has that controller"))?;
            let dir = mount.path.join(group(&unit.dir));
            make(mount, &dir, controller)?;
            for (v1, v2, value) in files {
                let file = dir.join(if mount.is_v2 { v2.0 } else { v1 });
                let value = if mount.is_v2 { (v2.1)(value) } else { value.to_string() };
                fs::write(&file, &value).map_err(|e| words(format!("write {value} to {}", file.display()), e))?;
            }
            dirs.push(dir);
        }
        Ok(Limits { dirs })
    }

    /// Moves a process into them.
    pub(super) fn admit(&self, pid: u32) -> Result<(), String> {
        for dir in &self.dirs {
            let file = dir.join("cgroup.procs");
            fs::write(&file, pid.to_string()).map_err(|e| words(format!("write {pid} to {}", file.display()), e))?;
        }
        Ok(())
    }

    /// How many processes the kernel killed here for lack of memory.
    pub(super) fn out_of_memory_kills(&self) -> u64 {
        let texts = self.dirs.iter().flat_map(|d| [d.join("memory.events"), d.join("memory.oom_control")]);
        let counts = texts.filter_map(|file| {
            let text = fs::read_to_string(file).ok()?;
            text.lines().find_map(|l| l.strip_prefix("oom_kill ")).and_then(|n| n.trim().parse::<u64>().ok())
        });
        counts.sum()
    }
}

/// Removes what [`Limits::make`] made for the unit in `dir`, after its last process.
pub(crate) fn remove(dir: &Path) {
    for mount in Mounts::read().all {
        let owner = mount.path.join(ROOT).join(owner(dir));
        // Busy or missing: others live there, or nothing to do.
        for group in [mount.path.join(group(dir)), owner.join(HOLDERS), owner, mount.path.join(ROOT)] {
            let _ = fs::remove_dir(group);
        }
    }
}

/// A supervisor that stops the agent kills its cgroup: the holder must not be in it. Systems without a writable
/// cgroup v2 have no such supervisor.
pub(super) fn leave_agent_cgroup(dir: &Path) {
    let mounts = Mounts::read();
    let Some(mount) = mounts.all.iter().find(|m| m.is_v2) else { return };
    let holders = mount.path.join(ROOT).join(owner(dir)).join(HOLDERS);
    if fs::create_dir_all(&holders).is_ok() {
        let _ = fs::write(holders.join("cgroup.procs"), std::process::id().to_string());
    }
}

/// A file of v1, its name and format in v2, and the value.
type LimitFile = (&'static str, (&'static str, fn(u64) -> String), u64);

fn wanted(spec: &UnitSpec) -> Vec<(&'static str, Vec<LimitFile>)> {
    let plain: fn(u64) -> String = |v| v.to_string();
    let mut wanted = Vec::new();
    if spec.limit_cpu_milli > 0 {
        let quota_us = spec.limit_cpu_milli.saturating_mul(CPU_PERIOD_US) / 1000;
        let v2: fn(u64) -> String = |us| format!("{us} {CPU_PERIOD_US}");
        // 1 ms is the least the kernel takes.
        wanted.push(("cpu", vec![("cpu.cfs_quota_us", ("cpu.max", v2), quota_us.max(1000))]));
    }
    if spec.limit_memory_bytes > 0 {
        wanted.push(("memory", vec![("memory.limit_in_bytes", ("memory.max", plain), spec.limit_memory_bytes)]));
    }
    if spec.limit_pids > 0 {
        wanted.push(("pids", vec![("pids.max", ("pids.max", plain), spec.limit_pids)]));
    }
    wanted
}

/// `remuda/<agent>/<unit>`.
fn group(dir: &Path) -> PathBuf {
    let unit = dir.file_name().unwrap_or_default();
    Path::new(ROOT).join(owner(dir)).join(unit)
}

/// Tells agents on one kernel apart: a hash of the data directory.
fn owner(dir: &Path) -> String {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::hash::DefaultHasher::new();
    dir.parent().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

fn make(mount: &Mount, dir: &Path, controller: &str) -> Result<(), String> {
    // Again when another unit's removal took the empty parent away in between.
    let made = fs::create_dir_all(dir).or_else(|_| fs::create_dir_all(dir));
    made.map_err(|e| words(format!("create cgroup {}", dir.display()), e))?;
    if !mount.is_v2 {
        return Ok(());
    }
    // v2 hands a controller down level by level.
    let mut level = mount.path.clone();
    for part in [ROOT, &owner_of_group(dir)] {
        let file = level.join("cgroup.subtree_control");
        let line = format!("+{controller}");
        fs::write(&file, &line).map_err(|e| words(format!("write {line} to {}", file.display()), e))?;
        level = level.join(part);
    }
    let file = level.join("cgroup.subtree_control");
    fs::write(&file, format!("+{controller}"))
        .map_err(|e| words(format!("write +{controller} to {}", file.display()), e))
}

fn owner_of_group(group: &Path) -> String {
    let owner = group.parent().and_then(Path::file_name);
    owner.unwrap_or_default().to_string_lossy().into_owned()
}

struct Mounts {
    all: Vec<Mount>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    path: PathBuf,
    is_v2: bool,
    controllers: Vec<String>,
}

impl Mounts {
    fn read() -> Mounts {
        let text = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        Mounts { all: parse(&text, |path| fs::read_to_string(path.join("cgroup.controllers"))) }
    }

    fn of(&self, controller: &str) -> Option<&Mount> {
        self.all.iter().find(|m| m.controllers.iter().any(|c| c == controller))
    }
}

/// cgroup mounts of a mount table; `controllers` reads what a v2 hierarchy offers.
fn parse(mounts: &str, controllers: impl Fn(&Path) -> io::Result<String>) -> Vec<Mount> {
    let parsed = mounts.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, path, kind, options, ..] = words[..] else { return None };
        let path = PathBuf::from(path);
        match kind {
            "cgroup" => {
                let controllers = options.split(',').map(String::from).collect();
                Some(Mount { path, is_v2: false, controllers })
            }
            "cgroup2" => {
                let text = controllers(&path).unwrap_or_default();
                let controllers = text.split_whitespace().map(String::from).collect();
                Some(Mount { path, is_v2: true, controllers })
            }
            _ => None,
        }
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_is_found_where_it_is_on_hybrid_systems() {
        let text = "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                    cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0\n";
        let mounts = Mounts { all: parse(text, |_| Ok("pids\n".into())) };
        assert_eq!(mounts.of("memory").map(|m| m.is_v2), Some(false));
        assert_eq!(mounts.of("pids").map(|m| m.is_v2), Some(true));
        assert_eq!(mounts.of("cpu"), None);
    }
}
