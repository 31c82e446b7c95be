//! Which frontend a packet dials, and which backend serves it.

use crate::{
    parse::Flow,
    tables::{Addresses, Tables},
    width::V4,
};
use remuda_abi::{
    counter::DropReason,
    frontend::{Backend, FRONTEND_BY_PORT, Frontend, FrontendKey, RingSlot, ring_slot},
    host::Host,
    route::{Route, RouteKind},
};

/// The frontend of a published port, if the destination is one of the fleet's host addresses.
#[inline(always)]
pub fn published<T: Tables>(t: &T, vni: u32, flow: &Flow<V4>, dst: Option<Route>) -> Option<Frontend> {
    published_at(t, vni, flow.ip.proto, flow.dst_port_be(), is_host_address(dst))
}
/// ... if it is one of this host's.
#[inline(always)]
pub fn published_here<T: Tables>(t: &T, host: &Host, flow: &Flow<V4>, dst: Option<Route>) -> Option<Frontend> {
    let is_here = is_own_address(host, dst);
    published_at(t, host.vni, flow.ip.proto, flow.dst_port_be(), is_here)
}
/// ... if the source is: replies leave with a frontend's address.
#[inline(always)]
pub fn published_source<T: Tables>(t: &T, host: &Host, flow: &Flow<V4>, src: Option<Route>) -> Option<Frontend> {
    published_at(t, host.vni, flow.ip.proto, flow.src_port_be(), is_own_address(host, src))
}

/// The frontend of a VIP: one look-up, and a second one for those whose ports lead to different places.
#[inline(always)]
pub fn vip<T: Tables>(t: &T, vni: u32, vip_be: u32, port_be: u16, proto: u8) -> Option<Frontend> {
    let any = Addresses::<V4>::frontend(t, &FrontendKey::vip(vni, vip_be))?;
    if any.flags & FRONTEND_BY_PORT == 0 {
        return Some(any);
    }
    Some(Addresses::<V4>::frontend(t, &FrontendKey::vip_port(vni, vip_be, port_be, proto)).unwrap_or(any))
}

/// The bitmap first: it is the cheapest no.
#[inline(always)]
pub fn published_at<T: Tables>(t: &T, vni: u32, proto: u8, port_be: u16, is_address: bool) -> Option<Frontend> {
    if !is_address || !t.is_published(proto, u16::from_be(port_be)) {
        return None;
    }
    Addresses::<V4>::frontend(t, &FrontendKey::published(vni, port_be, proto))
}

#[inline(always)]
pub fn is_host_address(r: Option<Route>) -> bool {
    r.is_some_and(|r| matches!(r.kind(), RouteKind::HostAddress | RouteKind::External))
}
#[inline(always)]
fn is_own_address(host: &Host, r: Option<Route>) -> bool {
    r.is_some_and(|r| match r.kind() {
        RouteKind::HostAddress => r.node_id == host.node_id,
        RouteKind::External => true,
        _ => false,
    })
}

/// A backend for a connection from inside: the list's member at the hash, never `not_ip_be` itself, to
/// which a packet of its own could not be delivered.
#[inline(always)]
pub fn from_list<T: Tables>(t: &T, f: &Frontend, hash: u32, not_ip_be: u32) -> Result<(u32, Backend), DropReason> {
    if f.list_count == 0 {
        return Err(DropReason::NoBackend);
    }
    let first = ring_slot(hash, f.list_count);
    let (id, backend) = member(t, f, first)?;
    if backend.ip_be != not_ip_be {
        return Ok((id, backend));
    }
    let next = first.wrapping_add(1);
    let (id, backend) = member(t, f, if next >= f.list_count { 0 } else { next })?;
    if backend.ip_be == not_ip_be {
        return Err(DropReason::NoBackend);
    }
    Ok((id, backend))
}

#[inline(always)]
fn member<T: Tables>(t: &T, f: &Frontend, index: u32) -> Result<(u32, Backend), DropReason> {
    let id = t.list_member(f.list_base.wrapping_add(index)).ok_or(DropReason::BrokenFrontend)?;
    let backend = t.backend(id).filter(|b| b.ip_be != 0).ok_or(DropReason::BrokenFrontend)?;
    Ok((id, backend))
}

/// The slot of a flow from outside, and the backend that owns it; `None` while all who did drain.
#[inline(always)]
pub fn from_ring<T: Tables>(t: &T, f: &Frontend, hash: u32) -> Result<(RingSlot, Option<Backend>), DropReason> {
    if f.ring_slots == 0 {
        return Err(DropReason::NoBackend);
    }
    let at = f.ring_base.wrapping_add(ring_slot(hash, f.ring_slots));
    let slot = t.ring_slot(at).ok_or(DropReason::BrokenFrontend)?;
    if slot.backend_id() == 0 {
        return Ok((slot, None));
    }
    let backend = t.backend(slot.backend_id()).filter(|b| b.ip_be != 0).ok_or(DropReason::BrokenFrontend)?;
    Ok((slot, Some(backend)))
}
