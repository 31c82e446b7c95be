//! A host for every container that has none, or whose host is lost.
//!
//! A container of a lost host moves only when there is a place for it; until then its record stays where it was, so
//! that nothing is stopped should the host come back first. What it leaves behind there is remembered
//! ([`crate::state::Leftover`]): its address is nobody else's until the host has said that it is gone.

use std::collections::BTreeMap;
use std::sync::Arc;

use remuda_api::resource::Health;
use remuda_api::spec::RuntimeKind;

use super::addresses::Used;
use super::{candidates, heir, number, waits_for, wish};
use crate::place::{self, Candidate, Wish};
use crate::state::{Claim, Container, Leftover, Service, State, Verdict};
use crate::{runtime, volumes};

/// What may still be given away.
struct Room {
    hosts: Vec<Candidate>,
    used: Used,
    /// By service id: all that are placed now run under the same.
    runtimes: BTreeMap<u32, RuntimeKind>,
}

pub(super) fn place_pending(state: &mut State, now_ms: u64) {
    let mut pending: Vec<Arc<Container>> =
        state.containers.values().filter(|container| needs_host(state, container)).cloned().collect();
    if pending.is_empty() {
        return;
    }
    pending.sort_by_key(|container| (container.created_ms, container.service_id, number(container)));
    let mut room = Room { hosts: candidates(state), used: Used::of(state), runtimes: BTreeMap::new() };
    // What refused one container of a service refuses the next one.
    let mut refused: BTreeMap<u32, String> = BTreeMap::new();
    for container in pending {
        let Some(service) = state.services.get(&container.service_id).cloned() else { continue };
        let outcome = match refused.get(&service.id) {
            Some(why) if container.pinned_node == 0 && container.heir_of.is_none() => Err(why.clone()),
            _ => place_one(state, &mut room, &service, &container, now_ms),
        };
        if let Err(why) = outcome {
            if container.pending_reason != why {
                state.edit_container(&container.name, |c| c.pending_reason.clone_from(&why));
            }
            // A host that still has a container of this name refuses this one only, and an address is one's own.
            let is_its_own = || room.hosts.iter().any(|host| host.leftovers.contains(&container.name));
            if container.heir_of.is_none() && !is_its_own() {
                refused.insert(service.id, why);
            }
        }
    }
}

/// It has none, or may leave the one it has: a container of one certain host waits for that host.
fn needs_host(state: &State, container: &Container) -> bool {
    let is_stranded = container.pinned_node == 0 && state.is_lost(container.node_id);
    container.is_staying() && (container.node_id == 0 || is_stranded)
}

fn place_one(
    state: &mut State,
    room: &mut Room,
    service: &Service,
    container: &Container,
    now_ms: u64,
) -> Result<(), String> {
    if !service.released
        && let Some(why) = waits_for(state, service)
    {
        return Err(why);
    }
    let claim = Claim::of(service);
    let runtime = *room.runtimes.entry(service.id).or_insert_with(|| runtime::of(state, service));
    let data = volumes::pin(state, service)?;
    let kept = heir::address(state, service, container)?;
    let wish = Wish { name: &container.name, data, ..wish(service, runtime, &claim, container.pinned_node) };
    let node_id = place::place(&wish, &room.hosts)?;
    let (endpoint_id, ip) = room.used.address(state, node_id, service.spec.network_mode, kept)?;
    if let Some(host) = room.hosts.iter_mut().find(|host| host.node_id == node_id) {
        host.take(service.id, &claim);
        host.name_ports(&claim, &container.name);
    }
    if container.node_id != 0 {
        leave_behind(state, container, node_id, now_ms);
    }
    volumes::settle(state, service, node_id);
    state.edit_container(&container.name, |c| {
        (c.node_id, c.endpoint_id, c.ip, c.claim, c.runtime) = (node_id, endpoint_id, ip, claim, runtime);
        c.pending_reason.clear();
        c.heir_of = None;
        c.spec_revision = service.spec_revision;
        if container.node_id != 0 {
            c.status = None;
            c.verdict = Verdict { health: Health::Initializing, since_ms: now_ms, ..Verdict::default() };
        }
    });
    Ok(())
}

/// Remembers what is still on the lost host, and says that the container moved.
fn leave_behind(state: &mut State, container: &Container, to: u32, now_ms: u64) {
    let leftover = Leftover { name: container.name.clone(), endpoint_id: container.endpoint_id, ip: container.ip };
    let name_of = |state: &State, id| state.nodes.get(&id).map(|node| node.name.clone()).unwrap_or_default();
    let (from, to) = (name_of(state, container.node_id), name_of(state, to));
    if let Some(node) = state.nodes.get_mut(&container.node_id) {
        Arc::make_mut(node).leftovers.push(leftover);
    }
    state.record(now_ms, "container-moved", container.name.clone(), format!("{from} is lost: now on {to}"));
}
