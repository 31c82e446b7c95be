//! All branching, in reading order. One function per attach point; the leaves compute.

use crate::{
    arp,
    hook::Hook,
    packet::*,
    parse, route,
    tables::Tables,
    tunnel::{self, Outer},
    verdict::{Stop, Verdict},
    width::V4,
};
use remuda_abi::{
    addr::{GATEWAY_MAC, Mac},
    counter::{Counter, DropReason},
    endpoint::{ENDPOINT_HOST, Endpoint, Local},
    host::Host,
    tunnel::{Kind, Label, TUNNEL_MARK},
};

/// Ethernet, IPv4 and eight bytes of transport header: what every decision reads.
const HEADERS_BYTES: u32 = 14 + 20 + 8;

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

#[inline(always)]
fn route_from_endpoint<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, from: &Endpoint) -> Result<Verdict, Stop> {
    let flow = parse::flow::<V4, H>(p, ETH_BYTES)?;
    let source_is_own = route::source_of::<V4>(t, from, flow.ip.src_be)?;
    match route::from_endpoint::<V4>(t, host, from, &flow, source_is_own)? {
        route::To::Endpoint(local) => deliver(p, t, host, &local),
        route::To::HostStack => to_host_stack(p, t, host),
        route::To::Node { node_underlay_ip_be } => {
            let outer = Outer {
                dst_underlay_ip_be: node_underlay_ip_be,
                ingress_node_id: 0,
                label: Label::new(Kind::Overlay, 0),
                previous: Mac { hi: 0, lo: 0, pad: 0 },
                entropy: flow.hash(host.hash_seed),
            };
            let next_hop = tunnel::push(p, host, &outer)?;
            t.count(Counter::Pushed);
            Ok(Verdict::Leave(next_hop))
        }
    }
}

#[inline(always)]
fn from_uplink<H: Hook, T: Tables>(p: &mut H, t: &T) -> Result<Verdict, Stop> {
    let host = t.host().ok_or(Stop::Pass)?;
    p.pull(HEADERS_BYTES);
    if p.at::<Eth>(0).map_err(|_| Stop::Pass)?.kind.get() != ETH_IPV4 {
        return Err(Stop::Pass);
    }
    let flow = parse::flow::<V4, H>(p, ETH_BYTES).map_err(|_| Stop::Pass)?;
    if flow.ip.dst_be == host.node_underlay_ip_be && tunnel::is_for_tunnel(&flow, host) {
        return from_tunnel(p, t, host, &flow);
    }
    route::from_outside::<V4>(t, host.vni, &flow)?;
    Err(Stop::Pass)
}

#[inline(always)]
fn from_tunnel<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, outer: &parse::Flow<V4>) -> Result<Verdict, Stop> {
    let arrived = tunnel::receive(p, t, host, outer)?;
    if arrived.label.kind != Kind::Overlay as u8 {
        return Err(DropReason::TunnelKind.into());
    }
    let local = tunnel::overlay(t, host, &arrived)?;
    if local.flags & ENDPOINT_HOST != 0 && route::is_closed(host, &arrived.inner) {
        return Err(DropReason::ClosedPort.into());
    }
    p.pop_room()?;
    t.count(Counter::Popped);
    deliver(p, t, host, &local)
}

#[inline(always)]
fn to_uplink<H: Hook, T: Tables>(p: &mut H, t: &T) -> Result<Verdict, Stop> {
    let host = t.host().ok_or(Stop::Pass)?;
    p.pull(HEADERS_BYTES);
    if p.at::<Eth>(0).map_err(|_| Stop::Pass)?.kind.get() != ETH_IPV4 {
        return Err(Stop::Pass);
    }
    let flow = parse::flow::<V4, H>(p, ETH_BYTES).map_err(|_| Stop::Pass)?;
    let is_ours = p.mark() == TUNNEL_MARK;
    if !is_ours && tunnel::is_for_tunnel(&flow, host) && t.node(flow.ip.dst_be).is_some() {
        return Err(DropReason::UnmarkedTunnel.into());
    }
    Err(Stop::Pass)
}

/// To an endpoint of this host; the host's own is entered from its stack's side.
#[inline(always)]
fn deliver<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, to: &Local) -> Result<Verdict, Stop> {
    if to.flags & ENDPOINT_HOST != 0 {
        return to_host_stack(p, t, host);
    }
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
