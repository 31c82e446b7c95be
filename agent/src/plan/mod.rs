//! The difference between what should be and what is, as actions in publishing order.
//!
//! Adding goes host, peers, routes, unit, plug, start, backend, frontend, names; removing goes in reverse and comes
//! after. So a name never leads to something that does not forward yet. What takes time (a unit that stops) is not
//! waited for: the next plan goes on from what is then observed.

mod drain;
mod restart;
mod units;

use std::collections::BTreeSet;

use crate::action::{Action, Frontend, FrontendKey};
use crate::desired::Desired;
use crate::observed::Observed;

pub(crate) use drain::drains;
pub use restart::History;
pub(crate) use restart::{is_due, wait_ms};
pub(crate) use units::comes_back;

/// What to do now, and when to look again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub actions: Vec<Action>,
    /// Unix milliseconds of the next restart that is due, or look at a unit that drains; None = nothing to wait for.
    pub again_ms: Option<u64>,
}

/// Plans one round at `now_ms` (Unix milliseconds).
///
/// `may_remove` is false until the source has told everything: what is then unknown is left alone.
pub fn plan(desired: &Desired, observed: &Observed, history: &History, may_remove: bool, now_ms: u64) -> Plan {
    let units = units::plan(desired, observed, history, may_remove, now_ms);
    let mut actions = Vec::new();
    put_host(desired, observed, &mut actions);
    actions.extend(units.adding);
    put_backends(desired, observed, &mut actions);
    let (growing, shrinking) = changed_frontends(desired, observed);
    actions.extend(growing);
    if observed.names_generation != desired.generation {
        actions.push(Action::PublishNames { generation: desired.generation });
    }
    actions.extend(shrinking);
    if may_remove {
        remove_frontends(desired, observed, &mut actions);
    }
    actions.extend(units.removing);
    if may_remove {
        remove_peers(desired, observed, &mut actions);
    }
    Plan { actions, again_ms: units.again_ms }
}

fn put_host(desired: &Desired, observed: &Observed, actions: &mut Vec<Action>) {
    let kernel = &observed.kernel;
    if kernel.host.as_ref() != Some(&desired.host) {
        actions.push(Action::SetHost(desired.host.clone()));
    }
    let nodes = desired.nodes.iter().filter(|(id, node)| kernel.nodes.get(id) != Some(node));
    actions.extend(nodes.map(|(_, node)| Action::PutNode(*node)));
    let routes = desired.routes.iter().filter(|(prefix, route)| kernel.routes.get(prefix) != Some(route));
    actions.extend(routes.map(|(prefix, route)| Action::PutRoute(*prefix, *route)));
}

fn put_backends(desired: &Desired, observed: &Observed, actions: &mut Vec<Action>) {
    let changed = desired.backends.iter().filter(|(id, backend)| observed.kernel.backends.get(id) != Some(backend));
    actions.extend(changed.map(|(_, backend)| Action::PutBackend(backend.clone())));
}

/// Frontends to write before the names are published, and those that only lose backends: after.
fn changed_frontends(desired: &Desired, observed: &Observed) -> (Vec<Action>, Vec<Action>) {
    let held = &observed.kernel.frontends;
    let changed = desired.frontends.iter().filter(|(key, frontend)| held.get(key) != Some(frontend));
    let (growing, shrinking): (Vec<_>, Vec<_>) =
        changed.partition(|(key, frontend)| held.get(key).is_none_or(|held| !only_loses_backends(held, frontend)));
    let put = |changed: Vec<(&FrontendKey, &Frontend)>| {
        changed.into_iter().map(|(_, frontend)| Action::PutFrontend(frontend.clone())).collect()
    };
    (put(growing), put(shrinking))
}

fn only_loses_backends(held: &Frontend, wanted: &Frontend) -> bool {
    let Frontend { backends, draining, silent, .. } = held.clone();
    let same_but_backends = Frontend { backends, draining, silent, ..wanted.clone() } == *held;
    same_but_backends && wanted.backends.iter().all(|id| held.backends.contains(id))
}

fn remove_frontends(desired: &Desired, observed: &Observed, actions: &mut Vec<Action>) {
    let kernel = &observed.kernel;
    let frontends = kernel.frontends.keys().filter(|key| !desired.frontends.contains_key(key));
    actions.extend(frontends.map(|key| Action::RemoveFrontend(*key)));
    let still_used: BTreeSet<_> = desired.backends.values().map(|backend| backend.ip).collect();
    let mut broken = Vec::new();
    for backend in kernel.backends.values().filter(|backend| !desired.backends.contains_key(&backend.id)) {
        actions.push(Action::RemoveBackend { id: backend.id });
        if !backend.host_network && !still_used.contains(&backend.ip) {
            broken.push(backend.ip);
        }
    }
    // One action for all: each enters every namespace of the host.
    if !broken.is_empty() {
        actions.push(Action::BreakFlows { ips: broken });
    }
}

fn remove_peers(desired: &Desired, observed: &Observed, actions: &mut Vec<Action>) {
    let kernel = &observed.kernel;
    let routes = kernel.routes.keys().filter(|prefix| !desired.routes.contains_key(prefix));
    actions.extend(routes.map(|prefix| Action::RemoveRoute(*prefix)));
    let nodes = kernel.nodes.iter().filter(|(id, _)| !desired.nodes.contains_key(id));
    actions.extend(nodes.map(|(_, node)| Action::RemoveNode(*node)));
}

#[cfg(test)]
mod tests;
