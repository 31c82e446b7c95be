//! What an address is (map ROUTES4), and which hosts are peers (map NODES).

use crate::plain::plain;

/// The data part of a ROUTES4 key. `prefix_len` counts the 32 bits of `vni` too: a /26 has
/// prefix_len 58 ([`route_prefix_len`]).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RouteKey<A = u32> {
    pub vni: u32,
    pub ip_be: A,
}
plain!(RouteKey = 8 / 4);

/// ROUTES4's `prefix_len` for an IPv4 prefix.
#[inline(always)]
pub const fn route_prefix_len(ip_prefix_len: u32) -> u32 {
    32 + ip_prefix_len
}

/// What an address is. One look-up classifies a destination; no entry = outside.
/// Written by the agent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// A [`RouteKind`] as number; an unknown number is treated as [`RouteKind::Pool`].
    pub kind: u16,
    /// Owner of a block or of a host address; 0 otherwise.
    pub node_id: u16,
    /// Tunnel address of that owner; 0 otherwise.
    pub node_underlay_ip_be: u32,
}
plain!(Route = 8 / 4);

#[repr(u16)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// A block of overlay addresses, owned by one host (this one included).
    Block = 1,
    /// The overlay pools: an address nobody owns.
    Pool = 2,
    /// The VIP pools.
    Vip = 3,
    /// One of a fleet host's own addresses: published ports answer here.
    HostAddress = 4,
    /// The name server, answered by the host itself.
    Dns = 5,
    /// An external address: published ports answer here, on every host.
    External = 6,
}

impl Route {
    /// The checked way from the number to the kind.
    #[inline(always)]
    pub const fn kind(&self) -> RouteKind {
        match self.kind {
            1 => RouteKind::Block,
            3 => RouteKind::Vip,
            4 => RouteKind::HostAddress,
            5 => RouteKind::Dns,
            6 => RouteKind::External,
            _ => RouteKind::Pool,
        }
    }
    pub const fn new(kind: RouteKind, node_id: u16, node_underlay_ip_be: u32) -> Route {
        Route { kind: kind as u16, node_id, node_underlay_ip_be }
    }
}

/// A peer: a host whose tunnel packets are accepted (map NODES, keyed by its underlay address).
/// This host itself is not in it. Written by the agent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub node_id: u16,
    pub pad: u16,
}
plain!(Node = 4 / 2);

/// Node ids fit a ring slot.
pub const NODE_ID_MAX: u16 = (1 << 15) - 1;
