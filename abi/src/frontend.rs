//! Frontends, and who serves them.
//!
//! Adding writes backends, list and ring first and the frontend last; removing goes in reverse. A
//! frontend's value is replaced by one write; the old list and ring regions are reused after a grace time.

use crate::plain::plain;

/// Key of map FRONTENDS4.
///
/// A VIP answers on any port: `addr_be` = VIP, `port_be` and `proto` 0. A port of a VIP that leads elsewhere has all
/// three; the VIP's own entry then says [`FRONTEND_BY_PORT`]. A published port answers on every host and external
/// address: `addr_be` 0, port and protocol given.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FrontendKey<A = u32> {
    pub vni: u32,
    pub addr_be: A,
    pub port_be: u16,
    pub proto: u8,
    pub pad: u8,
}
plain!(FrontendKey = 12 / 4);

impl FrontendKey {
    #[inline(always)]
    pub const fn vip(vni: u32, vip_be: u32) -> Self {
        FrontendKey { vni, addr_be: vip_be, port_be: 0, proto: 0, pad: 0 }
    }
    #[inline(always)]
    pub const fn vip_port(vni: u32, vip_be: u32, port_be: u16, proto: u8) -> Self {
        FrontendKey { vni, addr_be: vip_be, port_be, proto, pad: 0 }
    }
    #[inline(always)]
    pub const fn published(vni: u32, port_be: u16, proto: u8) -> Self {
        FrontendKey { vni, addr_be: 0, port_be, proto, pad: 0 }
    }
}

/// Written by the agent. `list_count` 0 = no backend: connections are refused.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frontend {
    /// Never 0.
    pub id: u32,
    /// LISTS[list_base .. list_base + list_count] are backend ids: who serves connections from inside.
    pub list_base: u32,
    pub list_count: u32,
    /// RINGS[ring_base .. ring_base + ring_slots]: who serves packets from outside. 0 slots = no ring.
    pub ring_base: u32,
    pub ring_slots: u32,
    pub generation: u32,
    /// The port backends listen on; 0 = the backend's own, or if that is 0 too, the dialled one. Always
    /// set for a published port: a backend's host is told the endpoint, not the backend.
    pub target_port_be: u16,
    /// [`FRONTEND_BY_PORT`].
    pub flags: u16,
}
plain!(Frontend = 28 / 4);

/// Of a VIP: the dialled port may have an entry of its own, which then counts; this one is for all other ports. Without
/// it nobody looks a second time.
pub const FRONTEND_BY_PORT: u16 = 1;

/// Value of map BACKENDS, indexed by backend id; id 0 is "none" and never written. Written by the agent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    /// The endpoint's overlay address; of a host-network backend, its host's underlay address.
    pub ip_be: u32,
    /// Tunnel address of its host.
    pub node_underlay_ip_be: u32,
    /// Of a host-network backend: the id of its host's endpoint.
    pub endpoint_id: u32,
    /// See [`Frontend::target_port_be`].
    pub port_be: u16,
    pub node_id: u16,
    /// [`BACKEND_LOCAL`], [`BACKEND_HOST_NETWORK`], [`BACKEND_DRAINING`].
    pub flags: u32,
}
plain!(Backend = 20 / 4);

/// On this host.
pub const BACKEND_LOCAL: u32 = 1;
/// In its host's own network namespace.
pub const BACKEND_HOST_NETWORK: u32 = 2;
/// Takes no new flows; in no list, owner of no slot.
pub const BACKEND_DRAINING: u32 = 4;

/// The port a backend is reached at.
#[inline(always)]
pub const fn backend_port_be(frontend: &Frontend, backend: &Backend, dialled_be: u16) -> u16 {
    if frontend.target_port_be != 0 {
        frontend.target_port_be
    } else if backend.port_be != 0 {
        backend.port_be
    } else {
        dialled_be
    }
}

/// One slot of a ring: owner (backend id, 19 bits) and three previous owners (node ids, 15 bits each,
/// 0 = none, newest first). An all-zero slot has no owner.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingSlot(pub u64);
plain!(RingSlot = 8 / 8);

impl RingSlot {
    #[inline(always)]
    pub const fn new(backend_id: u32, previous_node_ids: [u16; 3]) -> RingSlot {
        let [a, b, c] = previous_node_ids;
        RingSlot(
            (backend_id as u64 & SLOT_ID_MASK)
                | ((a as u64 & 0x7fff) << 19)
                | ((b as u64 & 0x7fff) << 34)
                | ((c as u64 & 0x7fff) << 49),
        )
    }
    #[inline(always)]
    pub const fn backend_id(self) -> u32 {
        (self.0 & SLOT_ID_MASK) as u32
    }
    #[inline(always)]
    pub const fn previous_node_ids(self) -> [u16; 3] {
        [(self.0 >> 19) as u16 & 0x7fff, (self.0 >> 34) as u16 & 0x7fff, (self.0 >> 49) as u16 & 0x7fff]
    }
}

/// Map BACKENDS has an element for every id from 0 to here: 3 MB, and a look-up that costs nothing.
pub const BACKEND_ID_MAX: u32 = (1 << 17) - 1;
/// A ring slot has room for 19 bits.
const SLOT_ID_MASK: u64 = (1 << 19) - 1;
const _: () = assert!(BACKEND_ID_MAX as u64 <= SLOT_ID_MASK);

/// Which slot of a ring serves a flow: monotonic in the hash, so that a raise, which repeats each old slot four times,
/// keeps owners in place.
#[inline(always)]
pub const fn ring_slot(hash: u32, ring_slots: u32) -> u32 {
    ((hash as u64 * ring_slots as u64) >> 32) as u32
}

/// "This host owns a backend of that frontend": who may send kind reply for it (map OWNERS, value 1).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OwnerKey {
    pub frontend_id: u32,
    pub node_id: u16,
    pub pad: u16,
}
plain!(OwnerKey = 8 / 4);

/// Words of the bitmap of published ports: 1,024 for TCP, then 1,024 for UDP.
pub const PUBLISHED_WORDS: u32 = 2048;

/// Where in PUBLISHED the bit of a port is: the word's index. `None` for other protocols.
#[inline(always)]
pub const fn published_word(proto: u8, port: u16) -> Option<u32> {
    match proto {
        crate::addr::PROTO_TCP => Some(port as u32 >> 6),
        crate::addr::PROTO_UDP => Some(1024 | (port as u32 >> 6)),
        _ => None,
    }
}
/// ... and the bit in it.
#[inline(always)]
pub const fn published_bit(port: u16) -> u64 {
    1 << (port & 63)
}
