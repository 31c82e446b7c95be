//! What each host is told, from the state: pure. The assignment streams of [`crate::link`] send it.

use std::collections::{BTreeMap, BTreeSet};

use remuda_api::assignment::{
    Assignment, Attachment, Container, Endpoint, Environment, Fleet, Node, Registry, Service, ServicePort,
};
use remuda_api::engine::EngineSpec;
use remuda_api::resource::HostState;
use remuda_api::spec::{EndpointMode, NetworkMode, NetworkSpec, PortSpec, PublishMode, RestartPolicy, ServiceSpec};

use crate::balancer;
use crate::health::Checks;
use crate::state::{self, Stage, State};
use crate::{runtime, volumes};

/// Where every host's resolver listens.
pub const DNS_IP: &str = "169.254.169.250";
pub const TUNNEL_PORT: u32 = 4789;
/// Outer Ethernet, IPv4, UDP and VXLAN headers.
const TUNNEL_OVERHEAD_BYTES: u32 = 50;
/// A host that does not say has Ethernet's.
const UPLINK_MTU_DEFAULT_BYTES: u32 = 1500;
/// The network of services that name none.
pub const DEFAULT_NETWORK: &str = "default";

/// The full assignment of one host.
pub fn assignment(state: &State, shared: &Shared, node_id: u32) -> Assignment {
    let mine = state.containers.values().filter(|container| container.node_id == node_id);
    Assignment {
        generation: state.revision,
        node_id,
        fleet: Some(shared.fleet.clone()),
        environment: Some(environment_of(state, shared, node_id)),
        nodes: shared.nodes.clone(),
        services: shared.services.clone(),
        endpoints: shared.endpoints.clone(),
        containers: mine.filter_map(|container| told(state, container)).collect(),
        checks: shared.checks.of_host(node_id),
    }
}

/// Credentials are told to hosts that can pull images, and to no others.
fn environment_of(state: &State, shared: &Shared, node_id: u32) -> Environment {
    let has_engine = state.nodes.get(&node_id).is_some_and(|node| runtime::has_engine(node));
    let told = |held: &std::sync::Arc<state::Registry>| Registry {
        address: held.address.clone(),
        username: held.username.clone(),
        password: held.password.clone(),
    };
    let registries = if has_engine { state.registries.values().map(told).collect() } else { Vec::new() };
    Environment { registries, ..shared.environment.clone() }
}

/// The part that is the same on every host, made once per generation.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    fleet: Fleet,
    environment: Environment,
    nodes: Vec<Node>,
    services: Vec<Service>,
    endpoints: Vec<Endpoint>,
    checks: Checks,
}

impl Shared {
    pub fn of(state: &State) -> Shared {
        let reachable = reachable_services(state);
        let mut endpoints: Vec<Endpoint> =
            state.containers.values().filter_map(|c| endpoint(state, c, &reachable)).collect();
        endpoints.sort_by_key(|endpoint| endpoint.id);
        Shared {
            fleet: fleet(state),
            environment: environment(state),
            nodes: nodes(state),
            services: state.services.values().map(|service| self::service(state, service)).collect(),
            endpoints,
            checks: Checks::of(state),
        }
    }
}

fn fleet(state: &State) -> Fleet {
    let texts = |pools: &[ipnetwork::Ipv4Network]| pools.iter().map(ToString::to_string).collect();
    let facts = || state.nodes.values().map(|node| &node.facts);
    let uplink = facts().map(|facts| facts.uplink_mtu).filter(|mtu| *mtu != 0).min();
    Fleet {
        overlay_pools: texts(&state.fleet.overlay_pools),
        vip_pools: texts(&state.fleet.vip_pools),
        dns_ip: DNS_IP.into(),
        tunnel_port: TUNNEL_PORT,
        endpoint_mtu: uplink.unwrap_or(UPLINK_MTU_DEFAULT_BYTES).saturating_sub(TUNNEL_OVERHEAD_BYTES),
        wire_version: facts().map(|facts| facts.wire_version.max(1)).min().unwrap_or(1),
        gossip_key: state.fleet.gossip_key.clone(),
    }
}

fn environment(state: &State) -> Environment {
    Environment {
        id: state.fleet.environment_id,
        name: state.fleet.environment.clone(),
        hash_seed: state.fleet.hash_seed,
        endpoint_mode: "list".into(),
        no_egress: false,
        registries: Vec::new(),
    }
}

