//! The way out of a container: draining, stopping, forgotten; and who goes when there are too many.

use std::collections::BTreeMap;
use std::sync::Arc;

use remuda_api::resource::HostState;

use super::{names_where, number, wanted_counts};
use crate::state::{Container, Leftover, Stage, State};

/// A host that does not confirm a generation holds up a stop no longer than this.
pub const CONFIRM_TIMEOUT_MS: u64 = 2_000;

/// Something will change at this time although nobody says anything (unix ms).
pub(super) fn next_deadline_ms(state: &State) -> Option<u64> {
    let draining = state.containers.values().filter_map(|container| match container.stage {
        Stage::Draining { since_ms, .. } => Some(since_ms + CONFIRM_TIMEOUT_MS),
        _ => None,
    });
    draining.min()
}

/// Starts the way out of a container; one without a place is simply forgotten, as is one of a lost host, which leaves
/// something behind there.
pub(crate) fn leave(state: &mut State, name: &str, now_ms: u64) {
    let revision = state.revision;
    let Some(container) = state.containers.get(name) else { return };
    if container.node_id == 0 {
        state.containers.remove(name);
        return;
    }
    if state.is_lost(container.node_id) {
        forget_on_lost(state, name);
        return;
    }
    let Some(container) = state.containers.get_mut(name) else { return };
    let draining = Stage::Draining { revision, since_ms: now_ms };
    let serves = container.is_serving();
    let container = Arc::make_mut(container);
    container.stage = if serves { draining } else { Stage::Stopping };
    container.drains = serves;
}

/// Nobody is there to stop it: its host stops what it no longer is asked for, should it come back.
fn forget_on_lost(state: &mut State, name: &str) {
    let Some(container) = state.containers.remove(name) else { return };
    if let Some(node) = state.nodes.get_mut(&container.node_id) {
        let leftover = Leftover { name: name.to_owned(), endpoint_id: container.endpoint_id, ip: container.ip };
        Arc::make_mut(node).leftovers.push(leftover);
    }
}

/// Stops what every host has taken out of service, and forgets what was on its way out on a host that is lost.
pub(super) fn advance_leaving(state: &mut State, now_ms: u64) {
    for name in names_where(state, |container| !container.is_wanted() && state.is_lost(container.node_id)) {
        forget_on_lost(state, &name);
    }
    let ready = state.live.values().filter(|live| live.state == HostState::Ready);
    let confirmed = ready.map(|live| live.generation).min().unwrap_or(u64::MAX);
    for name in names_where(state, |container| match container.stage {
        Stage::Draining { revision, since_ms } => revision <= confirmed || since_ms + CONFIRM_TIMEOUT_MS <= now_ms,
        _ => false,
    }) {
        state.edit_container(&name, |container| container.stage = Stage::Stopping);
    }
}

/// Containers above the declared scale: first those without a place or on a lost host, then those that do not serve,
/// then from the fullest host, the newest first.
pub(super) fn retire_surplus(state: &mut State, now_ms: u64) {
    let counts = wanted_counts(state);
    for service in state.services.values().cloned().collect::<Vec<_>>() {
        let have = counts.get(&service.id).copied().unwrap_or(0);
        if service.is_global() || have <= service.wanted() {
            continue;
        }
        let mut wanted: Vec<_> = state.containers_of(service.id).filter(|c| c.is_staying()).cloned().collect();
        for _ in service.wanted()..have {
            let victim = surplus(state, &wanted);
            let gone = wanted.swap_remove(victim);
            leave(state, &gone.name, now_ms);
        }
    }
}

/// The index of the container to give up next; `wanted` is not empty.
fn surplus(state: &State, wanted: &[Arc<Container>]) -> usize {
    let mut per_host: BTreeMap<u32, usize> = BTreeMap::new();
    wanted.iter().for_each(|container| *per_host.entry(container.node_id).or_default() += 1);
    let rank = |container: &Container| {
        let is_nowhere = container.node_id == 0 || state.is_lost(container.node_id);
        let load = per_host[&container.node_id];
        (is_nowhere, !container.is_serving(), load, number(container), container.name.clone())
    };
    (0..wanted.len()).max_by_key(|at| rank(&wanted[*at])).unwrap_or(0)
}
