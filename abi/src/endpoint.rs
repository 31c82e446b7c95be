//! Who may enter where, and how to deliver.

use crate::{addr::Mac, plain::plain};

/// What may enter by an interface (map ENDPOINTS, keyed by the ifindex the hook is attached to:
/// the host-side veth, or `remuda0`'s peer). A packet from an interface without entry is dropped.
/// Written by the agent; read by `endpoint`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Overlay address: the only IP source allowed in.
    pub ip_be: u32,
    /// Unique in the fleet, 24 bits; 0 = none.
    pub id: u32,
    pub vni: u32,
    /// The only MAC source allowed in.
    pub mac: Mac,
    /// [`ENDPOINT_HOST`], [`ENDPOINT_NO_EGRESS`], [`ENDPOINT_PUBLISHED`].
    pub flags: u32,
    pub mtu_bytes: u32,
}
plain!(Endpoint = 28 / 4);

/// This host's own endpoint, `remuda0`: carries the overlay address and whatever the host forwards.
pub const ENDPOINT_HOST: u32 = 1;
/// `internal: true`: nothing but the overlay, this host and the name server.
pub const ENDPOINT_NO_EGRESS: u32 = 2;
/// Serves a published port: its packets may be replies that must be translated back.
pub const ENDPOINT_PUBLISHED: u32 = 4;

/// Key of map LOCAL4, and value of map LOCAL_IDS.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LocalKey<A = u32> {
    pub vni: u32,
    pub ip_be: A,
}
plain!(LocalKey = 8 / 4);

/// How to deliver to an endpoint of this host (map LOCAL4). For the host endpoint `ifindex` is
/// `remuda0` itself, entered with BPF_F_INGRESS; for all others it is the host-side veth, crossed
/// with redirect_peer. Written by the agent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    pub ifindex: u32,
    pub mac: Mac,
    pub id: u32,
    /// As in [`Endpoint`].
    pub flags: u32,
}
plain!(Local = 20 / 4);