fn nodes(state: &State) -> Vec<Node> {
    let mut nodes: BTreeMap<u32, Node> = state.nodes.iter().map(|(id, node)| (*id, self::node(node))).collect();
    // An address that came along from another host is a block of its own: the longest prefix wins.
    for container in state.containers.values() {
        let (Some(ip), Some(held)) = (container.ip, state.nodes.get(&container.node_id)) else { continue };
        if let Some(node) = nodes.get_mut(&held.id).filter(|_| !held.blocks.iter().any(|block| block.contains(ip))) {
            node.blocks.push(format!("{ip}/32"));
        }
    }
    nodes.into_values().collect()
}

fn node(node: &state::Node) -> Node {
    Node {
        id: node.id,
        name: node.name.clone(),
        underlay_ip: node.facts.underlay_ip.clone(),
        blocks: node.blocks.iter().map(ToString::to_string).collect(),
        host_endpoint_id: node.host_endpoint_id,
        frontend_ips: node.facts.frontend_ips.clone(),
    }
}

fn service(state: &State, service: &state::Service) -> Service {
    // A port that passed on to another service is that one's; hosts refuse an assignment with two.
    let is_own = |port: &PortSpec| !service.removing || !has_successor(state, port);
    let ports = service.spec.ports.iter().zip(service.frontend_ids.iter().copied().chain(std::iter::repeat(0)));
    let ports = ports.filter(|(port, _)| is_own(port)).map(|(port, id)| self::port(port, id));
    let external = service.spec.external.clone().filter(|_| service.rest.is_none()).unwrap_or_default();
    Service {
        id: service.id,
        stack: service.stack.clone(),
        name: service.name.clone(),
        vip: service.vip.map(|vip| vip.to_string()).unwrap_or_default(),
        endpoint_mode: endpoint_mode(&service.spec).into(),
        ports: match &service.spec.balancer {
            Some(spec) => balancer::ports(state, service, spec, ports),
            None => ports.collect(),
        },
        networks: attachments(service)
            .map(|(name, aliases)| Attachment { network: full_network(state, &service.stack, &name).0, aliases })
            .collect(),
        kind: kind(&service.spec).into(),
        addresses: external.addresses,
        hostname: external.hostname.unwrap_or_default(),
    }
}

/// The word for a service without containers; empty for all others.
fn kind(spec: &ServiceSpec) -> &'static str {
    match spec {
        ServiceSpec { balancer: Some(_), .. } => "balancer",
        ServiceSpec { external: Some(_), .. } => "external",
        _ => "",
    }
}

fn has_successor(state: &State, port: &PortSpec) -> bool {
    let same = |other: &PortSpec| other.published == port.published && other.protocol == port.protocol;
    let living = state.services.values().filter(|service| !service.removing);
    port.published.is_some() && living.flat_map(|service| &service.spec.ports).any(same)
}

/// A balancer has no endpoints to list: its name is its VIP's.
fn endpoint_mode(spec: &ServiceSpec) -> &'static str {
    match spec.endpoint_mode {
        _ if spec.balancer.is_some() => "vip",
        EndpointMode::Vip => "vip",
        EndpointMode::Inherit | EndpointMode::List => "list",
    }
}

fn port(port: &PortSpec, frontend_id: u32) -> ServicePort {
    ServicePort {
        protocol: port.protocol.name().into(),
        published: port.published.map_or(0, u32::from),
        target: port.target.into(),
        mode: match port.mode {
            PublishMode::Ingress => "ingress".into(),
            PublishMode::Host => "host".into(),
        },
        frontend_id,
        ..ServicePort::default()
    }
}

/// Network names as the spec has them, with aliases; a service that names none is on `default`.
fn attachments(service: &state::Service) -> impl Iterator<Item = (String, Vec<String>)> {
    let named = service.spec.networks.iter().map(|(name, how)| (name.clone(), how.aliases.clone()));
    let fallback = service.spec.networks.is_empty().then(|| (DEFAULT_NETWORK.to_owned(), Vec::new()));
    named.chain(fallback)
}

/// The fleet-wide name of a stack's network, and whether it has a way out.
fn full_network(state: &State, stack: &str, name: &str) -> (String, bool) {
    let spec: NetworkSpec = state.stacks.get(stack).and_then(|s| s.networks.get(name)).cloned().unwrap_or_default();
    (spec.external.unwrap_or_else(|| format!("{stack}_{name}")), spec.internal)
}

/// Services with a member in service on a host that nobody has a reason to avoid.
fn reachable_services(state: &State) -> BTreeSet<u32> {
    let is_reachable = |c: &state::Container| c.is_serving() && !state.is_avoided(c.node_id);
    state.containers.values().filter(|c| is_reachable(c)).map(|c| c.service_id).collect()
}

