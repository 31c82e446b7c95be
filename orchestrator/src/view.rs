//! The state as users see it: the resources of the REST API.

mod containerless;

use remuda_api::resource::{Container, ContainerState, Health, Host, HostState, Port, Service, ServiceState, Stack};
use remuda_api::spec::{NetworkMode, PublishMode, ServiceMode, ServiceSpec};

use crate::clock::rfc3339;
use crate::state::{self, HostPort, Rest, State};
use crate::{health, place, volumes};

pub fn container(state: &State, container: &state::Container) -> Container {
    let status = container.status.clone().unwrap_or_default();
    let node = state.nodes.get(&container.node_id);
    let ip = container.ip.map(|ip| ip.to_string());
    let host_ip = || node.filter(|_| container.endpoint_id != 0).map(|node| node.facts.underlay_ip.clone());
    Container {
        name: container.name.clone(),
        stack: container.stack.clone(),
        service: container.service.clone(),
        host: node.map(|node| node.name.clone()),
        ip: ip.or_else(host_ip),
        state: shown_state(state, container),
        health: container.health(),
        reason: reason(state, container),
        pid: (status.pid != 0).then_some(status.pid),
        restarts: status.restarts,
        created: rfc3339(container.created_ms),
    }
}

/// What its host said last counts for nothing when that host is dead.
fn shown_state(state: &State, container: &state::Container) -> ContainerState {
    let is_dead = state.host_state(container.node_id) == HostState::Dead || state.is_lost(container.node_id);
    match is_dead && container.node_id != 0 {
        true if waits_for_data(state, container) => ContainerState::Pending,
        true => ContainerState::Failed,
        false => container.state(),
    }
}

/// Its host is lost, and nobody else has what it mounts.
fn waits_for_data(state: &State, container: &state::Container) -> bool {
    let service = state.services.get(&container.service_id);
    let pin = || service.and_then(|service| volumes::pin(state, service).ok().flatten());
    container.is_wanted() && state.is_lost(container.node_id) && !container.pending_reason.is_empty() && pin().is_some()
}

/// Why it is pending, failed or unhealthy.
fn reason(state: &State, container: &state::Container) -> Option<String> {
    if container.node_id == 0 {
        return Some(container.pending_reason.clone()).filter(|reason| !reason.is_empty());
    }
    if waits_for_data(state, container) {
        return Some(container.pending_reason.clone());
    }
    if shown_state(state, container) == ContainerState::Failed && container.state() != ContainerState::Failed {
        return Some(why_stranded(state, container));
    }
    if let Some(why) = health::reason(state, container) {
        return Some(why);
    }
    let said = container.status.as_ref().map(|status| status.reason.clone()).unwrap_or_default();
    let is_well = container.state() == ContainerState::Running && container.health() != Health::Unhealthy;
    if !said.is_empty() && !is_well {
        return Some(said);
    }
    let host = state.nodes.get(&container.node_id)?;
    let live = state.live.get(&container.node_id)?;
    let problem = live.problems.first().filter(|_| container.state() == ContainerState::Starting)?;
    Some(format!("{}: {problem}", host.name))
}

/// Of a container whose host is dead: why it is still there.
fn why_stranded(state: &State, container: &state::Container) -> String {
    let host = state.nodes.get(&container.node_id).map(|node| node.name.clone()).unwrap_or_default();
    let live = state.live.get(&container.node_id).cloned().unwrap_or_default();
    let why = match (container.pinned_node, live.is_lost) {
        (0, true) => container.pending_reason.clone(),
        (0, false) => live.reason,
        _ => "it belongs to this host alone".into(),
    };
    if why.is_empty() { format!("its host {host} is dead") } else { format!("its host {host} is dead: {why}") }
}

pub fn service(state: &State, service: &state::Service) -> Service {
    if !service.spec.has_containers() {
        return containerless::service(state, service);
    }
    let containers: Vec<_> = state.containers_of(service.id).collect();
    let wanted = containers.iter().filter(|container| container.is_wanted());
    let count = |test: &dyn Fn(&state::Container) -> bool| wanted.clone().filter(|c| test(c)).count() as u32;
    let behind = count(&|container| !container.is_current(service));
    let desired = desired(state, service);
    let healthy = count(&|container| {
        shown_state(state, container) == ContainerState::Running && container.health() == Health::Healthy
    });
    let has_failed = |c: &state::Container| {
        c.health() == Health::Unhealthy || c.verdict.was_healthy || shown_state(state, c) == ContainerState::Failed
    };
    Service {
        name: service.name.clone(),
        stack: service.stack.clone(),
        kind: if service.is_global() { "global".into() } else { "replicated".into() },
        vip: service.vip.map(|vip| vip.to_string()),
        ports: ports(&service.spec),
        desired,
        running: count(&|container| shown_state(state, container) == ContainerState::Running),
        healthy,
        state: match (service.removing, behind) {
            (true, _) => ServiceState::Removing,
            (false, _) if service.rest.is_some() => ServiceState::Inactive,
            (false, 0) => ServiceState::Active,
            (false, _) => ServiceState::Updating,
        },
        image: service.spec.image.clone(),
        generation: service.generation,
        health: match healthy {
            _ if healthy >= desired => Health::Healthy,
            0 if count(&has_failed) > 0 => Health::Unhealthy,
            _ => Health::Initializing,
        },
        reason: match service.rest {
            Some(rest) => Some(why_resting(service, rest)),
            None => wanted
                .clone()
                .find_map(|c| reason(state, c).filter(|_| c.health() != Health::Healthy))
                .or_else(|| contended(state, service)),
        },
    }
}

