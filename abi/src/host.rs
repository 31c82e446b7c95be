//! What a program knows of the host it runs on.

use crate::{addr::Mac, plain::plain};

/// The one value of map HOST. Written by the agent, live; an all-zero value (`abi_version` 0) means
/// "not set up yet": the programs then leave every packet to the next one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// [`crate::ABI_VERSION`] of the agent that wrote it.
    pub abi_version: u32,
    /// The environment, 24 bits.
    pub vni: u32,
    /// This host's tunnel address (`--advertise`).
    pub node_underlay_ip_be: u32,
    /// `remuda0`'s overlay address.
    pub endpoint_ip_be: u32,
    /// `remuda0` itself, not its peer: whatever goes up the host stack enters here.
    pub endpoint_ifindex: u32,
    /// `remuda0`'s MAC.
    pub endpoint_mac: Mac,
    /// Secret of the environment; the same on all its hosts.
    pub hash_seed: u32,
    pub tunnel_port_be: u16,
    /// Unique in the fleet; 0 = none.
    pub node_id: u16,
    /// MTU of the uplink, outer IP header included; 0 = do not check.
    pub uplink_mtu_bytes: u16,
    /// [`HOST_HAS_HOST_BACKENDS`].
    pub flags: u16,
    /// Raised when rings change: entries of older generations are confirmed before use.
    pub ring_generation: u32,
    /// Ports of this host that its containers may not reach: the API, metrics, gossip, tunnel.
    pub closed_ports: [ClosedPort; CLOSED_PORTS],
}
plain!(Host = 76 / 4);

/// A backend with `network_mode: host` lives here: uplink_egress must undo its translation.
pub const HOST_HAS_HOST_BACKENDS: u16 = 1;

/// The list is walked for every packet to the host itself, so it stays short.
pub const CLOSED_PORTS: usize = 8;

/// One closed port; `proto` 0 ends the list.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClosedPort {
    pub port_be: u16,
    pub proto: u8,
    pub pad: u8,
}
plain!(ClosedPort = 4 / 2);

impl Default for Host {
    fn default() -> Self {
        // SAFETY: Plain: every bit pattern is valid.
        unsafe { core::mem::zeroed() }
    }
}

/// What `closed_ports` holds unless configured otherwise.
pub const fn default_closed_ports(tunnel_port: u16) -> [ClosedPort; CLOSED_PORTS] {
    use crate::addr::*;
    const fn close(port: u16, proto: u8) -> ClosedPort {
        ClosedPort { port_be: port.to_be(), proto, pad: 0 }
    }
    let none = close(0, 0);
    [
        close(API_PORT, PROTO_TCP),
        close(METRICS_PORT, PROTO_TCP),
        close(GOSSIP_PORT, PROTO_UDP),
        close(tunnel_port, PROTO_UDP),
        none,
        none,
        none,
        none,
    ]
}
