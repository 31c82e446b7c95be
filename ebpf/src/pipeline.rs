//! All branching, in reading order: one function per attach point, then everything an endpoint sends.
//! The underlay's side is `uplink.rs`; the leaves compute.

use crate::{
    arp, conntrack,
    hook::Hook,
    lb,
    nat::{self, Tuple},
    packet::*,
    parse::{self, Flow},
    route,
    tables::{Addresses, Tables},
    tunnel::{self, Outer},
    uplink,
    verdict::{Stop, Verdict},
    vip,
    width::V4,
};
use remuda_abi::{
    addr::{GATEWAY_MAC, Mac},
    counter::{Counter, DropReason},
    endpoint::{ENDPOINT_HOST, Endpoint, Local},
    flow::Conntrack,
    frontend::Frontend,
    host::Host,
    route::{Route, RouteKind},
    tunnel::{Kind, Label},
};

/// Ethernet, IPv4 and TCP without options: what every decision reads.
pub(crate) const HEADERS_BYTES: u32 = 14 + 20 + 20;

/// Ingress of an endpoint's host-side veth, and of `remuda0`'s peer: everything an endpoint sends.
#[inline(always)]
pub fn endpoint<H: Hook, T: Tables>(p: &mut H, t: &T) -> Verdict {
    conclude(t, from_endpoint(p, t))
}

/// Ingress of an uplink: everything the underlay sends.
#[inline(always)]
pub fn uplink_ingress<H: Hook, T: Tables>(p: &mut H, t: &T) -> Verdict {
    conclude(t, uplink::arrives(p, t))
}

/// Egress of an uplink: everything that leaves, however it got here.
#[inline(always)]
pub fn uplink_egress<H: Hook, T: Tables>(p: &mut H, t: &T) -> Verdict {
    conclude(t, uplink::leaves(p, t))
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
pub(crate) const NO_PREVIOUS: Mac = Mac { hi: 0, lo: 0, pad: 0 };

/// The frontend an endpoint's packet dials: a VIP, or a published port at any host's address.
#[inline(always)]
fn dialled<T: Tables>(t: &T, from: &Endpoint, flow: &Flow<V4>, dst: Option<Route>) -> Option<Frontend> {
    if dst.is_some_and(|r| matches!(r.kind(), RouteKind::Vip)) {
        return lb::vip(t, from.vni, flow.ip.dst_be, flow.dst_port_be(), flow.ip.proto);
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
pub(crate) fn undo<H: Hook, T: Tables>(
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
pub(crate) fn push_reply<H: Hook, T: Tables>(
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

/// To an endpoint of this host, showing it the frontend it dialled; the host's own is entered from its
/// stack's side.
#[inline(always)]
pub(crate) fn deliver<H: Hook, T: Tables>(
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
pub(crate) fn to_endpoint<H: Hook, T: Tables>(p: &mut H, t: &T, to: &Local) -> Result<Verdict, Stop> {
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
