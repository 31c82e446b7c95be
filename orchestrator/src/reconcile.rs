//! From what is declared to container records with a place, and from unwanted containers to none.
//!
//! Runs inside every change, on the changed copy of the state, and is idempotent: whatever the cause of a wait was
//! (a label, room, a host, a dependency), the change that removes it places what waited ([`pending`]); what ran on a
//! host that is lost is placed the same way. A host that is drained is left one container after the other, each once
//! another one serves in its place ([`moving`]). Leaving goes in order ([`mod@leave`]): out of names, lists and rings
//! (draining), told to stop once every host has that, forgotten when its host says so.

mod addresses;
mod heir;
mod leave;
mod moving;
mod pending;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remuda_api::names;
use remuda_api::resource::{Availability, ContainerState, Health, HostState};
use remuda_api::spec::{DependsOn, NetworkMode, RuntimeKind};

pub use leave::CONFIRM_TIMEOUT_MS;

pub(crate) use addresses::taken_blocks;
pub(crate) use leave::leave;
use leave::{advance_leaving, retire_surplus};
use moving::{advance_moving, start_moving};
use pending::place_pending;

use crate::balancer;
use crate::health;
use crate::place::{self, Candidate, Wish};
use crate::state::{Claim, Container, Service, State};
use crate::{runtime, volumes};

/// Brings the records in line with what is declared and with what hosts said.
pub fn reconcile(state: &mut State, now_ms: u64) {
    forget_lost(state);
    health::judge(state, now_ms);
    advance_leaving(state, now_ms);
    release_waiting(state);
    follow_specs(state, now_ms);
    retire_unfit(state, now_ms);
    start_moving(state, now_ms);
    retire_surplus(state, now_ms);
    create_missing(state, now_ms);
    place_pending(state, now_ms);
    advance_moving(state, now_ms);
    sweep(state);
    volumes::follow_hosts(state);
    balancer::announce(state, now_ms);
    health::ask(state);
}

/// Something will change at this time although nobody says anything (unix ms).
pub fn next_deadline_ms(state: &State) -> Option<u64> {
    let deadlines = [leave::next_deadline_ms, moving::next_deadline_ms, health::next_deadline_ms];
    deadlines.into_iter().filter_map(|of| of(state)).min()
}

/// What a container of `service` asks of a host, wherever its data is.
pub fn wish<'a>(service: &'a Service, runtime: RuntimeKind, claim: &'a Claim, pinned_node: u32) -> Wish<'a> {
    Wish {
        service_id: service.id,
        claim,
        constraints: &service.spec.constraints,
        max_per_host: service.spec.max_replicas_per_node,
        name: "",
        runtime,
        pinned_node,
        data: None,
    }
}

/// Every host with all that is placed on it.
pub fn candidates(state: &State) -> Vec<Candidate> {
    let mut hosts: BTreeMap<u32, Candidate> =
        state.nodes.values().map(|node| (node.id, Candidate::of(node, state.host_state(node.id)))).collect();
    for container in state.containers.values() {
        let Some(host) = hosts.get_mut(&container.node_id) else { continue };
        match container.is_wanted() {
            true => host.take(container.service_id, &container.claim),
            false => host.occupy(&container.claim),
        }
        host.name_ports(&container.claim, &container.name);
    }
    hosts.into_values().collect()
}

/// Containers of hosts that are no longer in the fleet.
fn forget_lost(state: &mut State) {
    heir::outlive_hosts(state);
    let State { nodes, containers, .. } = state;
    let exists = |id: u32| id == 0 || nodes.contains_key(&id);
    containers.retain(|_, container| exists(container.node_id) && exists(container.pinned_node));
}

/// Services whose dependencies are there now.
fn release_waiting(state: &mut State) {
    let waiting = state.services.values().filter(|service| !service.released && !service.removing);
    let free: Vec<u32> = waiting.filter(|service| waits_for(state, service).is_none()).map(|s| s.id).collect();
    for id in free {
        if let Some(service) = state.services.get_mut(&id) {
            Arc::make_mut(service).released = true;
        }
    }
}

