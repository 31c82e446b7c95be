//! Who checks what: up to three hosts per container, by rendezvous hashing.
//!
//! Each pair of endpoint and host has a score, and the hosts with the best scores check. So a host that comes takes over
//! about its share of the checks, one that goes gives up its own, and nobody else's move. A container's own host checks
//! it only when there is no other.
//!
//! Asked are hosts that are ready or suspect. A suspect host does not vote, but it is ready or gone within seconds, and
//! after a restart of the server all are suspect at first: to take the checks away from it would make it begin anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remuda_api::assignment::Check;
use remuda_api::health::{CHECKERS_MAX, HealthCheck};
use remuda_api::resource::HostState;

use crate::state::{Container, State};

/// Who checks what. Not stored: made again from the hosts and containers there are, always the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkers {
    /// Hosts that can be asked, ascending.
    hosts: Vec<u32>,
    by_endpoint: BTreeMap<u32, Asked>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Asked {
    /// The host the container runs on.
    own: u32,
    /// Best first; 0 = none.
    hosts: [u32; CHECKERS_MAX],
}

impl Checkers {
    /// The hosts asked to check this endpoint.
    pub fn of(&self, endpoint_id: u32) -> impl Iterator<Item = u32> + use<> {
        let asked = self.by_endpoint.get(&endpoint_id).copied().unwrap_or_default();
        asked.hosts.into_iter().filter(|host| *host != 0)
    }

    pub fn asks(&self, node_id: u32, endpoint_id: u32) -> bool {
        self.of(endpoint_id).any(|host| host == node_id)
    }

    /// A host that cannot be asked now and may have been: it has just come back, and says what it found.
    pub(super) fn may_have_asked(&self, node_id: u32, endpoint_id: u32) -> bool {
        self.hosts.binary_search(&node_id).is_err() && self.by_endpoint.contains_key(&endpoint_id)
    }

    /// The table for these hosts (ascending) and endpoints (with the host each runs on), made from this one.
    pub(super) fn next(&self, hosts: Vec<u32>, checked: &[(u32, u32)]) -> Checkers {
        let is_new = |host: &&u32| self.hosts.binary_search(host).is_err();
        let new: Vec<u32> = hosts.iter().filter(is_new).copied().collect();
        let stays = |host: u32| hosts.binary_search(&host).is_ok();
        let pick_for = |(endpoint_id, own): (u32, u32)| match self.by_endpoint.get(&endpoint_id) {
            // The best of the old ones and the new ones are the best of all.
            Some(asked) if asked.own == own && asked.hosts.iter().all(|host| *host == 0 || stays(*host)) => {
                let held = asked.hosts.into_iter().filter(|host| *host != 0);
                if new.is_empty() { *asked } else { pick(endpoint_id, own, held.chain(new.iter().copied())) }
            }
            _ => pick(endpoint_id, own, hosts.iter().copied()),
        };
        let by_endpoint = checked.iter().map(|pair| (pair.0, pick_for(*pair))).collect();
        Checkers { hosts, by_endpoint }
    }

    fn is_for(&self, hosts: &[u32], checked: &[(u32, u32)]) -> bool {
        let has = |(endpoint_id, own): &(u32, u32)| self.by_endpoint.get(endpoint_id).is_some_and(|a| a.own == *own);
        self.hosts == hosts && self.by_endpoint.len() == checked.len() && checked.iter().all(has)
    }
}

/// Asks the right hosts: chooses checkers for what there is now, and forgets what was said of what is gone.
pub fn ask(state: &mut State) {
    let is_there = |id: &u32| matches!(state.host_state(*id), HostState::Ready | HostState::Suspect);
    let hosts: Vec<u32> = state.nodes.keys().copied().filter(is_there).collect();
    let checked: Vec<(u32, u32)> = checked(state).map(|(c, _)| (c.endpoint_id, c.node_id)).collect();
    if state.checkers.is_for(&hosts, &checked) {
        return;
    }
    state.checkers = Arc::new(state.checkers.next(hosts, &checked));
    let existing: BTreeSet<u32> = state.containers.values().map(|container| container.endpoint_id).collect();
    for live in state.live.values_mut() {
        if !live.checks.keys().all(|endpoint_id| existing.contains(endpoint_id)) {
            Arc::make_mut(&mut live.checks).retain(|endpoint_id, _| existing.contains(endpoint_id));
        }
    }
}

/// Containers that are checked from outside, and how: those that run and shall run.
fn checked(state: &State) -> impl Iterator<Item = (&Container, &HealthCheck)> {
    let running = state.containers.values().filter(|c| c.is_wanted() && c.is_running());
    running.filter(|c| c.endpoint_id != 0).filter_map(|container| {
        let service = state.services.get(&container.service_id)?;
        Some((&**container, service.spec.health_check.as_ref()?))
    })
}

/// What every host is told to check, made once per generation.
#[derive(Clone, Debug, Default)]
pub struct Checks {
    by_endpoint: BTreeMap<u32, Check>,
    /// Endpoint ids by host, ascending.
    by_host: BTreeMap<u32, Vec<u32>>,
}

impl Checks {
    pub fn of(state: &State) -> Checks {
        let by_endpoint: BTreeMap<u32, Check> = checked(state)
            .filter_map(|(container, check)| Some((container.endpoint_id, told(state, container, check)?)))
            .collect();
        let mut by_host: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for endpoint_id in by_endpoint.keys() {
            for host in state.checkers.of(*endpoint_id) {
                by_host.entry(host).or_default().push(*endpoint_id);
            }
        }
        Checks { by_endpoint, by_host }
    }

    /// Sorted by endpoint id.
    pub fn of_host(&self, node_id: u32) -> Vec<Check> {
        let ids = self.by_host.get(&node_id).map_or(&[][..], Vec::as_slice);
        ids.iter().filter_map(|id| self.by_endpoint.get(id).cloned()).collect()
    }
}

fn told(state: &State, container: &Container, check: &HealthCheck) -> Option<Check> {
    let ip = match container.ip {
        Some(ip) => ip.to_string(),
        None => state.nodes.get(&container.node_id)?.facts.underlay_ip.clone(),
    };
    Some(Check {
        endpoint_id: container.endpoint_id,
        container: container.name.clone(),
        ip,
        port: check.port.into(),
        request_line: check.request_line.clone().unwrap_or_default(),
        interval_ms: check.interval_ms,
        timeout_ms: check.response_timeout_ms,
        rise: check.healthy_threshold,
        fall: check.unhealthy_threshold,
    })
}

/// The hosts with the best scores that are not the container's own; that one if there is no other.
fn pick(endpoint_id: u32, own: u32, hosts: impl Iterator<Item = u32>) -> Asked {
    let mut best = [(0_u64, 0_u32); CHECKERS_MAX];
    let mut own_is_there = false;
    for host in hosts {
        own_is_there |= host == own;
        let mut scored = (score(endpoint_id, host), host);
        if host == own || scored < best[CHECKERS_MAX - 1] {
            continue;
        }
        for place in &mut best {
            if scored > *place {
                std::mem::swap(place, &mut scored);
            }
        }
    }
    let mut hosts = best.map(|(_, host)| host);
    if hosts[0] == 0 && own_is_there {
        hosts[0] = own;
    }
    Asked { own, hosts }
}

/// Evenly spread over all pairs (the finalizer of splitmix64).
fn score(endpoint_id: u32, node_id: u32) -> u64 {
    let mut x = (u64::from(endpoint_id) << 32) | u64::from(node_id);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
