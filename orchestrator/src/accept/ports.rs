//! Which ports may be published: none twice in the fleet, none of ours, none of a host's own.

use std::collections::BTreeMap;

use remuda_api::spec::{PortSpec, PublishMode, StackSpec};

use super::Faults;
use crate::place;
use crate::state::{HostPort, Service, State};

/// Ports that the fleet itself or its operators need, and what for.
const RESERVED: [(u16, &str); 5] = [
    (22, "ssh"),
    (8443, "the API and agent connections"),
    (8444, "agent metrics"),
    (8445, "gossip between agents"),
    (4789, "the tunnel"),
];
/// Source ports of what leaves the fleet: an answer must not look like a request.
const SNAT_FIRST: u16 = 61_000;

pub(super) fn check(state: &State, stack: &str, spec: &StackSpec, prune: bool, faults: &mut Faults) {
    let foreign = published_elsewhere(state, stack, spec, prune);
    let held = held_by_hosts(state);
    let mut seen: BTreeMap<HostPort, (String, PublishMode)> = BTreeMap::new();
    for (name, service) in &spec.services {
        let before = state.service(stack, name);
        for (index, port) in service.ports.iter().enumerate() {
            let base = format!("services.{name}.ports[{index}]");
            if port.target == 0 {
                faults.add(format!("{base}.target"), "0 is no port: 1 to 65535");
            }
            let Some(published) = HostPort::of(port) else { continue };
            let field = format!("{base}.published");
            if let Some(why) = forbidden(published) {
                faults.add(&field, why);
            }
            if let Some((holder, mode)) = seen.insert(published, (name.clone(), port.mode))
                && (holder == *name || mode == PublishMode::Ingress || port.mode == PublishMode::Ingress)
            {
                faults.add(&field, format!("{published} is published by service `{holder}` of this stack already"));
            }
            if let Some((holder, mode)) = foreign.get(&published)
                && (*mode == PublishMode::Ingress || port.mode == PublishMode::Ingress)
            {
                faults.add(&field, format!("{published} is published by {holder} already"));
            }
            let is_ours = before.is_some_and(|service| publishes(&service.spec.ports, published));
            if port.mode == PublishMode::Ingress
                && !is_ours
                && let Some(holder) = held.get(&published)
            {
                faults.add(&field, format!("{published} is in use by {holder}: stop it or publish another port"));
            }
        }
    }
}

fn publishes(ports: &[PortSpec], wanted: HostPort) -> bool {
    ports.iter().filter_map(HostPort::of).any(|port| port == wanted)
}

fn forbidden(published: HostPort) -> Option<String> {
    if published.port == 0 {
        return Some("0 is no port: 1 to 60999".into());
    }
    if published.port >= SNAT_FIRST {
        return Some(format!("{published} lies in {SNAT_FIRST}-65535, kept for traffic that leaves the fleet"));
    }
    let reserved = RESERVED.iter().find(|(port, _)| *port == published.port);
    reserved.map(|(port, purpose)| format!("{port} is reserved for {purpose}: publish another port"))
}

/// Published by services that stay beside `spec`: those of other stacks, and those of its own that it does not name
/// and does not prune. The ingress-published one where a port has several.
fn published_elsewhere(
    state: &State,
    stack: &str,
    spec: &StackSpec,
    prune: bool,
) -> BTreeMap<HostPort, (String, PublishMode)> {
    let mut found: BTreeMap<HostPort, (String, PublishMode)> = BTreeMap::new();
    let stays = |service: &Service| match service.stack == stack {
        true => !prune && !service.removing && !spec.services.contains_key(&service.name),
        false => true,
    };
    for service in state.services.values().filter(|service| stays(service)) {
        for port in &service.spec.ports {
            let Some(published) = HostPort::of(port) else { continue };
            let holder = (format!("service `{}` of stack `{}`", service.name, service.stack), port.mode);
            match port.mode {
                PublishMode::Ingress => drop(found.insert(published, holder)),
                PublishMode::Host => drop(found.entry(published).or_insert(holder)),
            }
        }
    }
    found
}

/// Ports with a listener of a host's own: `sshd on h1`.
fn held_by_hosts(state: &State) -> BTreeMap<HostPort, String> {
    let mut held = BTreeMap::new();
    for node in state.nodes.values() {
        for (port, process) in place::listening(&node.facts) {
            held.entry(port).or_insert_with(|| format!("{process} on host {}", node.name));
        }
    }
    held
}
