//! Where a packet goes, and whether its source may say so. Decides only; the pipeline does.

use crate::{parse::Flow, tables::Addresses, verdict::Stop, width::*};
use remuda_abi::{
    addr::{DNS_PORT, PROTO_ICMP},
    counter::DropReason,
    endpoint::*,
    host::Host,
    route::*,
};

/// Where a packet from an endpoint goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// An endpoint of this host, its own included.
    Endpoint(Local),
    /// Up the host stack, through `remuda0`.
    HostStack,
    /// The host whose block it is.
    Node { node_underlay_ip_be: u32 },
}

/// Where a destination leads. `local` and `route` are what the tables say of it; the destination is the
/// real one, behind any frontend.
#[inline(always)]
pub fn from_endpoint<W: Width>(
    host: &Host,
    from: &Endpoint,
    flow: &Flow<W>,
    source_is_own: bool,
    local: Option<Local>,
    route: Option<Route>,
) -> Result<To, Stop> {
    let from_host = from.flags & ENDPOINT_HOST != 0;
    if let Some(local) = local {
        if local.flags & ENDPOINT_HOST != 0 {
            to_this_host(host, from_host, flow)?;
        }
        return Ok(To::Endpoint(local));
    }
    let Some(route) = route else {
        if W::is_martian(flow.ip.dst_be) {
            return Err(DropReason::MartianDestination.into());
        }
        return to_outside(from, from_host);
    };
    match route.kind() {
        RouteKind::Block if route.node_id == host.node_id => Err(DropReason::NoSuchEndpoint.into()),
        RouteKind::Block if !source_is_own => Err(DropReason::HostSourceRemote.into()),
        RouteKind::Block => Ok(To::Node { node_underlay_ip_be: route.node_underlay_ip_be }),
        RouteKind::Pool => Err(DropReason::NoRoute.into()),
        RouteKind::Vip if !source_is_own => Err(DropReason::HostSourceRemote.into()),
        RouteKind::Vip if !flow.is_translatable() => Err(DropReason::NoPorts.into()),
        RouteKind::Vip => Err(DropReason::NoSuchVip.into()),
        RouteKind::HostAddress if route.node_id == host.node_id => to_this_host(host, from_host, flow),
        RouteKind::HostAddress | RouteKind::External => to_outside(from, from_host),
        RouteKind::Dns => to_name_server(from_host, flow),
    }
}

#[inline(always)]
fn to_outside(from: &Endpoint, from_host: bool) -> Result<To, Stop> {
    if from_host {
        return Err(DropReason::HostLoop.into());
    }
    if from.flags & ENDPOINT_NO_EGRESS != 0 {
        return Err(DropReason::EgressForbidden.into());
    }
    Ok(To::HostStack)
}

#[inline(always)]
fn to_this_host<W: Width>(host: &Host, from_host: bool, flow: &Flow<W>) -> Result<To, Stop> {
    if from_host {
        return Err(DropReason::HostLoop.into());
    }
    if is_closed(host, flow) {
        return Err(DropReason::ClosedPort.into());
    }
    Ok(To::HostStack)
}

/// The name server's address belongs to the host: only names and pings, so that nothing else that
/// listens on all of the host's addresses is reached through it.
#[inline(always)]
fn to_name_server<W: Width>(from_host: bool, flow: &Flow<W>) -> Result<To, Stop> {
    if from_host {
        return Err(DropReason::HostLoop.into());
    }
    let is_name = flow.has_ports && flow.dst_port_be() == DNS_PORT.to_be();
    // A later fragment carries no port; without its first one it is never put together.
    if is_name || flow.ip.proto == PROTO_ICMP || flow.ip.is_later_fragment {
        return Ok(To::HostStack);
    }
    Err(DropReason::ClosedPort.into())
}

/// Is this one of the ports the host keeps from its containers?
#[inline(always)]
pub fn is_closed<W: Width>(host: &Host, flow: &Flow<W>) -> bool {
    let port_be = flow.dst_port_be();
    let mut i = 0;
    let mut closed = false;
    // VERIFIER: a fixed count, so LLVM unrolls it and no index is checked.
    while i < remuda_abi::host::CLOSED_PORTS {
        // SAFETY: i is below the array's length.
        let c = unsafe { host.closed_ports.get_unchecked(i) };
        closed |= c.proto != 0 && c.proto == flow.ip.proto && c.port_be == port_be;
        i += 1;
    }
    closed && flow.has_ports
}

/// May `from` send with this source address? Its own always; the host's endpoint also whatever is
/// neither overlay nor VIP, because it carries what the host answers and forwards. `Ok(is_own)`.
#[inline(always)]
pub fn source_of<W: Width<Addr = u32>>(t: &impl Addresses<W>, from: &Endpoint, src_be: W::Addr) -> Result<bool, Stop> {
    if src_be == from.ip_be {
        return Ok(true);
    }
    if from.flags & ENDPOINT_HOST != 0 && is_outside_or_host::<W>(t, from.vni, src_be) {
        return Ok(false);
    }
    Err(DropReason::SpoofedSource.into())
}

#[inline(always)]
fn is_outside_or_host<W: Width>(t: &impl Addresses<W>, vni: u32, ip_be: W::Addr) -> bool {
    match t.route(vni, ip_be) {
        None => !W::is_martian(ip_be),
        Some(r) => matches!(r.kind(), RouteKind::HostAddress | RouteKind::External | RouteKind::Dns),
    }
}

/// What comes in from outside and is no tunnel packet may neither claim an inside source nor ask for an
/// inside destination. All else is the kernel's.
#[inline(always)]
pub fn from_outside<W: Width>(t: &impl Addresses<W>, vni: u32, flow: &Flow<W>, dst: Option<Route>) -> Result<(), Stop> {
    match dst.map(|r| r.kind()) {
        Some(RouteKind::Block | RouteKind::Pool | RouteKind::Dns) => return Err(DropReason::OutsideToOverlay.into()),
        Some(RouteKind::Vip) => return Err(DropReason::OutsideToVip.into()),
        Some(RouteKind::HostAddress | RouteKind::External) | None => (),
    }
    if is_inside(t.route(vni, flow.ip.src_be)) {
        return Err(DropReason::OutsideForgedSource.into());
    }
    Ok(())
}

/// An address that only exists inside the fleet.
#[inline(always)]
pub fn is_inside(route: Option<Route>) -> bool {
    route.is_some_and(|r| matches!(r.kind(), RouteKind::Block | RouteKind::Pool | RouteKind::Vip | RouteKind::Dns))
}

/// No client of a published port: inside, loopback, link-local or multicast.
#[inline(always)]
pub fn is_no_client<W: Width>(t: &impl Addresses<W>, vni: u32, ip_be: W::Addr) -> bool {
    W::is_martian(ip_be) || is_inside(t.route(vni, ip_be))
}
