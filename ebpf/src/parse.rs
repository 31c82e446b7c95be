//! One parse that checks once: version, header length, fragment bits, lengths, ports.

use crate::{hook::Hook, packet::*, width::*};
use remuda_abi::{
    addr::{PROTO_TCP, PROTO_UDP},
    counter::DropReason,
    hash::flow_hash,
};

/// A packet's addresses and, where it has them, ports.
pub struct Flow<W: Width> {
    pub ip: Ip<W>,
    /// Source and destination port as they lie in memory; 0 without [`Flow::has_ports`].
    pub ports_be: u32,
    /// TCP or UDP, and not a later fragment.
    pub has_ports: bool,
    /// Where the transport header begins.
    pub l4: u16,
}

/// The flow of the IP packet whose header begins at `off`.
///
/// [`DropReason::Truncated`] if the frame ends before the packet does, or TCP or UDP have less than
/// eight bytes; [`DropReason::BadHeader`] if the IP header makes no sense.
#[inline(always)]
pub fn flow<W: Width, H: Hook>(p: &mut H, off: u16) -> Result<Flow<W>, DropReason> {
    let ip = W::read(p.at::<W::Header>(off)?)?;
    if u32::from(off) + u32::from(ip.len_bytes) > p.len() {
        return Err(DropReason::Truncated);
    }
    let l4 = off + ip.header_bytes;
    let has_ports = (ip.proto == PROTO_TCP || ip.proto == PROTO_UDP) && !ip.is_later_fragment;
    let mut ports_be = 0;
    if has_ports {
        if ip.len_bytes < ip.header_bytes + PORTS_BYTES {
            return Err(DropReason::Truncated);
        }
        if ip.header_bytes > 20 {
            p.pull(u32::from(l4 + TCP_BYTES));
        }
        // BOUNDS: pull() may have moved the packet; this view is fresh.
        ports_be = p.at::<Ports>(l4)?.both.raw();
    }
    Ok(Flow { ip, ports_be, has_ports, l4 })
}
const PORTS_BYTES: u16 = size_of::<Ports>() as u16;
const TCP_BYTES: u16 = size_of::<Tcp>() as u16;

/// What a TCP segment says about its connection; all zero for UDP.
#[derive(Clone, Copy, Default)]
pub struct Segment {
    pub flags: u8,
    /// Host order.
    pub seq: u32,
}

/// [`DropReason::Truncated`] if TCP has no whole header.
#[inline(always)]
pub fn segment<W: Width, H: Hook>(p: &H, flow: &Flow<W>) -> Result<Segment, DropReason> {
    if flow.ip.proto != PROTO_TCP {
        return Ok(Segment { flags: 0, seq: 0 });
    }
    let tcp = p.at::<Tcp>(flow.l4)?;
    Ok(Segment { flags: tcp.flags, seq: tcp.seq.get() })
}

impl<W: Width> Flow<W> {
    #[inline(always)]
    pub fn src_port_be(&self) -> u16 {
        ((u32::from_be(self.ports_be) >> 16) as u16).to_be()
    }
    #[inline(always)]
    pub fn dst_port_be(&self) -> u16 {
        (u32::from_be(self.ports_be) as u16).to_be()
    }
    /// May its addresses and ports be rewritten? Later fragments carry no ports, so no fragment is.
    #[inline(always)]
    pub fn is_translatable(&self) -> bool {
        self.has_ports && !self.ip.is_fragment
    }
    #[inline(always)]
    pub fn hash(&self, seed: u32) -> u32 {
        flow_hash(seed, W::fold(self.ip.src_be), W::fold(self.ip.dst_be), self.ports_be)
    }
}