/// What `service` waits for, in words.
fn waits_for(state: &State, service: &Service) -> Option<String> {
    service.spec.depends_on.iter().find_map(|(name, condition)| {
        let dependency = state.service(&service.stack, name)?;
        if !dependency.spec.has_containers() {
            let is_well = || dependency.rest.is_some() || balancer::is_healthy(state, dependency);
            let is_met = *condition != DependsOn::ServiceHealthy || is_well();
            return (!is_met).then(|| format!("waits for {name} to be healthy"));
        }
        let wanted: Vec<_> = state.containers_of(dependency.id).filter(|c| c.is_wanted()).collect();
        if wanted.is_empty() && dependency.wanted() == 0 {
            return None;
        }
        let ended_well = |c: &&Arc<Container>| {
            c.state() == ContainerState::Complete && c.status.as_ref().is_some_and(|s| s.exit_code == 0)
        };
        let (is_met, words) = match condition {
            DependsOn::ServiceStarted => (wanted.iter().any(|c| has_started(c)), "to start"),
            DependsOn::ServiceHealthy => (wanted.iter().any(|c| c.health() == Health::Healthy), "to be healthy"),
            DependsOn::ServiceCompletedSuccessfully => {
                (!wanted.is_empty() && wanted.iter().all(ended_well), "to complete successfully")
            }
        };
        (!is_met).then(|| format!("waits for {name} {words}"))
    })
}

fn has_started(container: &Container) -> bool {
    matches!(container.state(), ContainerState::Running | ContainerState::Complete)
}

/// Containers made from an older spec: changed where they are if they still fit there, else moved.
fn follow_specs(state: &mut State, now_ms: u64) {
    let is_behind = |container: &Container, service: &Service| {
        container.is_staying() && container.node_id != 0 && container.spec_revision != service.spec_revision
    };
    let behind = names_where(state, |c| state.services.get(&c.service_id).is_some_and(|s| is_behind(c, s)));
    if behind.is_empty() {
        return;
    }
    let mut hosts = candidates(state);
    for name in behind {
        let Some((container, service)) = with_service(state, &name) else { continue };
        let Some(host) = hosts.iter_mut().find(|host| host.node_id == container.node_id) else { continue };
        let claim = Claim::of(&service);
        host.give_back(service.id, &container.claim);
        let fits = fits(state, &service, &container, &claim, host);
        if fits && has_right_addresses(&container, &service) {
            host.take(service.id, &claim);
            state.edit_container(&name, |c| (c.claim, c.spec_revision) = (claim, service.spec_revision));
            volumes::settle(state, &service, container.node_id);
        } else {
            host.occupy(&container.claim);
            leave(state, &name, now_ms);
        }
    }
}

/// What its service now says can run where the container is, in its place.
fn fits(state: &State, service: &Service, container: &Container, claim: &Claim, host: &Candidate) -> bool {
    let Ok(data) = volumes::pin(state, service) else { return false };
    let wish = Wish { data, ..wish(service, runtime::of(state, service), claim, container.pinned_node) };
    wish.runtime == container.runtime
        && place::lack_of_kind(&wish, host).or_else(|| place::lack_of_room(&wish, host)).is_none()
}

fn has_right_addresses(container: &Container, service: &Service) -> bool {
    match service.spec.network_mode {
        NetworkMode::Managed => container.ip.is_some(),
        NetworkMode::Host => container.ip.is_none() && container.endpoint_id != 0,
        NetworkMode::None => container.endpoint_id == 0,
    }
}

fn with_service(state: &State, name: &str) -> Option<(Arc<Container>, Arc<Service>)> {
    let container = state.containers.get(name)?;
    Some((container.clone(), state.services.get(&container.service_id)?.clone()))
}

