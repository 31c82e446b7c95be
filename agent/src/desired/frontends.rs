//! Who can be dialled, and who serves it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use remuda_api::assignment::{Assignment, Container, Endpoint, Service, ServicePort};

use super::CheckedNode;
use super::check::Checker;
use crate::action::{Backend, Frontend, FrontendKey, HOST_PORT_ID};

/// One backend for each endpoint that serves or drains.
pub(super) fn backends(
    assignment: &Assignment,
    nodes: &BTreeMap<u16, CheckedNode>,
    check: &mut Checker,
) -> BTreeMap<u32, Backend> {
    let mut backends = BTreeMap::new();
    for endpoint in &assignment.endpoints {
        let mut at = check.record(format!("endpoint {}", endpoint.name));
        let id = at.endpoint_id("id", endpoint.id);
        let node = u16::try_from(endpoint.node_id).ok().and_then(|id| nodes.get(&id));
        if node.is_none() {
            at.problem("node_id", format!("is {}, but no record of `nodes` has this id", endpoint.node_id));
        }
        if endpoint.serving && endpoint.draining {
            at.problem("draining", "and `serving` are both true: an endpoint that drains serves no new flows");
        }
        let in_service = endpoint.serving || endpoint.draining;
        if endpoint.ip.is_empty() && !in_service {
            continue;
        }
        let ip = at.ip("ip", &endpoint.ip);
        let Some(CheckedNode { node, .. }) = node.filter(|_| in_service) else { continue };
        at.range("id", id, 1..=remuda_abi::frontend::BACKEND_ID_MAX);
        let backend = Backend {
            id,
            ip,
            node_id: node.id,
            node_underlay_ip: node.underlay_ip,
            host_network: endpoint.host_network,
            draining: endpoint.draining,
        };
        backends.insert(id, backend);
    }
    backends
}

/// A frontend for each VIP, each port of a balancer's VIP, each port published on every host and each host port of this host's containers.
pub(super) fn frontends(
    assignment: &Assignment,
    backends: &BTreeMap<u32, Backend>,
    check: &mut Checker,
) -> BTreeMap<FrontendKey, Frontend> {
    let of = |is_one: fn(&Endpoint, &Backend) -> bool| members(assignment, backends, is_one);
    let mut found = Frontends {
        members: of(|_, backend| !backend.draining),
        draining: of(|_, backend| backend.draining),
        silent: of(|endpoint, _| endpoint.silent),
        ..Frontends::default()
    };
    for service in &assignment.services {
        found.of_service(service, check);
    }
    for container in &assignment.containers {
        found.of_container(container, backends, check);
    }
    found.frontends
}

/// Backend ids by service, sorted: those of whom this is true.
fn members(
    assignment: &Assignment,
    backends: &BTreeMap<u32, Backend>,
    is_true: fn(&Endpoint, &Backend) -> bool,
) -> BTreeMap<u32, Vec<u32>> {
    let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let is_one = |endpoint: &Endpoint| backends.get(&endpoint.id).is_some_and(|backend| is_true(endpoint, backend));
    for endpoint in assignment.endpoints.iter().filter(|endpoint| is_one(endpoint)) {
        members.entry(endpoint.service_id).or_default().push(endpoint.id);
    }
    members.values_mut().for_each(|ids| ids.sort_unstable());
    members
}

/// Those of `members` that are of these services, sorted.
fn of(members: &BTreeMap<u32, Vec<u32>>, services: &[u32]) -> Vec<u32> {
    let services: BTreeSet<&u32> = services.iter().collect();
    let mut ids: Vec<u32> = services.into_iter().filter_map(|id| members.get(id)).flatten().copied().collect();
    ids.sort_unstable();
    ids
}

#[derive(Default)]
struct Frontends {
    members: BTreeMap<u32, Vec<u32>>,
    draining: BTreeMap<u32, Vec<u32>>,
    silent: BTreeMap<u32, Vec<u32>>,
    frontends: BTreeMap<FrontendKey, Frontend>,
    ids: BTreeSet<u32>,
}

