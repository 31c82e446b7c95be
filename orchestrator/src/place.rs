//! Which host a container goes to: filter, score, and why when none fits.
//!
//! Filters run in the order of [`Lack`]; a host is counted at the first one it fails. Among those left, the host
//! with the fewest containers of this service wins, then the least reserved, the fewest containers, the first name:
//! so the counts of one service differ by at most one among the hosts that can take it.

use std::collections::{BTreeMap, BTreeSet};

use remuda_api::link::HostFacts;
use remuda_api::resource::{Availability, HostState};
use remuda_api::spec::{Constraint, RuntimeKind};

mod explain;
#[cfg(test)]
mod tests;

pub use explain::bytes;

use crate::state::{Claim, HostPort, Node};

/// Picks a host for one container, or says in words why there is none.
pub fn place(wish: &Wish, hosts: &[Candidate]) -> Result<u32, String> {
    let lacks: Vec<Option<Lack>> = hosts.iter().map(|host| lack(wish, host)).collect();
    let fitting = hosts.iter().zip(&lacks).filter(|(_, lack)| lack.is_none()).map(|(host, _)| host);
    match fitting.min_by(|a, b| score(wish, a).cmp(&score(wish, b))) {
        Some(host) => Ok(host.node_id),
        None => Err(explain::in_words(wish, hosts, &lacks)),
    }
}

/// What one container needs.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    pub service_id: u32,
    pub claim: &'a Claim,
    pub constraints: &'a [Constraint],
    /// 0 = no limit.
    pub max_per_host: u32,
    pub runtime: RuntimeKind,
    /// 0 = any host.
    pub pinned_node: u32,
    /// Where its data is; None = it may be anywhere.
    pub data: Option<Pin>,
    /// Of the container: a host that still has another one of this name is out. Empty = any.
    pub name: &'a str,
}

/// A volume whose data is on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    pub volume: String,
    pub node_id: u32,
    /// That host's name, which may have left the fleet.
    pub host: String,
}

/// A host as placement sees it, with all that is placed there already.
#[derive(Clone, Debug, Default)]
pub struct Candidate {
    pub node_id: u32,
    pub name: String,
    pub state: HostState,
    pub availability: Availability,
    pub labels: BTreeMap<String, String>,
    pub cpu_milli: u64,
    pub memory_bytes: u64,
    pub runtimes: Vec<String>,
    /// Ports a process of the host's own listens on, with its name.
    pub listening: BTreeMap<HostPort, String>,
    pub used_cpu_milli: u64,
    pub used_memory_bytes: u64,
    /// With the container that has each.
    pub used_ports: BTreeMap<HostPort, String>,
    pub containers: u32,
    /// Names of containers it has and shall stop: it was lost, and they were placed elsewhere.
    pub leftovers: BTreeSet<String>,
    /// By service id.
    pub of_service: BTreeMap<u32, u32>,
}

impl Candidate {
    pub fn of(node: &Node, state: HostState) -> Candidate {
        Candidate {
            node_id: node.id,
            name: node.name.clone(),
            // What is placed there, it would not be told.
            state: if node.ahead_generation == 0 { state } else { HostState::Joining },
            availability: node.availability,
            labels: node.labels.clone(),
            cpu_milli: node.facts.cpu_milli,
            memory_bytes: node.facts.memory_bytes,
            runtimes: node.facts.runtimes.clone(),
            listening: listening(&node.facts),
            leftovers: node.leftovers.iter().map(|leftover| leftover.name.clone()).collect(),
            ..Candidate::default()
        }
    }

    /// Books a container.
    pub fn take(&mut self, service_id: u32, claim: &Claim) {
        self.occupy(claim);
        *self.of_service.entry(service_id).or_default() += 1;
    }

    /// Books the room of a container that is leaving: it counts for nothing else.
    pub fn occupy(&mut self, claim: &Claim) {
        self.used_cpu_milli = self.used_cpu_milli.saturating_add(claim.cpu_milli);
        self.used_memory_bytes = self.used_memory_bytes.saturating_add(claim.memory_bytes);
        self.name_ports(claim, "another container");
        self.containers += 1;
    }

    /// Says whose the ports of a booked claim are.
    pub fn name_ports(&mut self, claim: &Claim, holder: &str) {
        self.used_ports.extend(claim.host_ports.iter().map(|port| (*port, holder.to_owned())));
    }

    /// Undoes [`Candidate::take`].
    pub fn give_back(&mut self, service_id: u32, claim: &Claim) {
        self.used_cpu_milli = self.used_cpu_milli.saturating_sub(claim.cpu_milli);
        self.used_memory_bytes = self.used_memory_bytes.saturating_sub(claim.memory_bytes);
        self.used_ports.retain(|port, _| !claim.host_ports.contains(port));
        self.containers = self.containers.saturating_sub(1);
        // Who listens there is most likely this very container.
        self.listening.retain(|port, _| !claim.host_ports.contains(port));
        if let Some(count) = self.of_service.get_mut(&service_id) {
            *count = count.saturating_sub(1);
        }
    }

