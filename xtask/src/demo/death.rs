//! The second half of the demo: a host dies, comes back, and another one is emptied, with clients watching.

use super::fleet::Fleet;
use super::steps::fetch;
use anyhow::{Context, Result, ensure};
use remuda_lab::wait_for;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Far above what is promised: the demo says how long it took.
const LIMIT: Duration = Duration::from_secs(60);

/// The last host's cable is pulled; the fleet notices, and runs everything elsewhere.
pub fn host_dies(fleet: &Fleet) -> Result<String> {
    let victim = last_host(fleet)?;
    let lost = fleet.list(&["ps"])?.iter().filter(|container| container["host"] == victim.as_str()).count();
    let everything = fleet.list(&["ps"])?.len();
    fleet.lab.cut(&victim)?;
    let cut = Instant::now();
    let suspect = wait_for(&format!("{victim} is suspect"), LIMIT, || when(fleet, &victim, &["suspect", "dead"], cut))?;
    let dead = wait_for(&format!("{victim} is dead"), LIMIT, || when(fleet, &victim, &["dead"], cut))?;
    let moved = wait_for("everything runs elsewhere", LIMIT, || {
        let running = running(&fleet.list(&["ps"])?, |host| host != victim);
        Ok((running == everything).then(|| cut.elapsed()))
    })?;
    Ok(format!(
        "{victim}'s cable pulled: suspect after {:.1} s, dead after {:.1} s, its {lost} containers run elsewhere after {:.1} s",
        suspect.as_secs_f32(),
        dead.as_secs_f32(),
        moved.as_secs_f32()
    ))
}

/// The cable is back; the host ends what was replaced, and nothing is doubled.
pub fn host_returns(fleet: &Fleet) -> Result<String> {
    let back = last_host(fleet)?;
    let everything = fleet.list(&["ps"])?.len();
    fleet.lab.heal(&back)?;
    let healed = Instant::now();
    let ready = wait_for(&format!("{back} is ready"), LIMIT, || when(fleet, &back, &["ready"], healed))?;
    let now = fleet.list(&["ps"])?.len();
    ensure!(now == everything, "{now} containers instead of {everything}");
    Ok(format!("{back} ready {:.1} s after its cable was plugged in; {now} containers, as before", ready.as_secs_f32()))
}

/// A host is emptied for maintenance while a client fetches pages without a pause.
pub fn host_drained(fleet: &Fleet) -> Result<String> {
    let (host, _) = fleet.hosts().into_iter().nth(1).context("a second host")?;
    let (_, entrance) = fleet.hosts().into_iter().next().context("a first host")?;
    let is_over = AtomicBool::new(false);
    let started = Instant::now();
    let (drained, (pages, failed)) = std::thread::scope(|scope| {
        let pages = scope.spawn(|| fetch_until(fleet, &format!("http://{entrance}:8080/whoami"), &is_over));
        let drained = fleet.remuda(&["host", "drain", &host]);
        is_over.store(true, Ordering::Release);
        (drained, pages.join().unwrap_or_default())
    });
    let took = started.elapsed();
    drained?;
    fleet.remuda(&["host", "activate", &host])?;
    ensure!(failed.is_empty(), "{} of {pages} pages failed while {host} was emptied: {}", failed.len(), failed[0]);
    Ok(format!("{host} empty after {:.1} s; {pages} pages meanwhile, none failed", took.as_secs_f32()))
}

/// How many were asked for, and what went wrong.
fn fetch_until(fleet: &Fleet, url: &str, is_over: &AtomicBool) -> (usize, Vec<String>) {
    let (mut pages, mut failed) = (0, Vec::new());
    while !is_over.load(Ordering::Acquire) {
        pages += 1;
        failed.extend(fetch(fleet, url).err().map(|error| format!("{error:#}")));
    }
    (pages, failed)
}

/// The time since `start`, once the host is in one of these states.
fn when(fleet: &Fleet, host: &str, states: &[&str], start: Instant) -> Result<Option<Duration>> {
    let hosts = fleet.list(&["hosts"])?;
    let state = hosts.iter().find(|held| held["name"] == host).and_then(|held| held["state"].as_str());
    Ok(state.is_some_and(|state| states.contains(&state)).then(|| start.elapsed()))
}

fn running(containers: &[Value], on: impl Fn(&str) -> bool) -> usize {
    let is_there = |container: &&Value| container["state"] == "running" && container["host"].as_str().is_some_and(&on);
    containers.iter().filter(is_there).count()
}

fn last_host(fleet: &Fleet) -> Result<String> {
    Ok(fleet.hosts().pop().context("a lab has hosts")?.0)
}