impl Frontends {
    fn of_service(&mut self, service: &Service, check: &mut Checker) {
        let name = format!("service {}.{}", service.name, service.stack);
        let mut at = check.record(&name);
        at.range("id", service.id, 1..=HOST_PORT_ID - 1);
        let known = [("", false), ("balancer", true), ("external", false)];
        let is_balancer = at.word("kind", &service.kind, &known, false);
        if !service.vip.is_empty() {
            let ip = at.ip("vip", &service.vip);
            let backends = if is_balancer { Vec::new() } else { of(&self.members, &[service.id]) };
            let inside = Frontend {
                key: FrontendKey::Vip(ip),
                by_port: is_balancer,
                id: service.id,
                target_port: 0,
                backends,
                draining: Vec::new(),
                silent: Vec::new(),
            };
            if is_balancer {
                self.of_vip_ports(service, &inside, ip, &name, check);
            }
            self.add(inside, &name, check);
        }
        for port in service.ports.iter().filter(|port| port.published != 0 && port.mode != "host") {
            let (protocol, published, target_port) = self.port(port, &name, check);
            let key = FrontendKey::Published { protocol, port: published };
            let id = check.record(&name).range("frontend_id", port.frontend_id, 1..=HOST_PORT_ID - 1);
            let services = if is_balancer { port.backend_services.clone() } else { vec![service.id] };
            let [backends, draining, silent] =
                [&self.members, &self.draining, &self.silent].map(|all| of(all, &services));
            self.add(Frontend { key, by_port: false, id, target_port, backends, draining, silent }, &name, check);
        }
    }

    /// Ports of a balancer as they are at its VIP, where each leads to its own targets.
    fn of_vip_ports(&mut self, service: &Service, vip: &Frontend, ip: Ipv4Addr, name: &str, check: &mut Checker) {
        for port in service.ports.iter().filter(|port| port.source != 0) {
            let mut at = check.record(name);
            let protocol = at.protocol("ports.protocol", &port.protocol);
            let source = at.port("ports.source", port.source);
            let target_port = at.port("ports.target", port.target);
            let key = FrontendKey::VipPort { ip, protocol, port: source };
            let backends = of(&self.members, &port.backend_services);
            let one = Frontend { key, by_port: false, target_port, backends, ..vip.clone() };
            self.add(one, name, check);
        }
    }

    fn of_container(&mut self, container: &Container, backends: &BTreeMap<u32, Backend>, check: &mut Checker) {
        let name = format!("container {}", container.name);
        if container.network_mode != "managed" {
            return; // its own sockets answer on the host
        }
        for port in container.host_ports.iter().filter(|port| port.published != 0) {
            let (protocol, published, target_port) = self.port(port, &name, check);
            let id = HOST_PORT_ID | u32::from(protocol) << 16 | u32::from(published);
            let own = backends.get(&container.endpoint_id).map(|backend| backend.draining);
            let only_if = |drains| if own == Some(drains) { vec![container.endpoint_id] } else { Vec::new() };
            let (backends, draining, silent) = (only_if(false), only_if(true), Vec::new());
            let key = FrontendKey::HostPort { protocol, port: published };
            self.add(Frontend { key, by_port: false, id, target_port, backends, draining, silent }, &name, check);
        }
    }

    fn port(&self, port: &ServicePort, name: &str, check: &mut Checker) -> (u8, u16, u16) {
        let mut at = check.record(name);
        at.word("ports.mode", &port.mode, &[("ingress", ()), ("host", ())], ());
        (
            at.protocol("ports.protocol", &port.protocol),
            at.port("ports.published", port.published),
            at.port("ports.target", port.target),
        )
    }

    fn add(&mut self, frontend: Frontend, name: &str, check: &mut Checker) {
        let (key, id) = (frontend.key, frontend.id);
        let has_own_id = !matches!(key, FrontendKey::VipPort { .. });
        if has_own_id && !self.ids.insert(id) {
            check.record(name).problem("frontend_id", format!("{id} is used by two frontends"));
        }
        if self.frontends.insert(key, frontend).is_some() {
            check.record(name).problem("ports", format!("{key} is taken by another service or container"));
        }
    }
}
