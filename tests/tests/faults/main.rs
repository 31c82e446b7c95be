//! What breaks and what goes on: SCENARIOS.md E8 to E20, black box, with traffic during each fault.
//!
//! Run with `cargo xtask test faults`. Times are measured and printed; what is asserted is that a thing happens at all,
//! and what must not happen.

mod agent;
mod assignment;
mod brake;
mod crash;
mod cut;
mod drain;
mod footprint;
mod gossip;
mod health;
mod keep;
mod loss;
mod server;

use std::time::Duration;

use remuda_lab::process;
use remuda_tests::crowd::Crowd;

/// For what has to happen: no promise, but after this it is stuck.
const LIMIT: Duration = Duration::from_secs(60);

/// The program in every backend container.
const BACKEND: &str = env!("CARGO_BIN_EXE_backend");

/// A fleet of this many hosts with this many backends, spread evenly.
fn crowd(name: &str, hosts: usize, replicas: usize) -> Crowd {
    crowd_with(name, hosts, replicas, "")
}

/// The same; `service`: more keys of `web`, each line indented by four.
fn crowd_with(name: &str, hosts: usize, replicas: usize, service: &str) -> Crowd {
    Crowd::up(name, hosts, replicas, BACKEND, service).unwrap()
}

/// Backend processes that run on this machine, listed anywhere or not: cases run one after the other.
fn backends_alive() -> usize {
    let is_backend = |pid: &u32| process::argv(*pid).first().is_some_and(|program| program == BACKEND);
    process::all().into_iter().filter(|pid| is_backend(pid) && process::is_alive(*pid)).count()
}

/// Lets a fault last: what is waited for is that nothing happens.
fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// A length of time that `cargo xtask bench faults` makes longer than the tests can wait.
fn from_env(name: &str, seconds: u64) -> Duration {
    Duration::from_secs(number(name).unwrap_or(seconds))
}

/// How often a case measures its figures.
fn rounds() -> u64 {
    number("REMUDA_FAULTS_ROUNDS").unwrap_or(1)
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Ends the fleet and says what it left: the end of every case.
fn end(crowd: Crowd) {
    let name = crowd.fleet.lab.name.clone();
    drop(crowd);
    assert_eq!(remuda_lab::residue(&name), Vec::<String>::new());
}
