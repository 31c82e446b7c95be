//! Other hosts: whose tunnel packets are accepted, and that the next hop towards them is always known.

use std::net::Ipv4Addr;

use remuda_abi::route::{Node as NodeValue, Route as RouteValue, RouteKey, RouteKind, route_prefix_len};

use aya::maps::{MapError, lpm_trie};
use ipnetwork::Ipv4Network;

use super::Kernel;
use super::error::{Attempt, KernelError};
use super::maps::Raw;
use crate::action::{Node, Route};

/// Accepts tunnel packets of this node and keeps the way to it resolved.
pub(crate) fn put_node(kernel: &mut Kernel, node: Node) -> Result<(), KernelError> {
    let key = be(node.underlay_ip);
    let what = || format!("note peer {} at {}", node.id, node.underlay_ip);
    if let Ok(old) = kernel.maps.node_addresses.get(&u32::from(node.id), 0)
        && old != key
    {
        // A node that moved: nobody else may speak from its old address.
        remove_node(kernel, Node { id: node.id, underlay_ip: ip_of(old) })?;
    }
    kernel.maps.node_addresses.insert(u32::from(node.id), key, 0).attempt(what)?;
    kernel.maps.nodes.insert(key, Raw(NodeValue { node_id: node.id, pad: 0 }), 0).attempt(what)?;
    keep_resolved(kernel, node.underlay_ip);
    Ok(())
}

/// The reverse of [`put_node`]; absent is fine.
pub(crate) fn remove_node(kernel: &mut Kernel, node: Node) -> Result<(), KernelError> {
    let what = || format!("forget peer {} at {}", node.id, node.underlay_ip);
    gone(kernel.maps.nodes.remove(&be(node.underlay_ip))).attempt(what)?;
    gone(kernel.maps.node_addresses.remove(&u32::from(node.id))).attempt(what)?;
    let Ok(hop) = kernel.netlink.next_hop(node.underlay_ip) else { return Ok(()) };
    let others: Vec<u32> = kernel.maps.nodes.keys().flatten().collect();
    // A gateway serves many peers: it stays while one of them does.
    if others.into_iter().any(|ip| kernel.netlink.next_hop(ip_of(ip)).is_ok_and(|h| h == hop)) {
        return Ok(());
    }
    kernel.netlink.delete_neighbour(hop).attempt(what)
}

/// A peer without a route is no error: the underlay may come up later, and packets to it are counted meanwhile.
fn keep_resolved(kernel: &mut Kernel, peer: Ipv4Addr) {
    let result = kernel.netlink.next_hop(peer).and_then(|hop| kernel.netlink.add_managed_neighbour(hop));
    if let Err(error) = result {
        tracing::warn!(%peer, %error, "the next hop towards this host cannot be kept resolved");
    }
}

/// Says what an address prefix is.
pub(crate) fn put_route(kernel: &mut Kernel, prefix: Ipv4Network, route: Route) -> Result<(), KernelError> {
    let key = route_key(kernel.vni()?, prefix);
    let value = route_value(kernel, route)?;
    kernel.maps.routes4.insert(&key, Raw(value), 0).attempt(|| format!("write route {prefix} -> {route}"))
}

pub(crate) fn remove_route(kernel: &mut Kernel, prefix: Ipv4Network) -> Result<(), KernelError> {
    let key = route_key(kernel.vni()?, prefix);
    gone(kernel.maps.routes4.remove(&key)).attempt(|| format!("remove route {prefix}"))
}

fn route_key(vni: u32, prefix: Ipv4Network) -> lpm_trie::Key<Raw<RouteKey>> {
    let ip_be = be(prefix.network());
    lpm_trie::Key::new(route_prefix_len(prefix.prefix().into()), Raw(RouteKey { vni, ip_be }))
}

fn route_value(kernel: &Kernel, route: Route) -> Result<RouteValue, KernelError> {
    Ok(match route {
        Route::Block { node_id, underlay_ip } => RouteValue::new(RouteKind::Block, node_id, be(underlay_ip)),
        Route::Pool => RouteValue::new(RouteKind::Pool, 0, 0),
        Route::Vip => RouteValue::new(RouteKind::Vip, 0, 0),
        Route::Dns => RouteValue::new(RouteKind::Dns, 0, 0),
        Route::HostAddress { node_id } => {
            RouteValue::new(RouteKind::HostAddress, node_id, kernel.tunnel_address_be(node_id)?)
        }
    })
}

/// What a route entry says, if it is one the agent writes.
pub(crate) fn as_route(value: RouteValue) -> Option<Route> {
    Some(match value.kind() {
        RouteKind::Block => Route::Block { node_id: value.node_id, underlay_ip: ip_of(value.node_underlay_ip_be) },
        RouteKind::Pool => Route::Pool,
        RouteKind::Vip => Route::Vip,
        RouteKind::Dns => Route::Dns,
        RouteKind::HostAddress => Route::HostAddress { node_id: value.node_id },
        RouteKind::External => return None,
    })
}

pub(crate) fn be(ip: Ipv4Addr) -> u32 {
    remuda_abi::addr::ip_be(ip.octets())
}

pub(crate) fn ip_of(ip_be: u32) -> Ipv4Addr {
    Ipv4Addr::from(ip_be.to_ne_bytes())
}

/// Removing what is not there is done already.
pub(crate) fn gone(result: Result<(), MapError>) -> Result<(), MapError> {
    match result {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(e)) if e.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// Every peer forgotten, so that no managed neighbour stays.
pub(crate) fn remove_all(kernel: &mut Kernel) -> Result<(), KernelError> {
    let peers: Vec<(u32, NodeValue)> = kernel.maps.nodes.iter().flatten().map(|(ip, n)| (ip, n.0)).collect();
    for (ip, node) in peers {
        remove_node(kernel, Node { id: node.node_id, underlay_ip: ip_of(ip) })?;
    }
    Ok(())
}
