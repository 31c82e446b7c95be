//! A client's packet for a published port, wherever it is: at its ingress, with the owner of its slot, with a previous
//! owner.
//!
//! The owner keeps what it knows and what begins. Everything else may have begun with a previous owner, so these are
//! asked in turn; the last one that does not know it either hands it back for good. Every step raises the label's hops,
//! so there are at most four.

use crate::{
    conntrack::{self, Client, Ingress, NO_ENDPOINT, To},
    hook::Hook,
    lb,
    nat::{self, Tuple},
    packet::TCP_SYN,
    parse::{self, Flow, Segment},
    pipeline::to_endpoint,
    route,
    tables::{Addresses, Tables},
    tunnel::{self, Arrived, Outer},
    uplink::pop,
    verdict::{Stop, Verdict},
    width::V4,
};
use remuda_abi::{
    addr::PROTO_TCP,
    counter::{Counter, DropReason},
    endpoint::ENDPOINT_HOST,
    frontend::{BACKEND_HOST_NETWORK, BACKEND_LOCAL, Backend, Frontend, backend_port_be},
    host::Host,
    tunnel::{HOPS_MAX, Kind, Label, previous_mac, previous_nodes},
};

/// At the ingress: the slot's owner is here, or on the host the packet is handed to untouched.
#[inline(always)]
pub(crate) fn from_client<H: Hook, T: Tables>(
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
    let (slot, backend) = lb::from_ring(t, frontend, hash)?;
    let endpoint_id = backend.map_or(0, |b| b.endpoint_id);
    let mut outer = Outer {
        dst_underlay_ip_be: backend.map_or(0, |b| b.node_underlay_ip_be),
        ingress_node_id: host.node_id,
        label: Label::new(Kind::Ingress, endpoint_id),
        previous: previous_mac(slot.previous_node_ids()),
        entropy: hash,
    };
    if backend.is_none_or(|b| b.flags & BACKEND_LOCAL != 0) {
        let owner = match backend {
            Some(backend) => local_backend(t, host, flow, frontend, &backend)?,
            None => To::NOBODY,
        };
        let next = next_owner(t, host, slot.previous_node_ids(), 0);
        let ingress = Ingress { node_id: host.node_id, underlay_ip_be: host.node_underlay_ip_be };
        let client = Client { ingress, segment: parse::segment(p, flow)?, has_others: next.underlay_ip_be != 0 };
        let to = conntrack::serve(t, host, flow, owner, client);
        if to.ip_be != 0 {
            return serve(p, t, flow, &to);
        }
        // Nobody owns the slot, and what begins now is not for those who drain.
        if next.underlay_ip_be == 0 || opens(flow, client.segment) {
            return Err(DropReason::NoBackend.into());
        }
        hand_to(&mut outer, host, &next, slot.previous_node_ids());
        t.count(Counter::HandedOn);
    }
    let next_hop = tunnel::push(p, t, host, &outer)?;
    t.count(Counter::PublishedPushed);
    Ok(Verdict::Leave(next_hop))
}

#[inline(always)]
fn local_backend<T: Tables>(
    t: &T,
    host: &Host,
    flow: &Flow<V4>,
    frontend: &Frontend,
    backend: &Backend,
) -> Result<To, DropReason> {
    let local = match backend.flags & BACKEND_HOST_NETWORK {
        0 => Addresses::<V4>::local(t, host.vni, backend.ip_be).ok_or(DropReason::BrokenFrontend)?,
        _ => NO_ENDPOINT,
    };
    let port_be = backend_port_be(frontend, backend, flow.dst_port_be());
    Ok(To { ip_be: backend.ip_be, port_be, client_port_be: 0, local })
}

/// Kind ingress: at the owner's host or a previous owner's.
#[inline(always)]
pub(crate) fn from_ingress<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, mut a: Arrived) -> Result<Verdict, Stop> {
    let frontend = tunnel::ingress(t, host, &a)?;
    let previous = previous_nodes(a.previous);
    let [first, ..] = previous;
    let is_owner = a.label.hops == 0 || a.label.is_final || first == host.node_id;
    let owner = match is_owner {
        true => named_backend(t, host, &a, &frontend)?,
        false => To::NOBODY,
    };
    let ingress = tunnel::ingress_host(t, host, &a)?;
    let segment = parse::segment(p, &a.inner)?;
    // The owner is where a connection begins: nobody else is asked about a SYN.
    if a.label.hops > HOPS_MAX || (!is_owner && (opens(&a.inner, segment) || a.label.hops == HOPS_MAX)) {
        return Err(DropReason::TunnelAstray.into());
    }
    let next = if a.label.is_final { Next::NOBODY } else { next_owner(t, host, previous, a.label.hops) };
    let client = Client { ingress, segment, has_others: next.underlay_ip_be != 0 };
    let to = conntrack::serve(t, host, &a.inner, owner, client);
    if to.ip_be == 0 {
        return hand_on(p, t, host, &a, &next);
    }
    pop(p, t, &mut a)?;
    serve(p, t, &mut a.inner, &to)
}

