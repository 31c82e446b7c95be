//! Wire format 1 on the packet: push the outer header, and check it before it is popped.

use crate::{
    conntrack::Ingress,
    hook::{Hook, NextHop},
    lb,
    packet::*,
    parse::{self, Flow},
    route,
    tables::{Addresses, Tables},
    verdict::Stop,
    width::*,
};
use remuda_abi::{
    addr::Mac,
    checksum,
    counter::{Counter, DropReason},
    endpoint::{Local, LocalKey},
    frontend::{Frontend, OwnerKey},
    host::Host,
    route::*,
    tunnel::*,
};

/// Where the inner IP header begins.
pub const INNER: u16 = size_of::<Head>() as u16;
/// Outer and inner headers, the inner transport header included.
pub const HEADERS_BYTES: u32 = INNER as u32 + 20 + 20;

/// What an outer header says.
pub struct Outer {
    pub dst_underlay_ip_be: u32,
    pub ingress_node_id: u16,
    pub label: Label,
    pub previous: Mac,
    /// Flow hash: spreads flows over the underlay's paths.
    pub entropy: u32,
}

/// Puts the outer header in front of the IP packet and marks it ours; returns the way it leaves.
///
/// [`DropReason::TooBig`] if the result exceeds the uplink's MTU or 65,535 bytes. The outer Ethernet
/// header is the next hop's business. TTL and checksums inside are not touched: the overlay is one hop,
/// and nothing that was pushed is ever forwarded again.
#[inline(always)]
pub fn push<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, o: &Outer) -> Result<NextHop, Stop> {
    let inner_bytes = p.len().wrapping_sub(u32::from(ETH_BYTES));
    let len = inner_bytes.wrapping_add(u32::from(TUNNEL_BYTES));
    let is_over_mtu = host.uplink_mtu_bytes != 0 && len > u32::from(host.uplink_mtu_bytes) && !p.is_gso();
    if len > u32::from(u16::MAX) || is_over_mtu {
        return Err(DropReason::TooBig.into());
    }
    let next_hop = p.next_hop(host.node_underlay_ip_be, o.dst_underlay_ip_be)?;
    p.push_room()?;
    // VERIFIER: push_room() moved the head; every view taken before it is refused.
    write(p, host, o, len as u16)?;
    p.set_mark(TUNNEL_MARK);
    t.count(Counter::Pushed);
    Ok(next_hop)
}

/// Sends a tunnel packet on to another host: a new outer header in the old one's place, from us, with the ingress it
/// came in by. Popping and pushing again would fail: the kernel refuses to encapsulate what was encapsulated.
#[inline(always)]
pub fn send_on<H: Hook>(p: &mut H, host: &Host, o: &Outer) -> Result<NextHop, Stop> {
    let next_hop = p.next_hop(host.node_underlay_ip_be, o.dst_underlay_ip_be)?;
    let len = p.at::<Head>(0)?.ip.len.get();
    write(p, host, o, len)?;
    p.set_mark(TUNNEL_MARK);
    Ok(next_hop)
}

#[inline(always)]
fn write<H: Hook>(p: &mut H, host: &Host, o: &Outer, len: u16) -> Result<(), DropReason> {
    let h = p.at_mut::<Head>(0)?;
    // ORDER: addresses are network order already; constants and lengths are turned here.
    let check = checksum::ipv4_header([
        (0x4500_0000 | u32::from(len)).to_be(),
        DONT_FRAGMENT.to_be(),
        TTL_64_UDP.to_be(),
        host.node_underlay_ip_be,
        o.dst_underlay_ip_be,
    ]);
    h.ip.version_ihl = 0x45;
    h.ip.tos = 0;
    h.ip.len.set(len);
    h.ip.id.set(0);
    h.ip.frag.set(DONT_FRAGMENT as u16);
    h.ip.ttl = 64;
    h.ip.proto = 17;
    h.ip.check.set_raw(check);
    h.ip.src.set_raw(host.node_underlay_ip_be);
    h.ip.dst.set_raw(o.dst_underlay_ip_be);
    h.udp.src.set(SOURCE_PORT_BASE | (o.entropy & 0x3fff) as u16);
    h.udp.dst.set_raw(host.tunnel_port_be);
    h.udp.len.set(len.wrapping_sub(20));
    // ORDER: outer UDP checksum 0, RFC 7348, 5.
    h.udp.check.set(0);
    h.vxlan.flags.set(VXLAN_FLAGS | u32::from(o.ingress_node_id));
    h.vxlan.vni.set(host.vni << 8);
    h.inner.dst.set(o.label.mac());
    h.inner.src.set(o.previous);
    h.inner.kind.set(ETH_IPV4);
    Ok(())
}
/// Identification 0, DF set: the outer packet is never fragmented.
const DONT_FRAGMENT: u32 = 0x4000;
/// TTL 64, UDP, checksum 0.
const TTL_64_UDP: u32 = 0x4011_0000;

/// Is this packet for this host's tunnel port? (One that was cut up, too: its first part says so.)
#[inline(always)]
pub fn is_for_tunnel<W: Width>(flow: &Flow<W>, host: &Host) -> bool {
    flow.ip.proto == remuda_abi::addr::PROTO_UDP && flow.has_ports && flow.dst_port_be() == host.tunnel_port_be
}

/// A tunnel packet that has passed every check common to all kinds. Nothing is popped yet.
pub struct Arrived {
    pub sender: Node,
    pub sender_underlay_ip_be: u32,
    pub label: Label,
    /// Previous owners, as the sender knows them.
    pub previous: Mac,
    pub ingress_node_id: u16,
    /// The outer source port: the flow's way over the underlay.
    pub source_port: u16,
    pub inner: Flow<V4>,
}