/// A port it publishes on every host that a program of some host listens on as well, since after it was accepted.
fn contended(state: &State, service: &state::Service) -> Option<String> {
    let published = service.spec.ports.iter().filter(|port| port.mode == PublishMode::Ingress).filter_map(HostPort::of);
    let published: Vec<HostPort> = published.collect();
    let uses_host_network = |c: &state::Container| {
        state.services.get(&c.service_id).is_some_and(|service| service.spec.network_mode == NetworkMode::Host)
    };
    state.nodes.values().filter(|_| !published.is_empty()).find_map(|node| {
        let (port, holder) = place::listening(&node.facts).into_iter().find(|(port, _)| published.contains(port))?;
        // That may well be one of ours.
        let is_ours = state.containers.values().any(|c| c.node_id == node.id && uses_host_network(c));
        let words = format!("port {port} is also held by {holder} on {}: from outside it leads here", node.name);
        (!is_ours).then_some(words)
    })
}

fn why_resting(service: &state::Service, rest: Rest) -> String {
    let why = match rest {
        Rest::NotStarted => "declared and not started (start_on_create: false)",
        Rest::Stopped => "stopped by hand",
    };
    format!("{why}: `remuda start {}` starts it", service.path())
}

/// What a stack's file does not change, one line each.
pub fn resting(state: &State, stack: &str) -> Vec<String> {
    let line = |service: &std::sync::Arc<state::Service>| {
        let why = why_resting(service, service.rest?);
        Some(format!("service {} stays as it is, {why}", service.name))
    };
    state.services_of(stack).filter(|service| !service.removing).filter_map(line).collect()
}

fn desired(state: &State, service: &state::Service) -> u32 {
    match service.is_global() {
        _ if !service.is_active() => 0,
        true => state.containers_of(service.id).filter(|container| container.is_wanted()).count() as u32,
        false => service.wanted(),
    }
}

fn ports(spec: &ServiceSpec) -> Vec<Port> {
    let view = |port: &remuda_api::spec::PortSpec| Port {
        published: port.published,
        target: port.target,
        protocol: port.protocol,
        mode: port.mode,
    };
    spec.ports.iter().map(view).collect()
}

/// The spec as accepted, with the declared scale filled in.
pub fn spec(service: &state::Service) -> ServiceSpec {
    let mode = match service.spec.mode {
        ServiceMode::Replicated { .. } => ServiceMode::Replicated { replicas: Some(service.scale) },
        ServiceMode::Global => ServiceMode::Global,
    };
    ServiceSpec { mode, ..service.spec.clone() }
}

pub fn stack(state: &State, stack: &state::Stack) -> Stack {
    let services: Vec<Service> = state.services_of(&stack.name).map(|held| service(state, held)).collect();
    let sum = |of: fn(&Service) -> u32| services.iter().map(of).sum();
    let all = |wanted| !services.is_empty() && services.iter().all(|service| service.state == wanted);
    let any = |wanted| services.iter().any(|service| service.state == wanted);
    Stack {
        name: stack.name.clone(),
        services: services.len() as u32,
        desired: sum(|service| service.desired),
        running: sum(|service| service.running),
        healthy: sum(|service| service.healthy),
        state: match () {
            () if all(ServiceState::Removing) => ServiceState::Removing,
            () if all(ServiceState::Inactive) => ServiceState::Inactive,
            () if any(ServiceState::Updating) || any(ServiceState::Removing) => ServiceState::Updating,
            () => ServiceState::Active,
        },
        generation: services.iter().map(|service| service.generation).chain([stack.generation]).max().unwrap_or(0),
    }
}

pub fn host(state: &State, node: &state::Node) -> Host {
    let live = state.live.get(&node.id).cloned().unwrap_or_default();
    Host {
        name: node.name.clone(),
        node_id: node.id,
        underlay_ip: node.facts.underlay_ip.clone(),
        cidrs: node.blocks.iter().map(ToString::to_string).collect(),
        state: live.state,
        availability: node.availability,
        labels: node.labels.clone(),
        cpu: node.facts.cpu_milli as f64 / 1000.0,
        memory: node.facts.memory_bytes,
        containers: state.containers.values().filter(|container| container.node_id == node.id).count() as u32,
        generation: live.generation,
        version: node.facts.product_version.clone(),
        reason: Some(live.reason).filter(|reason| !reason.is_empty()),
        problems: live.problems,
    }
}