    fn free_cpu_milli(&self) -> u64 {
        self.cpu_milli.saturating_sub(self.used_cpu_milli)
    }
    fn free_memory_bytes(&self) -> u64 {
        self.memory_bytes.saturating_sub(self.used_memory_bytes)
    }
}

/// `22/tcp sshd` lines as ports and holders; lines of another shape say nothing.
pub fn listening(facts: &HostFacts) -> BTreeMap<HostPort, String> {
    facts.listening.iter().filter_map(|line| listener(line)).collect()
}

fn listener(line: &str) -> Option<(HostPort, String)> {
    let (socket, holder) = line.split_once(' ').unwrap_or((line, "another process"));
    let (one, other) = socket.split_once('/')?;
    let (port, protocol) = if one.parse::<u16>().is_ok() { (one, other) } else { (other, one) };
    let protocol = match protocol {
        "tcp" => remuda_api::spec::Protocol::Tcp,
        "udp" => remuda_api::spec::Protocol::Udp,
        _ => return None,
    };
    Some((HostPort { protocol, port: port.parse().ok()? }, holder.to_owned()))
}

/// Why a host is out, in the order of the filters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    Other,
    NotReady(String),
    Availability(String),
    Runtime(RuntimeKind),
    Constraint(String),
    Leftover,
    MaxPerHost,
    Port(HostPort, String),
    Cpu,
    Memory,
}

/// The first filter this host fails.
pub fn lack(wish: &Wish, host: &Candidate) -> Option<Lack> {
    if (wish.pinned_node != 0 && wish.pinned_node != host.node_id) || has_data_elsewhere(wish, host) {
        return Some(Lack::Other);
    }
    if host.state != HostState::Ready {
        return Some(Lack::NotReady(explain::kebab(&host.state)));
    }
    if host.availability != Availability::Active {
        return Some(Lack::Availability(explain::kebab(&host.availability)));
    }
    lack_of_kind(wish, host).or_else(|| lack_of_room(wish, host))
}

fn has_data_elsewhere(wish: &Wish, host: &Candidate) -> bool {
    wish.data.as_ref().is_some_and(|data| data.node_id != host.node_id)
}

/// The first filter this host fails that no amount of room would cure: data, runtime and constraints.
pub fn lack_of_kind(wish: &Wish, host: &Candidate) -> Option<Lack> {
    if has_data_elsewhere(wish, host) {
        return Some(Lack::Other);
    }
    // A host that lists no runtime is one of before there were several.
    let is_unsaid = host.runtimes.is_empty() && wish.runtime == RuntimeKind::Process;
    if !is_unsaid && !host.runtimes.iter().any(|known| known == wish.runtime.name()) {
        return Some(Lack::Runtime(wish.runtime));
    }
    lack_of_label(wish, host)
}

/// The first constraint this host does not meet.
pub fn lack_of_label(wish: &Wish, host: &Candidate) -> Option<Lack> {
    wish.constraints.iter().find(|rule| !satisfies(host, rule)).map(|rule| Lack::Constraint(wanting(rule)))
}

/// The first thing there is not enough of here.
pub fn lack_of_room(wish: &Wish, host: &Candidate) -> Option<Lack> {
    if host.leftovers.contains(wish.name) {
        return Some(Lack::Leftover);
    }
    let here = host.of_service.get(&wish.service_id).copied().unwrap_or(0);
    if wish.max_per_host != 0 && here >= wish.max_per_host {
        return Some(Lack::MaxPerHost);
    }
    for port in &wish.claim.host_ports {
        if let Some(holder) = host.used_ports.get(port).or_else(|| host.listening.get(port)) {
            return Some(Lack::Port(*port, holder.clone()));
        }
    }
    if wish.claim.cpu_milli > host.free_cpu_milli() {
        return Some(Lack::Cpu);
    }
    (wish.claim.memory_bytes > host.free_memory_bytes()).then_some(Lack::Memory)
}

fn satisfies(host: &Candidate, rule: &Constraint) -> bool {
    let is_equal = match rule.key.as_str() {
        "node.hostname" => host.name.eq_ignore_ascii_case(&rule.value),
        "node.id" => host.node_id.to_string() == rule.value,
        key => key.strip_prefix("node.labels.").and_then(|label| host.labels.get(label)) == Some(&rule.value),
    };
    is_equal == rule.equal
}

/// `lack label zone=b`, read after a number of hosts.
fn wanting(rule: &Constraint) -> String {
    let key = rule.key.strip_prefix("node.labels.");
    match (key, rule.equal) {
        (Some(label), true) => format!("lack label {label}={}", rule.value),
        (Some(label), false) => format!("have label {label}={}", rule.value),
        (None, true) => format!("are not {}={}", rule.key, rule.value),
        (None, false) => format!("are excluded by {}!={}", rule.key, rule.value),
    }
}

/// Smaller is better.
fn score<'a>(wish: &Wish, host: &'a Candidate) -> (u32, u64, u32, &'a str) {
    let share = |used: u64, all: u64| used.saturating_mul(1000).checked_div(all).unwrap_or(0);
    let load = share(host.used_cpu_milli, host.cpu_milli).max(share(host.used_memory_bytes, host.memory_bytes));
    (host.of_service.get(&wish.service_id).copied().unwrap_or(0), load, host.containers, &host.name)
}
