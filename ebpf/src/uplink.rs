//! The underlay's side: what arrives at an uplink, and what leaves by it.

use crate::{
    conntrack,
    hook::Hook,
    lb,
    packet::*,
    parse::{self, Flow},
    pipeline::{HEADERS_BYTES, deliver, push_reply, undo},
    published, route,
    tables::{Addresses, Tables},
    tunnel::{self, Arrived},
    verdict::{Stop, Verdict},
    width::V4,
};
use remuda_abi::{
    counter::{Counter, DropReason},
    endpoint::ENDPOINT_HOST,
    host::{HOST_HAS_HOST_BACKENDS, Host},
    tunnel::{Kind, TUNNEL_MARK},
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
        return published::from_client(p, t, host, &mut flow, &frontend);
    }
    route::from_outside::<V4>(t, host.vni, &flow, dst)?;
    Err(Stop::Pass)
}

#[inline(always)]
fn from_tunnel<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, outer: &Flow<V4>) -> Result<Verdict, Stop> {
    let arrived = tunnel::receive(p, t, host, outer)?;
    match arrived.label.kind {
        k if k == Kind::Overlay as u8 => from_peer(p, t, host, arrived),
        k if k == Kind::Ingress as u8 => published::from_ingress(p, t, host, arrived),
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
pub(crate) fn pop<H: Hook, T: Tables>(p: &mut H, t: &T, a: &mut Arrived) -> Result<(), DropReason> {
    p.pop_room()?;
    a.inner.l4 = ETH_BYTES + a.inner.ip.header_bytes;
    t.count(Counter::Popped);
    Ok(())
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
