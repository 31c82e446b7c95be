//! `retain_ip`: a container that takes another one's place gets its address, on whichever host.
//!
//! An address is never two containers' at once: the heir waits until the other one is gone, so such a service is not
//! replaced without a gap. On another host the address is told as a block of its own ([`crate::publish`]). What may still
//! run on a lost host is not waited for: whatever it sends under the address is dropped by everybody else.

use std::net::Ipv4Addr;
use std::sync::Arc;

use remuda_api::spec::NetworkMode;

use crate::state::{Container, Service, State};

/// The address that a new container of `service` will get: that of one on its way out that has no heir yet.
pub(super) fn inherited(state: &State, service: &Service, pinned_node: u32) -> Option<Ipv4Addr> {
    if !service.spec.retain_ip || service.spec.network_mode != NetworkMode::Managed {
        return None;
    }
    let is_promised = |ip| state.containers.values().any(|container| container.heir_of == Some(ip));
    let leaving = state.containers_of(service.id).filter(|c| !c.is_staying() && c.pinned_node == pinned_node);
    leaving.filter_map(|container| container.ip).find(|ip| !is_promised(*ip))
}

/// The address to place `container` with; None = any. Errors, in words, while another one still has it.
pub(super) fn address(state: &State, service: &Service, container: &Container) -> Result<Option<Ipv4Addr>, String> {
    if !service.spec.retain_ip {
        return Ok(None);
    }
    // It leaves a lost host and takes its address along.
    if container.node_id != 0 {
        return Ok(container.ip);
    }
    let Some(ip) = container.heir_of else { return Ok(None) };
    match state.containers.values().find(|other| other.ip == Some(ip)) {
        Some(other) => Err(format!("waits for the address {ip} of {}, which still ends (retain_ip)", other.name)),
        None => Ok(Some(ip)),
    }
}

/// Whoever takes its place gets its address, so it has to go first.
pub(super) fn keeps_address(state: &State, container: &Container) -> bool {
    container.ip.is_some() && state.services.get(&container.service_id).is_some_and(|service| service.spec.retain_ip)
}

/// Containers of a host that was removed from the fleet wait for another one, with their address.
pub(super) fn outlive_hosts(state: &mut State) {
    let is_orphan = |container: &Container| {
        let is_gone = container.node_id != 0 && !state.nodes.contains_key(&container.node_id);
        is_gone && container.pinned_node == 0 && container.is_wanted() && keeps_address(state, container)
    };
    for name in super::names_where(state, is_orphan) {
        let Some(held) = state.containers.get(&name) else { continue };
        let waiting = Container {
            name: held.name.clone(),
            stack: held.stack.clone(),
            service: held.service.clone(),
            service_id: held.service_id,
            heir_of: held.ip,
            spec_revision: held.spec_revision,
            created_ms: held.created_ms,
            ..Container::default()
        };
        state.containers.insert(name, Arc::new(waiting));
    }
}
