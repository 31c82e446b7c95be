//! The underlay's side: what arrives at an uplink, and what leaves by it.

use crate::{
    conntrack::{self, Ingress},
    hook::Hook,
    lb,
    nat::{self, Tuple},
    packet::*,
    parse::{self, Flow},
    pipeline::{HEADERS_BYTES, NO_PREVIOUS, deliver, push_reply, to_endpoint, undo},
    route,
    tables::{Addresses, Tables},
    tunnel::{self, Arrived, Outer},
    verdict::{Stop, Verdict},
    width::V4,
};
use remuda_abi::{
    counter::{Counter, DropReason},
    endpoint::{ENDPOINT_HOST, Local},
    frontend::{BACKEND_HOST_NETWORK, BACKEND_LOCAL, Frontend, backend_port_be},
    host::{HOST_HAS_HOST_BACKENDS, Host},
    tunnel::{Kind, Label, TUNNEL_MARK},
};

/// Tunnel packets, published ports, and what may not come in at all; everything else is the kernel's.
#[inline(always)]
pub(crate) fn arrives<H: Hook, T: Tables>(p: &mut H, t: &T) -> Result<Verdict, Stop> {
    let host = t.host().ok_or(Stop::Pass)?;
    p.pull(HEADERS_BYTES);
    if p.at::<Eth>(0).map_err(|_| Stop::Pass)?.kind.get() != ETH_IPV4 {
        return Err(Stop::Pass);
    }
    let mut flow = parse::flow::<V4, H>(p, ETH_BYTES).map_err(|_| Stop::Pass)?;
    if flow.ip.dst_be == host.node_underlay_ip_be && tunnel::is_for_tunnel(&flow, host) {
        return from_tunnel(p, t, host, &flow);
    }
    let dst = Addresses::<V4>::route(t, host.vni, flow.ip.dst_be);
    if flow.has_ports
        && let Some(frontend) = lb::published_here(t, host, &flow, dst)
    {
        return from_client(p, t, host, &mut flow, &frontend);
    }
    route::from_outside::<V4>(t, host.vni, &flow, dst)?;
    Err(Stop::Pass)
}

/// A published port: the ring's owner is here, or on the host it is handed to untouched.
#[inline(always)]
fn from_client<H: Hook, T: Tables>(
    p: &mut H,
    t: &T,
    host: &Host,
    flow: &mut Flow<V4>,
    frontend: &Frontend,
) -> Result<Verdict, Stop> {
    if route::is_no_client::<V4>(t, host.vni, flow.ip.src_be) {
        return Err(DropReason::OutsideForgedSource.into());
    }
    if !flow.is_translatable() {
        return Err(DropReason::NoPorts.into());
    }
    let hash = flow.hash(host.hash_seed);
    let (_, backend) = lb::from_ring(t, frontend, hash)?;
    if backend.flags & BACKEND_LOCAL == 0 {
        let outer = Outer {
            dst_underlay_ip_be: backend.node_underlay_ip_be,
            ingress_node_id: host.node_id,
            label: Label::new(Kind::Ingress, backend.endpoint_id),
            previous: NO_PREVIOUS,
            entropy: hash,
        };
        let next_hop = tunnel::push(p, t, host, &outer)?;
        t.count(Counter::PublishedPushed);
        return Ok(Verdict::Leave(next_hop));
    }
    let local = match backend.flags & BACKEND_HOST_NETWORK {
        0 => Some(Addresses::<V4>::local(t, host.vni, backend.ip_be).ok_or(DropReason::BrokenFrontend)?),
        _ => None,
    };
    let port_be = backend_port_be(frontend, &backend, flow.dst_port_be());
    let ingress = Ingress { node_id: host.node_id, underlay_ip_be: host.node_underlay_ip_be };
    serve(p, t, host, flow, (backend.ip_be, port_be), local, ingress)
}

#[inline(always)]
fn from_tunnel<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, outer: &Flow<V4>) -> Result<Verdict, Stop> {
    let arrived = tunnel::receive(p, t, host, outer)?;
    match arrived.label.kind {
        k if k == Kind::Overlay as u8 => from_peer(p, t, host, arrived),
        k if k == Kind::Ingress as u8 => from_ingress(p, t, host, arrived),
        k if k == Kind::Reply as u8 => from_backend(p, t, host, arrived),
        _ => Err(DropReason::TunnelKind.into()),
    }
}

