//! Where the packet is, what the kernel says about it, and how its room changes.

use remuda_abi::counter::DropReason;

/// One implementation per attach point; nothing else is allowed to differ. Offsets count from the
/// Ethernet header.
///
/// # Safety
/// `data()..data_end()` is one readable and writable allocation until the next call that takes `&mut self`.
#[expect(clippy::len_without_is_empty, reason = "a packet is never empty: it has at least an Ethernet header")]
pub unsafe trait Hook {
    fn data(&self) -> *mut u8;
    fn data_end(&self) -> *mut u8;
    /// Bytes of the whole packet, those beyond `data_end` included.
    fn len(&self) -> u32;
    /// The interface the program is attached to.
    fn ifindex(&self) -> u32;
    /// Will be cut into segments later, so its length says nothing about the MTU.
    fn is_gso(&self) -> bool;
    /// Carries a VLAN tag beside the data.
    fn is_tagged(&self) -> bool;
    fn mark(&self) -> u32;
    fn set_mark(&mut self, mark: u32);
    /// Makes the first `bytes` readable, or all if there are fewer. What fails here fails again in
    /// the bounds check of [`crate::packet`].
    fn pull(&mut self, bytes: u32);
    /// Makes 50 zeroed bytes of room between Ethernet header and IP header.
    fn push_room(&mut self) -> Result<(), DropReason>;
    /// Takes the 50 bytes after the Ethernet header away.
    fn pop_room(&mut self) -> Result<(), DropReason>;
    /// Tells the IPv4 header checksum that a word it covers changes.
    fn fix_l3(&mut self, old_be: u32, new_be: u32) -> Result<(), DropReason>;
    /// Tells the transport checksum at `off` that something it covers changes.
    fn fix_l4(&mut self, off: u16, change: L4Change) -> Result<(), DropReason>;
    fn store32(&mut self, off: u16, value_be: u32) -> Result<(), DropReason>;
    fn store16(&mut self, off: u16, value_be: u16) -> Result<(), DropReason>;
    /// The kernel's way from one underlay address to another; [`DropReason::NoNextHop`] if it has none.
    fn next_hop(&mut self, src_be: u32, dst_be: u32) -> Result<NextHop, DropReason>;
}

/// What changes under a transport checksum. Only the kernel knows whether the checksum in the packet is
/// whole or just the pseudo header (CHECKSUM_PARTIAL), so it does the arithmetic.
#[derive(Clone, Copy)]
pub struct L4Change {
    pub old_be: u32,
    pub new_be: u32,
    pub what: Changed,
    /// UDP: a checksum of 0 means none, and none is ever made.
    pub is_udp: bool,
}
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// An address: part of the pseudo header.
    Address,
    /// A port, in the low 16 bits.
    Port,
}

/// Where a frame leaves: the interface, and whose MAC the kernel shall look up.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub ifindex: u32,
    /// AF_INET or AF_INET6: a v4 route may have a v6 gateway.
    pub family: u32,
    pub address: [u32; 4],
}
