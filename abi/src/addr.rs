//! MAC addresses, and the addresses and ports that mean the same on every host.

use crate::plain::plain;

/// A MAC address in registers and in map values: the six bytes as they lie in memory, as two integers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mac {
    /// First four bytes.
    pub hi: u32,
    /// Last two bytes.
    pub lo: u16,
    /// Always 0.
    pub pad: u16,
}
plain!(Mac = 8 / 4);

impl Mac {
    pub const BROADCAST: Mac = Mac::new([0xff; 6]);

    #[inline(always)]
    pub const fn new(bytes: [u8; 6]) -> Mac {
        let [a, b, c, d, e, f] = bytes;
        Mac { hi: u32::from_ne_bytes([a, b, c, d]), lo: u16::from_ne_bytes([e, f]), pad: 0 }
    }
    #[inline(always)]
    pub const fn bytes(self) -> [u8; 6] {
        let [a, b, c, d] = self.hi.to_ne_bytes();
        let [e, f] = self.lo.to_ne_bytes();
        [a, b, c, d, e, f]
    }
    /// Both halves in one comparison.
    #[inline(always)]
    pub const fn same(self, other: Mac) -> bool {
        self.hi == other.hi && self.lo == other.lo
    }
}

/// An IPv4 address as it lies in memory: what every `_be` field holds.
#[inline(always)]
pub const fn ip_be(octets: [u8; 4]) -> u32 {
    u32::from_ne_bytes(octets)
}

/// The MAC of the endpoint that owns this overlay address: `02:72:a:b:c:d`, locally administered.
#[inline(always)]
pub const fn endpoint_mac(ip_be: u32) -> Mac {
    let [a, b, c, d] = ip_be.to_ne_bytes();
    Mac::new([0x02, 0x72, a, b, c, d])
}

/// Every endpoint's gateway; answers ARP with [`GATEWAY_MAC`] and nothing else.
pub const GATEWAY_OCTETS: [u8; 4] = [169, 254, 1, 1];
pub const GATEWAY_IP_BE: u32 = ip_be(GATEWAY_OCTETS);
/// Source MAC of everything delivered to an endpoint, and the answer to every ARP request.
pub const GATEWAY_MAC: Mac = endpoint_mac(GATEWAY_IP_BE);
/// The name server every endpoint is given, on its own host.
pub const DNS_OCTETS: [u8; 4] = [169, 254, 169, 250];
pub const DNS_IP_BE: u32 = ip_be(DNS_OCTETS);
pub const DNS_PORT: u16 = 53;

/// API, page and agent connections (TCP).
pub const API_PORT: u16 = 8443;
/// Agent metrics and health (TCP).
pub const METRICS_PORT: u16 = 8444;
/// Gossip between agents (UDP).
pub const GOSSIP_PORT: u16 = 8445;
/// The tunnel (UDP), unless configured otherwise.
pub const TUNNEL_PORT: u16 = 4789;

pub const PROTO_ICMP: u8 = 1;
pub const PROTO_TCP: u8 = 6;
pub const PROTO_UDP: u8 = 17;
