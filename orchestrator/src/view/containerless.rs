//! A balancer, or what lies outside of the fleet, as users see it: services whose work no container of theirs does.

use remuda_api::resource::{Health, HostState, Service, ServiceState};

use crate::balancer;
use crate::state::{self, State};

/// Counts are of what a user declared: all of it runs once a ready host has published it, and is healthy while anybody
/// serves behind it.
pub(super) fn service(state: &State, service: &state::Service) -> Service {
    let is_balancer = service.spec.balancer.is_some();
    let desired = desired(state, service);
    let is_published = balancer::is_published(state, service);
    let running = if is_published { desired } else { 0 };
    let health = if desired == 0 { Health::Healthy } else { balancer::health(state, service) };
    let healthy = if health == Health::Healthy { running } else { 0 };
    Service {
        name: service.name.clone(),
        stack: service.stack.clone(),
        kind: if is_balancer { "balancer".into() } else { "external".into() },
        vip: service.vip.map(|vip| vip.to_string()),
        ports: super::ports(&service.spec),
        desired,
        running,
        healthy,
        state: match (service.removing, service.rest) {
            (true, _) => ServiceState::Removing,
            (false, Some(_)) => ServiceState::Inactive,
            (false, None) => ServiceState::Active,
        },
        image: service.spec.image.clone(),
        generation: service.generation,
        health: if is_published { health } else { Health::Initializing },
        reason: reason(service, desired, is_published, health),
    }
}

/// Where it shall be: as often as declared, a global one on every ready host.
fn desired(state: &State, service: &state::Service) -> u32 {
    let ready = || state.live.values().filter(|live| live.state == HostState::Ready).count() as u32;
    match service.is_global() {
        _ if !service.is_active() => 0,
        true => ready(),
        false => service.scale,
    }
}

fn reason(service: &state::Service, desired: u32, is_published: bool, health: Health) -> Option<String> {
    let is_checked = service.spec.health_check.is_some();
    match (service.spec.balancer.is_some(), health) {
        _ if service.removing => None,
        _ if service.rest.is_some() => service.rest.map(|rest| super::why_resting(service, rest)),
        (false, _) if is_checked => Some("its check is not made: it lies outside of the fleet".into()),
        (false, _) => None,
        _ if desired == 0 => Some("scaled to 0: its ports lead nowhere".into()),
        _ if !is_published => Some("no ready host has published it yet".into()),
        (true, Health::Healthy) if is_checked => Some("its check on port 42 is answered by the dataplane".into()),
        (true, Health::Healthy) => None,
        (true, _) => Some(balancer::lack(service)),
    }
}
