//! Wire format 1: VXLAN (RFC 7348) but for the reserved bits.
//!
//! Outer UDP source port = 49152 + 14 bits of flow hash. The low 16 of the 24 reserved bits after the
//! VXLAN flags carry the ingress node id (0 in kind overlay). Inner destination MAC:
//! `02 : version (4 bits) kind (4 bits) : final (1 bit) hops (7 bits) : endpoint id (24 bits)`.
//! Inner source MAC: three 16-bit node ids of previous owners, network order, 0 = none. Hops of kind ingress counts the
//! places of that list that are done with; whoever hands a packet on first, the present owner, puts its own node id into
//! the first place, so that the last one asked knows where to send it back.

use crate::addr::Mac;

pub const WIRE_VERSION: u8 = 1;
/// Outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14.
pub const TUNNEL_BYTES: u16 = 50;
/// First of the 16,384 outer UDP source ports.
pub const SOURCE_PORT_BASE: u16 = 49_152;
/// The "VNI is valid" flag, the only VXLAN flag.
pub const VXLAN_FLAGS: u32 = 0x0800_0000;
/// skb mark of packets the programs themselves push or hand on: "REMU". What leaves for the tunnel
/// port of a peer without it was made by somebody else.
pub const TUNNEL_MARK: u32 = 0x5245_4d55;
/// Longest way of a packet that looks for its owner.
pub const HOPS_MAX: u8 = 4;

/// Why a packet is in the tunnel: what the receiver must check, and do.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Between two endpoints.
    Overlay = 0,
    /// An outside client's packet, untouched, on its way to a backend's host.
    Ingress = 1,
    /// A backend's answer, translated back, on its way to the ingress host.
    Reply = 2,
}

/// What the inner destination MAC says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    pub version: u8,
    /// A [`Kind`] as number: checked by the receiver.
    pub kind: u8,
    pub is_final: bool,
    pub hops: u8,
    /// 24 bits.
    pub endpoint_id: u32,
}

impl Label {
    #[inline(always)]
    pub const fn new(kind: Kind, endpoint_id: u32) -> Label {
        Label { version: WIRE_VERSION, kind: kind as u8, is_final: false, hops: 0, endpoint_id }
    }
    #[inline(always)]
    pub const fn mac(self) -> Mac {
        let word = 0x0200_0000
            | ((self.version as u32 & 15) << 20)
            | ((self.kind as u32 & 15) << 16)
            | ((self.is_final as u32) << 15)
            | ((self.hops as u32 & 0x7f) << 8)
            | ((self.endpoint_id >> 16) & 0xff);
        Mac { hi: word.to_be(), lo: (self.endpoint_id as u16).to_be(), pad: 0 }
    }
    /// `None` if the first byte is not 02: no label of ours.
    #[inline(always)]
    pub const fn read(mac: Mac) -> Option<Label> {
        let word = u32::from_be(mac.hi);
        if word >> 24 != 0x02 {
            return None;
        }
        Some(Label {
            version: (word >> 20) as u8 & 15,
            kind: (word >> 16) as u8 & 15,
            is_final: word & 0x8000 != 0,
            hops: (word >> 8) as u8 & 0x7f,
            endpoint_id: ((word & 0xff) << 16) | u16::from_be(mac.lo) as u32,
        })
    }
}

/// Previous owners as an inner source MAC.
#[inline(always)]
pub const fn previous_mac(node_ids: [u16; 3]) -> Mac {
    let [a, b, c] = node_ids;
    Mac { hi: (((a as u32) << 16) | b as u32).to_be(), lo: c.to_be(), pad: 0 }
}

/// The node ids in an inner source MAC.
#[inline(always)]
pub const fn previous_nodes(mac: Mac) -> [u16; 3] {
    let word = u32::from_be(mac.hi);
    [(word >> 16) as u16, word as u16, u16::from_be(mac.lo)]
}
