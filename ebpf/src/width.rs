//! IPv4 and IPv6 differ here and nowhere else. The first release carries IPv4; the parameter is there.

use crate::packet::*;
use remuda_abi::counter::DropReason;

/// What the network header says, checked once.
pub struct Ip<W: Width> {
    pub src_be: W::Addr,
    pub dst_be: W::Addr,
    pub proto: u8,
    /// The whole IP packet.
    pub len_bytes: u16,
    /// This header, options included.
    pub header_bytes: u16,
    pub is_fragment: bool,
    /// A fragment without the first bytes: no ports here.
    pub is_later_fragment: bool,
}

pub trait Width: Copy + 'static {
    /// Network order, aligned: goes into map keys.
    type Addr: Copy + Eq + core::hash::Hash + core::fmt::Debug;
    type Header: Wire;
    /// [`DropReason::BadHeader`] if version or lengths make no sense.
    fn read(h: &Self::Header) -> Result<Ip<Self>, DropReason>
    where
        Self: Sized;
    /// The address as one word, for the flow hash.
    fn fold(a: Self::Addr) -> u32;
    /// Loopback, link-local, multicast, broadcast, "this network": never routed.
    fn is_martian(a: Self::Addr) -> bool;
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct V4;

impl Width for V4 {
    type Addr = u32;
    type Header = Ipv4;

    #[inline(always)]
    fn read(h: &Ipv4) -> Result<Ip<V4>, DropReason> {
        let header_bytes = u16::from(h.version_ihl & 15) << 2;
        let len_bytes = h.len.get();
        if h.version_ihl >> 4 != 4 || header_bytes < 20 || len_bytes < header_bytes {
            return Err(DropReason::BadHeader);
        }
        let frag = h.frag.get();
        Ok(Ip {
            src_be: h.src.raw(),
            dst_be: h.dst.raw(),
            proto: h.proto,
            len_bytes,
            header_bytes,
            is_fragment: frag & 0x3fff != 0,
            is_later_fragment: frag & 0x1fff != 0,
        })
    }
    #[inline(always)]
    fn fold(a: u32) -> u32 {
        a
    }
    #[inline(always)]
    fn is_martian(a: u32) -> bool {
        let a = u32::from_be(a);
        a >> 24 == 0 || a >> 24 == 127 || a >> 16 == 0xa9fe || a >> 28 >= 14
    }
}
