//! Nothing of a lab stays behind: also after kill -9 in the middle, also the second time.

use crate::engine::CGROUP;
use crate::lab::{DEFAULT, dir, labs_dir, prefix};
use crate::underlay::Underlay;
use crate::{netns, process};
use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, umount2};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Marks every process of a lab, in its environment: holders inherit it from their agent.
pub(crate) const MARK: &str = "REMUDA_LAB";

/// Only one lab is made or ended at a time: they choose subnets by looking at each other.
pub(crate) struct Lock {
    _file: Flock<File>,
}

impl Lock {
    pub(crate) fn take() -> Result<Self> {
        fs::create_dir_all(labs_dir())?;
        let path = labs_dir().join(".lock");
        let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
        let file =
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error).context("locking the labs")?;
        Ok(Self { _file: file })
    }
}

/// Ends everything of the lab: processes, mounts, pins, cgroups, links, namespaces, files.
pub(crate) fn down(name: &str) -> Result<()> {
    let underlay = Underlay::new(&prefix(name));
    end_processes(name, &underlay)?;
    for mount in mounts(name) {
        umount2(&mount, MntFlags::MNT_DETACH).with_context(|| format!("unmounting {}", mount.display()))?;
    }
    let pins = bpf_root(name);
    if pins.exists() {
        fs::remove_dir_all(&pins).with_context(|| format!("removing pins in {}", pins.display()))?;
    }
    cgroups().iter().chain(&engine_cgroups(name)).for_each(|cgroup| remove_empty(cgroup));
    // The directory above: other labs' may be in it.
    on_every_hierarchy(Path::new(CGROUP)).iter().for_each(|cgroup| drop(fs::remove_dir(cgroup)));
    let _ = Command::new("ip").args(["link", "delete", &underlay.machine_link()]).output();
    for namespace in namespaces(&underlay) {
        netns::delete(&namespace)?;
    }
    remove_files(name)
}

/// More rounds than a supervisor that restarts things could win.
const ROUNDS: usize = 10;

fn end_processes(name: &str, underlay: &Underlay) -> Result<()> {
    for _ in 0..ROUNDS {
        let pids = processes(name, underlay);
        if pids.is_empty() {
            return Ok(());
        }
        process::kill_all(&pids);
    }
    bail!("processes of lab {name} do not end: {:?}", processes(name, underlay))
}

/// Processes in the lab's namespaces, marked by it, working on its files, or below one that is.
pub(crate) fn processes(name: &str, underlay: &Underlay) -> Vec<u32> {
    let own = own_line();
    let inodes: Vec<u64> = namespaces(underlay).iter().filter_map(|name| netns::inode(&netns::path(name))).collect();
    let (mark, below) = (format!("{MARK}={name}\0"), format!("{}/", dir(name).display()));
    let cgroup = format!("/{CGROUP}/{name}/");
    let is_ours = |pid: &u32| {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        // What an engine runs has neither our environment nor, once its shim is gone, a parent of ours.
        fs::read(proc.join("cgroup")).is_ok_and(|cgroups| contains(&cgroups, cgroup.as_bytes()))
            || netns::inode(&proc.join("ns/net")).is_some_and(|inode| inodes.contains(&inode))
            || fs::read(proc.join("environ")).is_ok_and(|environ| contains(&environ, mark.as_bytes()))
            || is_agent_below(&process::argv(*pid), &below)
    };
    let roots: Vec<u32> = process::all().into_iter().filter(is_ours).collect();
    let mut found = process::trees(&roots);
    found.retain(|pid| !own.contains(pid) && process::is_alive(*pid));
    found
}

/// This process and those that wait for it: a shell inside a host may call `lab down`.
fn own_line() -> Vec<u32> {
    let mut line = vec![std::process::id()];
    while let Some(parent) = line.last().and_then(|pid| process::parent(*pid)).filter(|parent| *parent > 1) {
        line.push(parent);
    }
    line
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

pub(crate) fn namespaces(underlay: &Underlay) -> Vec<String> {
    netns::names().into_iter().filter(|name| underlay.owns(name)).collect()
}

/// What is mounted below the lab's directory, deepest first.
pub(crate) fn mounts(name: &str) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = text.lines().filter_map(|line| line.split(' ').nth(4).map(PathBuf::from));
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(dir(name))).collect();
    below.sort_by_key(|point| std::cmp::Reverse(point.components().count()));
    below
}

/// Where the agents of the lab of this name pin: apart from each other, and from an agent that this machine itself runs.
pub(crate) fn bpf_root(name: &str) -> PathBuf {
    PathBuf::from(format!("/sys/fs/bpf/remuda-{name}"))
}

/// A `remuda` of any kind that works on files below this directory; somebody's `tail` of a log is not.
fn is_agent_below(argv: &[String], directory: &str) -> bool {
    let is_remuda = argv.first().is_some_and(|program| program.ends_with("/remuda") || program == "remuda");
    is_remuda && argv.iter().any(|argument| argument.starts_with(directory))
}

/// `remuda` directories on every mounted cgroup hierarchy.
pub(crate) fn cgroups() -> Vec<PathBuf> {
    on_every_hierarchy(Path::new("remuda"))
}

/// Where the lab's engines keep the cgroups of their containers.
pub(crate) fn engine_cgroups(name: &str) -> Vec<PathBuf> {
    on_every_hierarchy(&Path::new(CGROUP).join(name))
}

