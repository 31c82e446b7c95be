//! Off a host that is drained: another one first, then this one leaves.
//!
//! A moving container serves on and counts no more towards its service's scale, so another one is created elsewhere.
//! It leaves once that one serves in its place; at once where there is nothing to wait for: it does not serve itself,
//! belongs to this host alone (a global service), or nobody has room for another one.

use std::collections::BTreeMap;

use remuda_api::resource::Availability;

use super::leave::leave;
use super::names_where;
use crate::state::{Container, State};

/// A replacement that is not in service after this holds up a drain no longer.
const REPLACEMENT_TIMEOUT_MS: u64 = 60_000;

/// Something will change at this time although nobody says anything (unix ms).
pub(super) fn next_deadline_ms(state: &State) -> Option<u64> {
    state.containers.values().filter_map(|c| c.moving_since_ms).map(|since_ms| since_ms + REPLACEMENT_TIMEOUT_MS).min()
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
    let moving = names_where(state, |c| c.is_wanted() && c.moving_since_ms.is_some());
    for name in moving {
        let Some(container) = state.containers.get(&name).cloned() else { continue };
        let is_overdue = container.moving_since_ms.is_some_and(|ms| ms + REPLACEMENT_TIMEOUT_MS <= now_ms);
        let spare = spare.entry(container.service_id).or_insert_with(|| in_place(state, container.service_id));
        if !container.is_serving() || container.pinned_node != 0 || is_overdue {
            leave(state, &name, now_ms);
        } else if *spare > 0 {
            *spare -= 1;
            leave(state, &name, now_ms);
        }
    }
}

/// How many containers of the service may leave without another one missing: those that serve, or that wait for room
/// nobody has, above its scale.
fn in_place(state: &State, service_id: u32) -> i64 {
    let waits = |c: &Container| c.node_id == 0 && !c.pending_reason.is_empty();
    let counted = state.containers_of(service_id).filter(|c| c.is_wanted() && (c.is_serving() || waits(c)));
    let scale = state.services.get(&service_id).map_or(0, |service| service.scale);
    counted.count() as i64 - i64::from(scale)
}
