//! What an agent costs with 50 containers, and whether starting and stopping a thousand leaves anything behind.

use std::path::Path;
use std::time::{Duration, Instant};

use super::LIMIT;
use remuda_lab::{Lab, process, residue, wait_for};
use remuda_tests::figure;
use remuda_tests::stack::Fleet;

const HOST: &str = "h2";
const CONTAINERS: usize = 50;
/// Seconds over which an idle agent's CPU is counted; `REMUDA_FAULTS_IDLE_S=30` for the figure that is promised.
const IDLE_S: u64 = 5;
/// Rounds of 20 starts and stops; `REMUDA_FAULTS_TURNOVERS=50` makes a thousand.
const TURNOVERS: u64 = 3;
/// The first rounds fill pools and caches.
const WARM_UP: u64 = 2;
const AT_ONCE: usize = 20;

const FILE: &str = "services:
  web:
    command: [sleep, '86400']
    deploy: {replicas: 1, placement: {constraints: ['node.hostname == h2']}}
";

#[test]
fn an_agent_with_50_containers_is_small_and_idle_and_turnover_leaks_nothing() {
    let fleet = Fleet::up("f-small", 2).unwrap();
    fleet.deploy("app", FILE).unwrap();
    scale(&fleet, CONTAINERS);
    let pid = fleet.lab.pid(HOST).unwrap();
    super::pass(Duration::from_secs(2));
    figure::figure("agent RSS with 50 containers", process::rss_bytes(pid) as f64 / 1e6, "MB");
    let (begin, before) = (Instant::now(), process::cpu_time(pid));
    super::pass(super::from_env("REMUDA_FAULTS_IDLE_S", IDLE_S));
    let used = (process::cpu_time(pid) - before).as_secs_f64() / begin.elapsed().as_secs_f64();
    figure::figure("idle agent with 50 containers, share of a core", used * 100.0, "%");
    turn_over(&fleet, pid);
    let name = fleet.lab.name.clone();
    drop(fleet);
    assert_eq!(residue(&name), Vec::<String>::new());
}

fn scale(fleet: &Fleet, to: usize) {
    fleet.remuda(&["scale", &format!("app/web={to}")]).unwrap();
    fleet
        .wait(&format!("{to} run"), |all| {
            let running = all.iter().filter(|c| c["state"] == "running").count();
            (running == to && all.len() == to).then_some(())
        })
        .unwrap();
}

fn turn_over(fleet: &Fleet, pid: u32) {
    let rounds = super::number("REMUDA_FAULTS_TURNOVERS").unwrap_or(TURNOVERS);
    let turn = || {
        scale(fleet, 1);
        scale(fleet, AT_ONCE + 1);
    };
    (0..WARM_UP).for_each(|_| turn());
    scale(fleet, 1);
    let before = settled(&fleet.lab, pid);
    let rss = process::rss_bytes(pid);
    (0..rounds).for_each(|_| turn());
    scale(fleet, 1);
    let grown = process::rss_bytes(pid).saturating_sub(rss) as f64 / 1e6;
    let turned = rounds as usize * AT_ONCE;
    figure::figure(&format!("agent RSS grown over {turned} starts and stops"), grown, "MB");
    wait_for("all of it is gone", LIMIT, || {
        let after = Holdings::of(&fleet.lab, pid);
        if after == before { Ok(Some(())) } else { anyhow::bail!("before {before:?}, now {after:?}") }
    })
    .unwrap();
    figure::count(&format!("descriptors, cgroups, mounts, namespaces, links, processes left by {turned}"), 0);
    assert_eq!(fleet.lab.pid(HOST).unwrap(), pid, "the agent was restarted");
}

/// What the host holds once it holds the same twice in a row.
fn settled(lab: &Lab, pid: u32) -> Holdings {
    let mut last = Holdings::of(lab, pid);
    wait_for("the host settles", LIMIT, || {
        super::pass(Duration::from_millis(500));
        let now = Holdings::of(lab, pid);
        let is_same = now == last;
        last = now;
        Ok(is_same.then_some(()))
    })
    .unwrap();
    last
}

/// Everything that could leak, counted.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    cgroups: usize,
    mounts: usize,
    links: usize,
    processes: usize,
    /// Of the data directory: units, logs, sockets.
    files: usize,
    /// Lines of what the agent sees in kernel and runtime.
    observed: usize,
}

impl Holdings {
    fn of(lab: &Lab, pid: u32) -> Holdings {
        let host = lab.host(HOST).unwrap();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let dir = host.data_dir.display().to_string();
        let observed = lab.ask(HOST, "observed").unwrap();
        Holdings {
            descriptors: entries(Path::new(&format!("/proc/{pid}/fd"))),
            cgroups: cgroups(lab),
            mounts: mounts.lines().filter(|line| line.contains(&dir)).count(),
            links: lab.output(HOST, &["ip", "-o", "link"]).unwrap().lines().count(),
            processes: process::all().into_iter().filter(|pid| process::argv(*pid).join(" ").contains(&dir)).count(),
            files: tree(&host.data_dir),
            observed: observed["observed"].as_str().unwrap_or_default().lines().count(),
        }
    }
}

/// Groups beside those of the host's processes that hold containers, in every hierarchy.
fn cgroups(lab: &Lab) -> usize {
    let dir = lab.host(HOST).unwrap().data_dir.display().to_string();
    let holder = process::all().into_iter().find(|pid| {
        let argv = process::argv(*pid).join(" ");
        argv.contains(" hold ") && argv.contains(&dir)
    });
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", holder.unwrap_or_default())).unwrap_or_default();
    let groups = text.lines().filter_map(|line| line.rsplit_once(':')).map(|(_, path)| path);
    let above = groups.filter(|path| path.contains("/remuda/")).filter_map(|path| Path::new(path).parent());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let roots: Vec<&str> =
        mounts.lines().filter(|line| line.contains(" - cgroup")).filter_map(|line| line.split(' ').nth(4)).collect();
    above
        .flat_map(|path| {
            roots.iter().map(move |root| tree(&Path::new(root).join(path.strip_prefix("/").unwrap_or(path))))
        })
        .sum()
}

fn entries(dir: &Path) -> usize {
    std::fs::read_dir(dir).map(Iterator::count).unwrap_or_default()
}

fn tree(dir: &Path) -> usize {
    let Ok(found) = std::fs::read_dir(dir) else { return 0 };
    found.flatten().map(|entry| 1 + if entry.path().is_dir() { tree(&entry.path()) } else { 0 }).sum()
}