/// Containers whose service goes, is stopped or works without any, or whose host no longer meets the constraints.
fn retire_unfit(state: &mut State, now_ms: u64) {
    let unfit = |container: &Container| {
        let Some(service) = state.services.get(&container.service_id) else { return true };
        let host = if container.node_id != 0 { container.node_id } else { container.pinned_node };
        let is_over = !service.is_active() || !service.spec.has_containers();
        let Some(node) = state.nodes.get(&host) else { return is_over };
        let host = Candidate::of(node, state.host_state(host));
        let wish = |runtime| wish(service, runtime, &container.claim, 0);
        // What has a place keeps it while the engine of its host does not answer.
        let is_misplaced = || match container.node_id {
            0 => place::lack_of_kind(&wish(runtime::of(state, service)), &host).is_some(),
            _ => place::lack_of_label(&wish(container.runtime), &host).is_some(),
        };
        is_over || is_misplaced()
    };
    for name in names_where(state, |container| container.is_wanted() && unfit(container)) {
        leave(state, &name, now_ms);
    }
}

/// The n of `<stack>-<service>-<n>`.
pub fn number(container: &Container) -> u32 {
    container.name.rsplit('-').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn wanted_counts(state: &State) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for container in state.containers.values().filter(|container| container.is_staying()) {
        *counts.entry(container.service_id).or_default() += 1;
    }
    counts
}

fn create_missing(state: &mut State, now_ms: u64) {
    let counts = wanted_counts(state);
    for service in state.services.values().cloned().collect::<Vec<_>>() {
        if !service.is_active() || !service.spec.has_containers() {
            continue;
        }
        if service.is_global() {
            for node_id in hosts_without(state, &service) {
                create(state, &service, node_id, 1, now_ms);
            }
            continue;
        }
        let mut next = 1;
        for _ in counts.get(&service.id).copied().unwrap_or(0)..service.scale {
            next = create(state, &service, 0, next, now_ms) + 1;
        }
    }
}

/// Hosts that a global service belongs on and is not on.
fn hosts_without(state: &State, service: &Service) -> Vec<u32> {
    let present: BTreeSet<u32> =
        state.containers_of(service.id).filter(|c| c.is_wanted()).map(|c| c.pinned_node.max(c.node_id)).collect();
    let claim = Claim::default();
    let wish = wish(service, runtime::of(state, service), &claim, 0);
    let belongs = |host: &Candidate| {
        host.state == HostState::Ready
            && host.availability == Availability::Active
            && place::lack_of_kind(&wish, host).is_none()
    };
    let hosts = state.nodes.values().filter(|node| !present.contains(&node.id));
    hosts.map(|node| Candidate::of(node, state.host_state(node.id))).filter(belongs).map(|h| h.node_id).collect()
}

/// A new record under the lowest free number from `from` on; answers the number.
fn create(state: &mut State, service: &Service, pinned_node: u32, from: u32, now_ms: u64) -> u32 {
    let name_of = |n: u32| names::container_name(&service.stack, &service.name, n);
    let number = (from..).find(|n| !state.containers.contains_key(&name_of(*n))).unwrap_or(u32::MAX);
    let container = Container {
        name: name_of(number),
        stack: service.stack.clone(),
        service: service.name.clone(),
        service_id: service.id,
        pinned_node,
        heir_of: heir::inherited(state, service, pinned_node),
        spec_revision: service.spec_revision,
        created_ms: now_ms,
        ..Container::default()
    };
    state.containers.insert(container.name.clone(), Arc::new(container));
    number
}

/// Services and stacks that are being removed and have no container left; a balancer goes after those it leads to.
fn sweep(state: &mut State) {
    let mut busy: BTreeSet<u32> = state.containers.values().map(|container| container.service_id).collect();
    let leaving = |id: &u32| busy.contains(id) && state.services.get(id).is_some_and(|service| service.removing);
    let waits = |service: &&Arc<Service>| service.removing && balancer::targets(state, service).iter().any(leaving);
    let waiting: Vec<u32> = state.services.values().filter(waits).map(|service| service.id).collect();
    busy.extend(waiting);
    state.services.retain(|id, service| !service.removing || busy.contains(id));
    let State { stacks, services, .. } = state;
    let living: BTreeSet<&str> = services.values().map(|service| service.stack.as_str()).collect();
    stacks.retain(|name, _| living.contains(name.as_str()));
}

fn names_where(state: &State, keep: impl Fn(&Container) -> bool) -> Vec<String> {
    state.containers.values().filter(|container| keep(container)).map(|container| container.name.clone()).collect()
}