/// As others see it. While its host is suspect it is avoided if its service has members elsewhere, and keeps its flows;
/// when its host is lost it is gone. While its host is dead and not lost (the brake holds) it is silent. One that is unhealthy, or on its way out, keeps the flows it has.
fn endpoint(state: &State, container: &state::Container, reachable: &BTreeSet<u32>) -> Option<Endpoint> {
    if container.node_id == 0 || container.endpoint_id == 0 {
        return None;
    }
    let ip = match container.ip {
        Some(ip) => ip.to_string(),
        None => state.nodes.get(&container.node_id)?.facts.underlay_ip.clone(),
    };
    let is_lost = state.is_lost(container.node_id);
    let is_avoided = state.is_avoided(container.node_id) && reachable.contains(&container.service_id);
    let serving = container.is_serving() && !is_lost && !is_avoided;
    Some(Endpoint {
        id: container.endpoint_id,
        name: container.name.clone(),
        service_id: container.service_id,
        node_id: container.node_id,
        ip,
        serving,
        draining: !serving && !is_lost && container.is_alive(),
        host_network: container.ip.is_none(),
        silent: state.host_state(container.node_id) == HostState::Dead,
    })
}

/// The record of a container on its own host.
fn told(state: &State, container: &state::Container) -> Option<Container> {
    let service = state.services.get(&container.service_id)?;
    let body = body(state, service);
    Some(Container {
        name: container.name.clone(),
        endpoint_id: container.endpoint_id,
        ip: container.ip.map(|ip| ip.to_string()).unwrap_or_default(),
        runtime: container.runtime.name().into(),
        hostname: if body.hostname.is_empty() { container.name.clone() } else { body.hostname.clone() },
        spec_revision: container.spec_revision,
        stop: container.stage == Stage::Stopping,
        drain_ms: if container.drains { service.spec.drain_timeout_ms } else { 0 },
        ..body
    })
}

/// What every container of a service is made of, but for its runtime, which is each container's own. Two services with
/// equal bodies and runtimes need no restart between them.
pub fn body(state: &State, service: &state::Service) -> Container {
    let spec = &service.spec;
    let networks: Vec<(String, bool)> =
        attachments(service).map(|(name, _)| full_network(state, &service.stack, &name)).collect();
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Container {
        stack: service.stack.clone(),
        service: service.name.clone(),
        network_mode: network_mode(spec.network_mode).into(),
        image: text(&spec.image),
        entrypoint: spec.entrypoint.clone().unwrap_or_default(),
        command: spec.command.clone().unwrap_or_default(),
        environment: pairs(&spec.environment),
        labels: pairs(&spec.labels),
        user: text(&spec.user),
        working_dir: text(&spec.working_dir),
        hostname: text(&spec.hostname),
        limit_cpu_milli: spec.resources.limit_cpu_milli,
        limit_memory_bytes: spec.resources.limit_memory_bytes,
        limit_pids: spec.resources.limit_pids,
        stop_grace_ms: spec.stop_grace_ms,
        stop_signal: text(&spec.stop_signal),
        restart: restart(spec.restart).into(),
        health_command: spec.healthcheck.clone(),
        internal: networks.iter().all(|(_, internal)| *internal),
        networks: networks.into_iter().map(|(name, _)| name).collect(),
        host_ports: host_ports(spec),
        engine: engine(state, service),
        restart_delay_ms: spec.restart_limits.delay_ms,
        restart_max_attempts: spec.restart_limits.max_attempts,
        restart_window_ms: spec.restart_limits.window_ms,
        ..Container::default()
    }
}

/// What is asked of the engine; None = nothing.
fn engine(state: &State, service: &state::Service) -> Option<EngineSpec> {
    let asked = &service.spec.engine;
    (*asked != EngineSpec::default()).then(|| EngineSpec { mounts: volumes::told(state, service), ..asked.clone() })
}

fn host_ports(spec: &ServiceSpec) -> Vec<ServicePort> {
    let host = spec.ports.iter().filter(|port| port.mode == PublishMode::Host && port.published.is_some());
    host.map(|port| self::port(port, 0)).collect()
}

fn network_mode(mode: NetworkMode) -> &'static str {
    match mode {
        NetworkMode::Managed => "managed",
        NetworkMode::Host => "host",
        NetworkMode::None => "none",
    }
}

fn restart(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::Always => "always",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::Never => "never",
    }
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<String> {
    map.iter().map(|(key, value)| format!("{key}={value}")).collect()
}