fn on_every_hierarchy(directory: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_cgroup = |line: &&str| line.contains(" - cgroup ") || line.contains(" - cgroup2 ");
    let roots = text.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(4));
    roots.map(|root| Path::new(root).join(directory)).filter(|path| path.exists()).collect()
}

/// Cgroups of ours at the end of a branch without a process: somebody ended and did not take them along.
pub(crate) fn empty_cgroups() -> Vec<PathBuf> {
    let mut empty = Vec::new();
    let mut open = cgroups();
    while let Some(cgroup) = open.pop() {
        let below = directories(&cgroup);
        let has_processes = fs::read_to_string(cgroup.join("cgroup.procs")).is_ok_and(|pids| !pids.is_empty());
        if below.is_empty() && !has_processes {
            empty.push(cgroup);
        }
        open.extend(below);
    }
    empty
}

fn directories(of: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(of) else { return Vec::new() };
    let all = entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    all.map(|entry| entry.path()).collect()
}

/// Removes a cgroup and those below it; the kernel refuses those with processes, which are somebody's.
fn remove_empty(cgroup: &Path) {
    directories(cgroup).iter().for_each(|below| remove_empty(below));
    let _ = fs::remove_dir(cgroup);
}

fn remove_files(name: &str) -> Result<()> {
    let path = dir(name);
    if path.exists() {
        fs::remove_dir_all(&path).with_context(|| format!("removing {}", path.display()))?;
    }
    if name == DEFAULT {
        for file in ["lab.json", "env"] {
            let _ = fs::remove_file(labs_dir().join(file));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{residue, skip, wait_until};
    use nix::mount::{MsFlags, mount};
    use std::process::Stdio;
    use std::time::Duration;

    const HOST: usize = 0;

    /// Ends the lab also when the test fails.
    struct Guard(String);

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = down(&self.0);
        }
    }

    #[test]
    #[expect(clippy::zombie_processes, reason = "`down` kills and reaps it: that is what is tested")]
    fn a_lab_killed_in_the_middle_leaves_nothing_behind() {
        if !nix::unistd::geteuid().is_root() {
            return skip("making namespaces needs root");
        }
        let name = Guard(format!("unit-{}", std::process::id()));
        let name = &name.0;
        let _lock = Lock::take().unwrap();
        let mut underlay = Underlay::new(&prefix(name));
        underlay.build(2).unwrap();
        let data_dir = dir(name).join("h1");
        fs::create_dir_all(data_dir.join("mnt")).unwrap();
        mount(Some("tmpfs"), &data_dir.join("mnt"), Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
        // A workload: below its agent, and in a network namespace of its own.
        let argv = ["sh", "-c", "unshare --net sleep 1000 & wait"].map(str::to_owned);
        let log = data_dir.join("remuda.log");
        let agent = crate::netns::spawn_detached(&underlay.host(HOST), &argv, &[], Stdio::null(), &log).unwrap();
        wait_until("the workload runs", Duration::from_secs(10), || process::trees(&[agent.id()]).len() >= 2).unwrap();
        let there = residue(name);
        for what in ["network namespace", "process", "mount", "interface", "file"] {
            assert!(there.iter().any(|line| line.starts_with(what)), "no {what} in {there:#?}");
        }

        down(name).unwrap();

        assert_eq!(residue(name), Vec::<String>::new());
        down(name).expect("the second time there is nothing to do");
    }

    #[test]
    fn a_fleet_that_does_not_start_says_why_and_leaves_nothing_behind() {
        if !nix::unistd::geteuid().is_root() {
            return skip("making namespaces needs root");
        }
        let name = format!("dead-{}", std::process::id());
        let options = crate::Options { remuda: "/bin/false".into(), ..crate::Options::new(&name, 2).from_files() };
        let error = crate::Lab::up(&options).map(|_| ()).expect_err("false is no agent");
        assert!(error.to_string().starts_with("the agent of h1 has ended"), "{error:#}");
        assert_eq!(residue(&name), Vec::<String>::new());
    }

    #[test]
    fn hosts_client_and_this_machine_reach_each_other_unless_the_cable_is_pulled() {
        if !nix::unistd::geteuid().is_root() {
            return skip("making namespaces needs root");
        }
        let name = Guard(format!("cable-{}", std::process::id()));
        let lock = Lock::take().unwrap();
        let mut underlay = Underlay::new(&prefix(&name.0));
        underlay.build(2).unwrap();
        drop(lock);
        let reaches = |from: &str, to: &str| {
            let listener = crate::netns::inside(to, || std::net::TcpListener::bind("0.0.0.0:0")).unwrap().unwrap();
            // A port of its own each time: a child that another test forks holds the last one until it execs.
            let port = listener.local_addr().unwrap().port();
            let address = underlay.host_ip(1);
            let connect = || {
                std::net::TcpStream::connect_timeout(
                    &format!("{address}:{port}").parse().unwrap(),
                    Duration::from_secs(5),
                )
            };
            let reached = if from.is_empty() { connect() } else { crate::netns::inside(from, connect).unwrap() };
            drop(listener);
            reached.is_ok()
        };
        let target = underlay.host(1);
        assert!(reaches(&underlay.host(0), &target));
        assert!(reaches(&underlay.client(), &target));
        assert!(reaches("", &target), "this machine is on the underlay as well");
        crate::netns::ip(&["-n", &underlay.switch(), "link", "set", "h2", "down"]).unwrap();
        assert!(!reaches(&underlay.host(0), &target));
    }
}