/// Kind overlay: to the endpoint it names.
#[inline(always)]
fn from_peer<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, mut a: Arrived) -> Result<Verdict, Stop> {
    let local = tunnel::overlay(t, host, &a)?;
    if local.flags & ENDPOINT_HOST != 0 && route::is_closed(host, &a.inner) {
        return Err(DropReason::ClosedPort.into());
    }
    pop(p, t, &mut a)?;
    deliver(p, t, host, &local, &mut a.inner)
}

/// Kind ingress: to the backend behind the port the client dialled.
#[inline(always)]
fn from_ingress<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, mut a: Arrived) -> Result<Verdict, Stop> {
    let (frontend, key, local) = tunnel::ingress(t, host, &a)?;
    let ingress = tunnel::ingress_host(t, &a)?;
    let port_be = match frontend.target_port_be {
        0 => a.inner.dst_port_be(),
        port_be => port_be,
    };
    pop(p, t, &mut a)?;
    // The host's own endpoint stands for its host-network backends.
    let (ip_be, local) = match local.flags & ENDPOINT_HOST {
        0 => (key.ip_be, Some(local)),
        _ => (host.node_underlay_ip_be, None),
    };
    serve(p, t, host, &mut a.inner, (ip_be, port_be), local, ingress)
}

/// Kind reply: out to the client.
#[inline(always)]
fn from_backend<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, mut a: Arrived) -> Result<Verdict, Stop> {
    tunnel::reply(t, host, &a)?;
    let next_hop = p.next_hop(a.inner.ip.src_be, a.inner.ip.dst_be)?;
    pop(p, t, &mut a)?;
    t.count(Counter::RepliesOut);
    Ok(Verdict::Leave(next_hop))
}

/// Takes the outer header off; from here on offsets count from the inner packet.
#[inline(always)]
fn pop<H: Hook, T: Tables>(p: &mut H, t: &T, a: &mut Arrived) -> Result<(), DropReason> {
    p.pop_room()?;
    a.inner.l4 = ETH_BYTES + a.inner.ip.header_bytes;
    t.count(Counter::Popped);
    Ok(())
}

/// A client's packet to the backend on this host: remembered, rewritten, delivered. Without `local` the
/// backend is a process of the host itself, and the packet goes on up the stack.
#[inline(always)]
fn serve<H: Hook, T: Tables>(
    p: &mut H,
    t: &T,
    host: &Host,
    flow: &mut Flow<V4>,
    to: (u32, u16),
    local: Option<Local>,
    ingress: Ingress,
) -> Result<Verdict, Stop> {
    let segment = parse::segment(p, flow)?;
    let client_port_be = conntrack::original(t, host, flow, to, ingress, segment);
    let new = Tuple { src_be: flow.ip.src_be, dst_be: to.0, src_port_be: client_port_be, dst_port_be: to.1 };
    nat::rewrite(p, flow, &new)?;
    t.count(Counter::PublishedLocal);
    match local {
        Some(local) => to_endpoint(p, t, &local),
        None => Ok(Verdict::Next),
    }
}

/// Nobody else's tunnel packets; and the answers of host-network backends, translated back.
#[inline(always)]
pub(crate) fn leaves<H: Hook, T: Tables>(p: &mut H, t: &T) -> Result<Verdict, Stop> {
    let host = t.host().ok_or(Stop::Pass)?;
    p.pull(HEADERS_BYTES);
    if p.at::<Eth>(0).map_err(|_| Stop::Pass)?.kind.get() != ETH_IPV4 {
        return Err(Stop::Pass);
    }
    let mut flow = parse::flow::<V4, H>(p, ETH_BYTES).map_err(|_| Stop::Pass)?;
    if p.mark() == TUNNEL_MARK {
        return Err(Stop::Pass);
    }
    if tunnel::is_for_tunnel(&flow, host) && t.node(flow.ip.dst_be).is_some() {
        return Err(DropReason::UnmarkedTunnel.into());
    }
    if host.flags & HOST_HAS_HOST_BACKENDS == 0 || !flow.is_translatable() {
        return Err(Stop::Pass);
    }
    let key = conntrack::reply_key(host.vni, &flow);
    let entry = Addresses::<V4>::conntrack(t, &key).ok_or(Stop::Pass)?;
    undo(p, t, host, &mut flow, &entry)?;
    if entry.ingress_node_id != host.node_id {
        return push_reply(p, t, host, &flow, &entry);
    }
    t.count(Counter::RepliesOut);
    Err(Stop::Pass)
}