/// Checks, in this order: outer header, sender, wire version, environment, inner header.
#[inline(always)]
pub fn receive<H: Hook, T: Tables>(p: &mut H, t: &T, host: &Host, outer: &Flow<V4>) -> Result<Arrived, Stop> {
    if outer.ip.is_fragment {
        return Err(DropReason::TunnelFragment.into());
    }
    if outer.ip.header_bytes != 20 || outer.ip.len_bytes < TUNNEL_BYTES + 20 {
        return Err(DropReason::TunnelBadHeader.into());
    }
    let sender = t.node(outer.ip.src_be).ok_or(DropReason::TunnelStranger)?;
    p.pull(HEADERS_BYTES);
    // BOUNDS: pull() may have moved the packet; this view is fresh.
    let h = p.at::<Head>(0)?;
    let flags = h.vxlan.flags.get();
    if h.udp.len.get() != outer.ip.len_bytes.wrapping_sub(20) || flags & VXLAN_FLAGS == 0 {
        return Err(DropReason::TunnelBadHeader.into());
    }
    let label = Label::read(h.inner.dst.get()).ok_or(DropReason::TunnelVersion)?;
    if label.version != WIRE_VERSION {
        return Err(DropReason::TunnelVersion.into());
    }
    if h.vxlan.vni.get() >> 8 != host.vni {
        return Err(DropReason::TunnelVni.into());
    }
    if h.inner.kind.get() != ETH_IPV4 {
        return Err(DropReason::TunnelInnerType.into());
    }
    let (previous, source_port) = (h.inner.src.get(), h.udp.src.get());
    let inner = parse::flow::<V4, H>(p, INNER).map_err(|_| DropReason::TunnelInnerHeader)?;
    if inner.ip.len_bytes > outer.ip.len_bytes.wrapping_sub(TUNNEL_BYTES) {
        return Err(DropReason::TunnelInnerHeader.into());
    }
    Ok(Arrived {
        sender,
        sender_underlay_ip_be: outer.ip.src_be,
        label,
        previous,
        ingress_node_id: flags as u16,
        source_port,
        inner,
    })
}

/// Kind ingress: an outside client's packet for a published port, handed on by its ingress host.
#[inline(always)]
pub fn ingress<T: Tables>(t: &T, host: &Host, a: &Arrived) -> Result<Frontend, Stop> {
    if route::is_no_client::<V4>(t, host.vni, a.inner.ip.src_be) {
        return Err(DropReason::TunnelInsideSource.into());
    }
    if !a.inner.is_translatable() {
        return Err(DropReason::NoPorts.into());
    }
    let dst = Addresses::<V4>::route(t, host.vni, a.inner.ip.dst_be);
    Ok(lb::published(t, host.vni, &a.inner, dst).ok_or(DropReason::TunnelNoFrontend)?)
}

/// The endpoint a packet of kind ingress names, and its address.
#[inline(always)]
pub fn named<T: Tables>(t: &T, a: &Arrived) -> Result<(LocalKey, Local), Stop> {
    let key = t.local_id(a.label.endpoint_id).ok_or(DropReason::TunnelNoEndpoint)?;
    let local = Addresses::<V4>::local(t, key.vni, key.ip_be).ok_or(DropReason::TunnelNoEndpoint)?;
    Ok((key, local))
}

/// Where the replies go: the ingress host named in the header, which on the first hop is the sender.
#[inline(always)]
pub fn ingress_host<T: Tables>(t: &T, host: &Host, a: &Arrived) -> Result<Ingress, Stop> {
    // Our own packet, which a previous owner hands back.
    let underlay_ip_be = match a.ingress_node_id == host.node_id {
        true => host.node_underlay_ip_be,
        false => t.node_address(a.ingress_node_id).ok_or(DropReason::TunnelForeignIngress)?,
    };
    if a.label.hops == 0 && underlay_ip_be != a.sender_underlay_ip_be {
        return Err(DropReason::TunnelForeignIngress.into());
    }
    Ok(Ingress { node_id: a.ingress_node_id, underlay_ip_be })
}

/// Kind reply: the source is a frontend address and port of this host, and the sender owns a backend of it.
#[inline(always)]
pub fn reply<T: Tables>(t: &T, host: &Host, a: &Arrived) -> Result<(), Stop> {
    if !a.inner.is_translatable() {
        return Err(DropReason::NoPorts.into());
    }
    let src = Addresses::<V4>::route(t, host.vni, a.inner.ip.src_be);
    let frontend = lb::published_source(t, host, &a.inner, src).ok_or(DropReason::TunnelForeignReply)?;
    let key = OwnerKey { frontend_id: frontend.id, node_id: a.sender.node_id, pad: 0 };
    if !t.is_owner(&key) {
        return Err(DropReason::TunnelNotOwner.into());
    }
    if route::is_no_client::<V4>(t, host.vni, a.inner.ip.dst_be) {
        return Err(DropReason::ReplyToOverlay.into());
    }
    Ok(())
}

/// Kind overlay: the inner source lies in the sender's blocks and the inner destination is an endpoint here.
#[inline(always)]
pub fn overlay<T: Tables>(t: &T, host: &Host, a: &Arrived) -> Result<Local, Stop> {
    let owns_source = Addresses::<V4>::route(t, host.vni, a.inner.ip.src_be)
        .is_some_and(|r| matches!(r.kind(), RouteKind::Block) && r.node_id == a.sender.node_id);
    if !owns_source {
        return Err(DropReason::TunnelForeignSource.into());
    }
    let local = Addresses::<V4>::local(t, host.vni, a.inner.ip.dst_be);
    Ok(local.ok_or(DropReason::TunnelNoEndpoint)?)
}
