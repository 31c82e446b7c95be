//! Off a host that is drained: another one first, then this one leaves.
//!
//! A moving container serves on and counts no more towards its service's scale, so another one is created elsewhere.
//! It leaves once that one serves in its place; at once where there is nothing to wait for: it does not serve itself,
//! belongs to this host alone (a global service), the other one gets its address, or nobody has room for another one.

use std::collections::BTreeMap;

use remuda_api::resource::{Availability, HostState};

use super::leave::leave;
use super::{heir, names_where};
use crate::state::{Container, State};

/// A replacement that is not in service after this, or after the time its health check gives it, holds up a drain no
/// longer.
const REPLACEMENT_TIMEOUT_MS: u64 = 60_000;

/// Something will change at this time although nobody says anything (unix ms).
pub(super) fn next_deadline_ms(state: &State) -> Option<u64> {
    let moving = state.containers.values().filter(|container| is_moving(container));
    moving.filter_map(|container| overdue_ms(state, container)).min()
}

/// Marks what must leave its host, and takes the mark from what may stay after all.
pub(super) fn start_moving(state: &mut State, now_ms: u64) {
    let is_drained =
        |c: &Container| state.nodes.get(&c.node_id).is_some_and(|node| node.availability == Availability::Drain);
    let changed = names_where(state, |c| c.is_wanted() && is_drained(c) != c.moving_since_ms.is_some());
    for name in changed {
        state.edit_container(&name, |c| c.moving_since_ms = c.moving_since_ms.is_none().then_some(now_ms));
    }
}

/// Lets those leave that are replaced, or that nothing will replace.
pub(super) fn advance_moving(state: &mut State, now_ms: u64) {
    let mut spare: BTreeMap<u32, i64> = BTreeMap::new();
    for name in names_where(state, is_moving) {
        let Some(container) = state.containers.get(&name).cloned() else { continue };
        if !serves(state, &container) || container.pinned_node != 0 || heir::keeps_address(state, &container) {
            leave(state, &name, now_ms);
            continue;
        }
        let spare = spare.entry(container.service_id).or_insert_with(|| in_place(state, container.service_id));
        if *spare > 0 || overdue_ms(state, &container).is_some_and(|ms| ms <= now_ms) {
            *spare -= 1;
            leave(state, &name, now_ms);
        }
    }
}

fn is_moving(container: &Container) -> bool {
    container.is_wanted() && container.moving_since_ms.is_some()
}

/// Takes new flows, as far as is known.
fn serves(state: &State, container: &Container) -> bool {
    container.is_serving() && !state.is_lost(container.node_id)
}

/// When it has waited long enough for its replacement (unix ms).
fn overdue_ms(state: &State, container: &Container) -> Option<u64> {
    let check = state.services.get(&container.service_id).and_then(|service| service.spec.health_check.as_ref());
    let patience_ms = check.map_or(0, |check| check.initializing_timeout_ms).max(REPLACEMENT_TIMEOUT_MS);
    container.moving_since_ms.map(|since_ms| since_ms.saturating_add(patience_ms))
}

/// How many containers of the service may leave without another one missing: those that serve, or that wait for room
/// nobody has, above its scale.
fn in_place(state: &State, service_id: u32) -> i64 {
    let may_find_room = is_somebody_coming(state);
    let waits_in_vain = |c: &Container| c.node_id == 0 && !c.pending_reason.is_empty() && !may_find_room;
    let counted = state.containers_of(service_id).filter(|c| c.is_wanted() && (serves(state, c) || waits_in_vain(c)));
    let scale = state.services.get(&service_id).map_or(0, |service| service.wanted());
    counted.count() as i64 - i64::from(scale)
}

/// A host that takes containers is away for a moment: there may be room in the next.
fn is_somebody_coming(state: &State) -> bool {
    state.nodes.values().filter(|node| node.availability == Availability::Active).any(|node| {
        matches!(state.host_state(node.id), HostState::Suspect | HostState::Joining) && !state.is_lost(node.id)
    })
}
