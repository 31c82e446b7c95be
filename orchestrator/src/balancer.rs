//! Where the ports of a balancer lead, and how it fares: a service without containers, whose backends are those of
//! others.
//!
//! Its targets are found by name each time, so one that was removed and declared again serves again. One that is gone
//! serves nobody: the port stays, and connections to it are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remuda_api::assignment::ServicePort;
use remuda_api::resource::{Health, HostState};
use remuda_api::spec::{BalancerRule, BalancerSpec, Protocol};

use crate::state::{Container, Service, State};

/// The ports of a balancer as hosts are told: the `published` ones, each with its backends, then those of rules that
/// are reached at its VIP alone. A source port is at the VIP once, however often it is published.
pub fn ports(
    state: &State,
    service: &Service,
    spec: &BalancerSpec,
    published: impl Iterator<Item = ServicePort>,
) -> Vec<ServicePort> {
    let mut sources = sources(state, service, spec);
    let mut at_vip: BTreeSet<Source> = sources.keys().copied().collect();
    let mut ports: Vec<ServicePort> = Vec::new();
    for port in published {
        let found = sources
            .keys()
            .find(|(protocol, source)| protocol.name() == port.protocol && u32::from(*source) == port.target);
        let Some((key, led)) = found.copied().and_then(|key| Some((key, sources.get(&key)?))) else { continue };
        let source = if at_vip.remove(&key) { key.1.into() } else { 0 };
        ports.push(ServicePort { source, ..led.told(port) });
    }
    sources.retain(|key, _| at_vip.contains(key));
    ports.extend(sources.iter().map(|((protocol, source), led)| {
        let inside = ServicePort { protocol: protocol.name().into(), mode: "ingress".into(), ..ServicePort::default() };
        ServicePort { source: (*source).into(), ..led.told(inside) }
    }));
    ports
}

/// Protocol and port of a balancer.
type Source = (Protocol, u16);

/// Where a source port leads.
struct Led {
    target_port: u16,
    services: BTreeSet<u32>,
}

impl Led {
    fn told(&self, port: ServicePort) -> ServicePort {
        let backend_services = self.services.iter().copied().collect();
        ServicePort { target: self.target_port.into(), backend_services, ..port }
    }
}

/// One that is stopped, or scaled to nothing, has its ports, and nobody behind them.
fn sources(state: &State, service: &Service, spec: &BalancerSpec) -> BTreeMap<Source, Led> {
    let is_open = service.rest.is_none() && (service.is_global() || service.scale > 0);
    let mut sources: BTreeMap<Source, Led> = BTreeMap::new();
    for rule in &spec.rules {
        let fresh = || Led { target_port: rule.target_port, services: BTreeSet::new() };
        let led = sources.entry((rule.protocol, rule.source_port)).or_insert_with(fresh);
        led.services.extend(target(state, service, rule).filter(|_| is_open).map(|target| target.id));
    }
    sources
}

fn target<'a>(state: &'a State, service: &Service, rule: &BalancerRule) -> Option<&'a Arc<Service>> {
    state.service(rule.stack.as_deref().unwrap_or(&service.stack), &rule.service)
}

/// The ids of the services a balancer leads to; none of any other service.
pub fn targets(state: &State, service: &Service) -> BTreeSet<u32> {
    let rules = service.spec.balancer.iter().flat_map(|spec| &spec.rules);
    rules.filter_map(|rule| target(state, service, rule)).map(|target| target.id).collect()
}

/// True while somebody serves behind it; of an external service always, for nothing of it is in the fleet.
pub fn is_healthy(state: &State, service: &Service) -> bool {
    service.spec.balancer.is_none()
        || targets(state, service).into_iter().flat_map(|id| state.containers_of(id)).any(|c| serves(state, c))
}

/// Unhealthy, or still on the way there: its targets have nothing but containers that begin.
pub fn health(state: &State, service: &Service) -> Health {
    if is_healthy(state, service) {
        return Health::Healthy;
    }
    let mut behind = targets(state, service).into_iter().flat_map(|id| state.containers_of(id)).peekable();
    let begins = |c: &Arc<Container>| c.health() == Health::Initializing && !c.verdict.was_healthy;
    match behind.peek().is_some() && behind.all(begins) {
        true => Health::Initializing,
        false => Health::Unhealthy,
    }
}

/// In a list or ring of the hosts, as far as is known.
fn serves(state: &State, container: &Container) -> bool {
    container.is_serving() && !state.is_lost(container.node_id)
}

/// Why a balancer has nobody to lead to: `no healthy target: web, other/api`.
pub fn lack(service: &Service) -> String {
    let rules = service.spec.balancer.iter().flat_map(|spec| &spec.rules);
    let name = |rule: &BalancerRule| match &rule.stack {
        Some(stack) if *stack != service.stack => format!("{stack}/{}", rule.service),
        _ => rule.service.clone(),
    };
    let names: BTreeSet<String> = rules.map(name).collect();
    format!("no healthy target: {}", names.into_iter().collect::<Vec<_>>().join(", "))
}

/// A ready host has published all that was ever said of this service.
pub fn is_published(state: &State, service: &Service) -> bool {
    state.live.values().any(|live| live.state == HostState::Ready && live.generation >= service.generation)
}

/// Writes a change of a balancer's health into the events.
pub fn announce(state: &mut State, now_ms: u64) {
    let is_one = |service: &&Arc<Service>| service.spec.balancer.is_some() && service.is_active();
    let balancers: Vec<&Arc<Service>> = state.services.values().filter(is_one).collect();
    if balancers.is_empty() {
        return;
    }
    // Looked for once: a fleet may have many of both.
    let serving: BTreeSet<u32> =
        state.containers.values().filter(|c| serves(state, c)).map(|container| container.service_id).collect();
    let is_well = |service: &Service| targets(state, service).iter().any(|id| serving.contains(id));
    let of = |service: &Service| if is_well(service) { Health::Healthy } else { health(state, service) };
    let changed: Vec<(u32, Health)> = balancers
        .into_iter()
        .map(|service| (service, of(service)))
        .filter(|(service, health)| service.announced != *health)
        .map(|(service, health)| (service.id, health))
        .collect();
    for (id, health) in changed {
        let Some(held) = state.services.get_mut(&id) else { continue };
        let service = Arc::make_mut(held);
        service.announced = health;
        let (path, why) = (service.path(), lack(service));
        match health {
            Health::Healthy => state.record(now_ms, "service-healthy", path, "a target serves behind it"),
            Health::Unhealthy => state.record(now_ms, "service-unhealthy", path, why),
            Health::Initializing => {}
        }
    }
}

#[cfg(test)]
mod tests;
