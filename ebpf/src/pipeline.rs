//! All branching, in reading order. One function per attach point; the leaves compute.

use crate::{
    arp,
    conntrack::{self, Ingress},
    hook::Hook,
    lb,
    nat::{self, Tuple},
    packet::*,
    parse::{self, Flow},
    route,
    tables::{Addresses, Tables},
    tunnel::{self, Arrived, Outer},
    verdict::{Stop, Verdict},
    vip,
    width::V4,
};
use remuda_abi::{
    addr::{GATEWAY_MAC, Mac},
    counter::{Counter, DropReason},
    endpoint::{ENDPOINT_HOST, Endpoint, Local},
    flow::Conntrack,
    frontend::*,
    host::{HOST_HAS_HOST_BACKENDS, Host},
    route::RouteKind,
    tunnel::{Kind, Label, TUNNEL_MARK},
};

/// Ethernet, IPv4 and TCP without options: what every decision reads.
const HEADERS_BYTES: u32 = 14 + 20 + 20;

/// Ingress of an endpoint's host-side veth, and of `remuda0`'s peer: everything an endpoint sends.
#[inline(always)]
pub fn endpoint<H: Hook, T: Tables>(p: &mut H, t: &T) -> Verdict {
    conclude(t, from_endpoint(p, t))
}

/// Ingress of an uplink: everything the underlay sends.
#[inline(always)]
pub fn uplink_ingress<H: Hook, T: Tables>(p: &mut H, t: &T) -> Verdict {
    conclude(t, from_uplink(p, t))
}

/// Egress of an uplink: everything that leaves, however it got here.
#[inline(always)]
pub fn uplink_egress<H: Hook, T: Tables>(p: &mut H, t: &T) -> Verdict {
    conclude(t, to_uplink(p, t))
}

/// The one place where drops are counted.
#[inline(always)]
fn conclude<T: Tables>(t: &T, outcome: Result<Verdict, Stop>) -> Verdict {
    match outcome {
        Ok(v) => v,
        Err(Stop::Pass) => Verdict::Next,
        Err(Stop::Drop(r)) => {
            t.count_drop(r);
            Verdict::Drop(r)
        }
    }
}

// ---- from an endpoint ----

#[inline(always)]
fn from_endpoint<H: Hook, T: Tables>(p: &mut H, t: &T) -> Result<Verdict, Stop> {
    let host = t.host().ok_or(DropReason::UnknownInterface)?;
    let from = t.endpoint(p.ifindex()).ok_or(DropReason::UnknownInterface)?;
    p.pull(HEADERS_BYTES);
    let eth = p.at::<Eth>(0)?;
    let (src, kind) = (eth.src.get(), eth.kind.get());
    if !src.same(from.mac) {
        return Err(DropReason::SpoofedMac.into());
    }
    if p.is_tagged() {
        return Err(DropReason::OtherEtherType.into());
    }
    match kind {
        ETH_IPV4 => route_from_endpoint(p, t, host, &from),
        ETH_ARP => {
            let v = arp::answer(p, &from)?;
            t.count(Counter::ArpAnswered);
            Ok(v)
        }
        ETH_IPV6 => Err(DropReason::Ipv6NotServed.into()),
        _ => Err(DropReason::OtherEtherType.into()),
    }
}

/// Endpoints of this host first, with one look-up; then what the destination is: a reply to an outside
/// client, a frontend, a block, the host, the world.
#[inline(always)]
fn route_from_endpoint<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, from: &Endpoint) -> Result<Verdict, Stop> {
    let mut flow = parse::flow::<V4, H>(p, ETH_BYTES)?;
    let source_is_own = route::source_of::<V4>(t, from, flow.ip.src_be)?;
    let mut local = Addresses::<V4>::local(t, from.vni, flow.ip.dst_be);
    let mut route = None;
    if local.is_none() {
        route = Addresses::<V4>::route(t, from.vni, flow.ip.dst_be);
        if source_is_own && flow.is_translatable() {
            if route.is_none_or(|_| lb::is_host_address(route)) {
                let key = conntrack::reply_key(from.vni, &flow);
                if let Some(entry) = Addresses::<V4>::conntrack(t, &key) {
                    return reply(p, t, host, &mut flow, &entry);
                }
            }
            if let Some(frontend) = dialled(t, from, &flow, route) {
                vip::translate(p, t, host, from, &frontend, &mut flow)?;
                local = Addresses::<V4>::local(t, from.vni, flow.ip.dst_be);
                route = Addresses::<V4>::route(t, from.vni, flow.ip.dst_be);
            }
        }
    }
    match route::from_endpoint::<V4>(host, from, &flow, source_is_own, local, route)? {
        route::To::Endpoint(local) => deliver(p, t, host, &local, &mut flow),
        route::To::HostStack => to_host_stack(p, t, host),
        route::To::Node { node_underlay_ip_be } => {
            let outer = Outer {
                dst_underlay_ip_be: node_underlay_ip_be,
                ingress_node_id: 0,
                label: Label::new(Kind::Overlay, 0),
                previous: NO_PREVIOUS,
                entropy: flow.hash(host.hash_seed),
            };
            Ok(Verdict::Leave(tunnel::push(p, t, host, &outer)?))
        }
    }
}
const NO_PREVIOUS: Mac = Mac { hi: 0, lo: 0, pad: 0 };

