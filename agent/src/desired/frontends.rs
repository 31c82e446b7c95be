//! Who can be dialled, and who serves it.

use std::collections::{BTreeMap, BTreeSet};

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

/// A frontend for each VIP, each port published on every host and each host port of this host's containers.
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
        let of = |members: &BTreeMap<u32, Vec<u32>>| members.get(&service.id).cloned().unwrap_or_default();
        let (backends, draining, silent) = (of(&self.members), of(&self.draining), of(&self.silent));
        if !service.vip.is_empty() {
            let key = FrontendKey::Vip(at.ip("vip", &service.vip));
            let (backends, draining, silent) = (backends.clone(), Vec::new(), Vec::new());
            self.add(Frontend { key, id: service.id, target_port: 0, backends, draining, silent }, &name, check);
        }
        for port in service.ports.iter().filter(|port| port.published != 0 && port.mode != "host") {
            let (protocol, published, target_port) = self.port(port, &name, check);
            let key = FrontendKey::Published { protocol, port: published };
            let id = check.record(&name).range("frontend_id", port.frontend_id, 1..=HOST_PORT_ID - 1);
            let (backends, draining, silent) = (backends.clone(), draining.clone(), silent.clone());
            self.add(Frontend { key, id, target_port, backends, draining, silent }, &name, check);
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
            self.add(Frontend { key, id, target_port, backends, draining, silent }, &name, check);
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
        if !self.ids.insert(id) {
            check.record(name).problem("frontend_id", format!("{id} is used by two frontends"));
        }
        if self.frontends.insert(key, frontend).is_some() {
            check.record(name).problem("ports", format!("{key} is taken by another service or container"));
        }
    }
}
