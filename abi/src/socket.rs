//! What the socket hooks know of a network namespace, and remember of a socket.

use crate::plain::plain;

/// The endpoint a network namespace belongs to (map NETNS, keyed by its cookie, u64). Written by the
/// agent before the first process starts there; sockets of other namespaces are left alone.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketEndpoint<A = u32> {
    pub vni: u32,
    /// The VIP pool: the test that lets ordinary connections go.
    pub vip_net_be: A,
    pub vip_mask_be: A,
    /// [`SOCKET_HOST`].
    pub flags: u32,
    pub endpoint_id: u32,
    pub pad: u32,
}
plain!(SocketEndpoint = 24 / 4);

/// The host's own namespace: published ports answer on 127.0.0.0/8 too.
pub const SOCKET_HOST: u32 = 1;

/// Slots of map SEEN: socket cookie modulo this.
pub const SEEN_SLOTS: u32 = 65_536;

/// The last connect of the TCP socket with this cookie (map SEEN): only getpeername reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen<A = u32> {
    pub socket_cookie: u64,
    pub dialled_ip_be: A,
    pub real_ip_be: A,
    pub dialled_port_be: u16,
    pub real_port_be: u16,
    pub pad: u32,
}
plain!(Seen = 24 / 8);

/// A UDP socket's note (socket storage PEER): what it believes its peer is, and what the kernel was told.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Peer<A = u32> {
    pub dialled_ip_be: A,
    pub real_ip_be: A,
    pub dialled_port_be: u16,
    pub real_port_be: u16,
}
plain!(Peer = 12 / 4);

/// Key of map REV: a UDP socket that speaks to several frontends.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RevKey<A = u32> {
    pub socket_cookie: u64,
    pub real_ip_be: A,
    pub real_port_be: u16,
    pub pad: u16,
}
plain!(RevKey = 16 / 8);

/// Value of map REV.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialled<A = u32> {
    pub ip_be: A,
    pub port_be: u16,
    pub pad: u16,
}
plain!(Dialled = 8 / 4);
