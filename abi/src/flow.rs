//! What is remembered about flows.

use crate::plain::plain;

/// Five-tuple of one direction, with the environment. Ports are 0 where the protocol has none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey<A = u32> {
    pub vni: u32,
    pub src_be: A,
    pub dst_be: A,
    pub src_port_be: u16,
    pub dst_port_be: u16,
    pub proto: u8,
    /// [`KEY_ORIGINAL`] or [`KEY_REPLY`]: VIPFLOWS4 holds both.
    pub direction: u8,
    pub pad: u16,
}
plain!(FlowKey = 20 / 4);

/// Which backend of this host serves a flow from outside (map ORIGINALS4): an index into CONNTRACK4 for those who do
/// not know the backend, because the ring has moved the flow's slot.
///
/// The key is the packet as the client sends it, direction [`KEY_ORIGINAL`]. Written by the programs whenever they
/// write the flow's entry; the agent may delete.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Original<A = u32> {
    pub backend_ip_be: A,
    pub backend_port_be: u16,
    /// The client port the backend sees.
    pub client_port_be: u16,
}
plain!(Original = 8 / 4);

pub const KEY_ORIGINAL: u8 = 0;
pub const KEY_REPLY: u8 = 1;

/// A flow from outside, on its backend's host (map CONNTRACK4): one entry for both directions.
///
/// The key is the reply as it leaves the backend: source = backend, destination = the client with the
/// client port the backend sees, direction [`KEY_REPLY`]. Written by the programs; the agent may delete.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conntrack<A = u32> {
    /// The frontend address and port the client dialled.
    pub dialled_ip_be: A,
    pub dialled_port_be: u16,
    /// The client's own port; the key holds the one the backend sees.
    pub client_port_be: u16,
    /// Where the packets come in, and the replies go: node id and tunnel address.
    pub ingress_underlay_ip_be: u32,
    pub ingress_node_id: u16,
    /// A [`FlowState`] as number.
    pub state: u8,
    pub pad: u8,
    /// [`crate::host::Host::ring_generation`] when last confirmed.
    pub generation: u32,
    /// What the endpoint's last SYN-ACK wants acknowledged, host order; 0 = none seen.
    pub syn_ack: u32,
    /// [`tick`]s.
    pub created_tick: u32,
    pub last_seen_tick: u32,
}
plain!(Conntrack = 32 / 4);

#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowState {
    /// Only the client has been heard.
    New = 1,
    /// Both sides have been heard.
    Established = 2,
    /// A FIN or RST has been seen.
    Closing = 3,
}

/// A VIP flow translated packet by packet at the client's veth (map VIPFLOWS4).
///
/// Under the original key (client -> VIP): where it goes. Under the reply key (backend -> client): the
/// VIP and port to show instead. Both are written on every original packet that finds either missing.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VipFlow<A = u32> {
    /// Original: the backend. Reply: the dialled address.
    pub ip_be: A,
    /// Original: the backend's port. Reply: the dialled port.
    pub port_be: u16,
    /// The other client port: original: the moved one; reply: the client's own.
    pub client_port_be: u16,
    pub backend_id: u32,
    pub last_seen_tick: u32,
}
plain!(VipFlow = 16 / 4);

/// Size of map VIPUSERS; endpoint ids share its cells, which costs a needless look-up at worst.
pub const VIP_USERS: u32 = 4096;

/// For so many [`tick`]s the entry of a flow that is not known to be open proves that its packets belong here: UDP, and
/// TCP before the backend answered or after a FIN or RST. Client ports are used again after a minute at the earliest.
pub const PROVES_TICKS: u32 = 60;

/// The unit of time in flow entries: 2^30 ns (1.07 s) since boot. Wraps after 146 years.
#[inline(always)]
pub const fn tick(boot_ns: u64) -> u32 {
    (boot_ns >> 30) as u32
}