#[inline(always)]
fn opens(flow: &Flow<V4>, segment: Segment) -> bool {
    flow.ip.proto == PROTO_TCP && segment.flags & TCP_SYN != 0
}

/// The endpoint the packet names; the host's own stands for its host-network backends.
#[inline(always)]
fn named_backend<T: Tables>(t: &T, host: &Host, a: &Arrived, frontend: &Frontend) -> Result<To, Stop> {
    let (key, local) = tunnel::named(t, a)?;
    let port_be = match frontend.target_port_be {
        0 => a.inner.dst_port_be(),
        port_be => port_be,
    };
    Ok(match local.flags & ENDPOINT_HOST {
        0 => To { ip_be: key.ip_be, port_be, client_port_be: 0, local },
        _ => To { ip_be: host.node_underlay_ip_be, port_be, client_port_be: 0, local: NO_ENDPOINT },
    })
}

/// To the next previous owner, or from the last one back to the present one.
#[inline(always)]
fn hand_on<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, a: &Arrived, next: &Next) -> Result<Verdict, Stop> {
    let previous = previous_nodes(a.previous);
    let mut outer = Outer {
        dst_underlay_ip_be: 0,
        ingress_node_id: a.ingress_node_id,
        label: a.label,
        previous: a.previous,
        entropy: u32::from(a.source_port),
    };
    let is_back = next.underlay_ip_be == 0;
    if is_back {
        let [owner, ..] = previous;
        outer.dst_underlay_ip_be = t.node_address(owner).ok_or(DropReason::TunnelAstray)?;
        outer.label.is_final = true;
        outer.label.hops = a.label.hops.wrapping_add(1);
    } else {
        hand_to(&mut outer, host, next, previous);
    }
    let next_hop = tunnel::send_on(p, host, &outer)?;
    t.count(if is_back { Counter::HandedBack } else { Counter::HandedOn });
    Ok(Verdict::Leave(next_hop))
}

/// Who is asked next.
struct Next {
    /// 0 = nobody.
    underlay_ip_be: u32,
    /// The label's, on the way there.
    hops: u8,
}
impl Next {
    const NOBODY: Next = Next { underlay_ip_be: 0, hops: 0 };
}

/// The first of the previous owners, from place `hops` on, that is a host of the fleet and not this one.
#[inline(always)]
fn next_owner<T: Tables>(t: &T, host: &Host, previous: [u16; 3], hops: u8) -> Next {
    let [a, b, c] = previous;
    let mut next = Next::NOBODY;
    // VERIFIER: three places in a row, no index.
    consider(t, host, &mut next, a, hops < 1, 1);
    consider(t, host, &mut next, b, hops < 2, 2);
    consider(t, host, &mut next, c, hops < 3, 3);
    next
}

#[inline(always)]
fn consider<T: Tables>(t: &T, host: &Host, next: &mut Next, node_id: u16, is_ahead: bool, hops: u8) {
    if next.underlay_ip_be == 0 && is_ahead && node_id != 0 && node_id != host.node_id {
        *next = Next { underlay_ip_be: t.node_address(node_id).unwrap_or(0), hops };
    }
}

/// The first to hand a packet on is its owner, and says so in the place nobody needs any more.
#[inline(always)]
fn hand_to(outer: &mut Outer, host: &Host, next: &Next, previous: [u16; 3]) {
    let [_, b, c] = previous;
    if outer.label.hops == 0 {
        outer.previous = previous_mac([host.node_id, b, c]);
    }
    outer.dst_underlay_ip_be = next.underlay_ip_be;
    outer.label.hops = next.hops;
}

/// To the backend on this host: rewritten, delivered. A process of the host itself gets it up the stack.
#[inline(always)]
fn serve<H: Hook, T: Tables>(p: &mut H, t: &T, flow: &mut Flow<V4>, to: &To) -> Result<Verdict, Stop> {
    let new =
        Tuple { src_be: flow.ip.src_be, dst_be: to.ip_be, src_port_be: to.client_port_be, dst_port_be: to.port_be };
    nat::rewrite(p, flow, &new)?;
    t.count(Counter::PublishedLocal);
    if to.local.ifindex == 0 {
        return Ok(Verdict::Next);
    }
    to_endpoint(p, t, &to.local)
}