/// The frontend an endpoint's packet dials: a VIP, or a published port at any host's address.
#[inline(always)]
fn dialled<T: Tables>(
    t: &T,
    from: &Endpoint,
    flow: &Flow<V4>,
    dst: Option<remuda_abi::route::Route>,
) -> Option<Frontend> {
    if dst.is_some_and(|r| matches!(r.kind(), RouteKind::Vip)) {
        return Addresses::<V4>::frontend(t, &FrontendKey::vip(from.vni, flow.ip.dst_be));
    }
    lb::published(t, from.vni, flow, dst)
}

/// A backend's answer to an outside client: shows what the client dialled, and leaves by the ingress.
#[inline(always)]
fn reply<H: Hook, T: Tables>(
    p: &mut H,
    t: &T,
    host: &Host,
    flow: &mut Flow<V4>,
    entry: &Conntrack,
) -> Result<Verdict, Stop> {
    undo(p, t, host, flow, entry)?;
    if entry.ingress_node_id != host.node_id {
        return push_reply(p, t, host, flow, entry);
    }
    let next_hop = p.next_hop(flow.ip.src_be, flow.ip.dst_be)?;
    t.count(Counter::RepliesOut);
    Ok(Verdict::Leave(next_hop))
}

#[inline(always)]
fn undo<H: Hook, T: Tables>(
    p: &mut H,
    t: &T,
    host: &Host,
    flow: &mut Flow<V4>,
    entry: &Conntrack,
) -> Result<(), DropReason> {
    let segment = parse::segment(p, flow)?;
    conntrack::reply(t, &conntrack::reply_key(host.vni, flow), entry, segment);
    let new = Tuple {
        src_be: entry.dialled_ip_be,
        dst_be: flow.ip.dst_be,
        src_port_be: entry.dialled_port_be,
        dst_port_be: entry.client_port_be,
    };
    nat::rewrite(p, flow, &new)
}

#[inline(always)]
fn push_reply<H: Hook, T: Tables>(
    p: &mut H,
    t: &T,
    host: &Host,
    flow: &Flow<V4>,
    entry: &Conntrack,
) -> Result<Verdict, Stop> {
    let outer = Outer {
        dst_underlay_ip_be: entry.ingress_underlay_ip_be,
        ingress_node_id: entry.ingress_node_id,
        label: Label::new(Kind::Reply, 0),
        previous: NO_PREVIOUS,
        entropy: flow.hash(host.hash_seed),
    };
    let next_hop = tunnel::push(p, t, host, &outer)?;
    t.count(Counter::RepliesPushed);
    Ok(Verdict::Leave(next_hop))
}

// ---- from the underlay ----

#[inline(always)]
fn from_uplink<H: Hook, T: Tables>(p: &mut H, t: &T) -> Result<Verdict, Stop> {
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
    if flow.has_ports {
        if let Some(frontend) = lb::published_here(t, host, &flow, dst) {
            return from_client(p, t, host, &mut flow, &frontend);
        }
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

// ---- to the underlay ----

#[inline(always)]
fn to_uplink<H: Hook, T: Tables>(p: &mut H, t: &T) -> Result<Verdict, Stop> {
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

// ---- delivery ----

/// To an endpoint of this host, showing it the frontend it dialled; the host's own is entered from its
/// stack's side.
#[inline(always)]
fn deliver<H: Hook, T: Tables>(
    p: &mut H,
    t: &T,
    host: &Host,
    to: &Local,
    flow: &mut Flow<V4>,
) -> Result<Verdict, Stop> {
    vip::untranslate(p, t, host.vni, to.id, flow)?;
    if to.flags & ENDPOINT_HOST != 0 {
        return to_host_stack(p, t, host);
    }
    to_endpoint(p, t, to)
}

#[inline(always)]
fn to_endpoint<H: Hook, T: Tables>(p: &mut H, t: &T, to: &Local) -> Result<Verdict, Stop> {
    address(p, to.mac)?;
    t.count(Counter::Delivered);
    Ok(Verdict::Endpoint { ifindex: to.ifindex })
}

#[inline(always)]
fn to_host_stack<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host) -> Result<Verdict, Stop> {
    address(p, host.endpoint_mac)?;
    t.count(Counter::SentToHost);
    Ok(Verdict::HostStack { ifindex: host.endpoint_ifindex })
}

/// From the gateway, to this MAC.
#[inline(always)]
fn address<H: Hook>(p: &mut H, mac: Mac) -> Result<(), DropReason> {
    // BOUNDS: whatever moved the packet before, this view is fresh.
    let eth = p.at_mut::<Eth>(0)?;
    eth.dst.set(mac);
    eth.src.set(GATEWAY_MAC);
    Ok(())
}
