//! Rewriting addresses and ports, with the checksums that cover them.

use crate::{
    hook::{Changed, Hook, L4Change},
    packet::ETH_BYTES,
    parse::Flow,
    width::V4,
};
use remuda_abi::{addr::PROTO_UDP, counter::DropReason};

/// A flow's addresses and ports as they shall be.
#[derive(Clone, Copy)]
pub struct Tuple {
    pub src_be: u32,
    pub dst_be: u32,
    pub src_port_be: u16,
    pub dst_port_be: u16,
}
impl Tuple {
    #[inline(always)]
    pub fn of(flow: &Flow<V4>) -> Tuple {
        Tuple {
            src_be: flow.ip.src_be,
            dst_be: flow.ip.dst_be,
            src_port_be: flow.src_port_be(),
            dst_port_be: flow.dst_port_be(),
        }
    }
}

const SRC: u16 = ETH_BYTES + 12;
const DST: u16 = ETH_BYTES + 16;

/// Makes the packet say `new`, and `flow` with it. The packet's IP header is the first one.
///
/// [`DropReason::NatFailed`] if the packet is too short for its checksum, or the kernel refuses.
#[inline(always)]
pub fn rewrite<H: Hook>(p: &mut H, flow: &mut Flow<V4>, new: &Tuple) -> Result<(), DropReason> {
    let old = Tuple::of(flow);
    let is_udp = flow.ip.proto == PROTO_UDP;
    let l4 = ETH_BYTES + flow.ip.header_bytes;
    let check = l4 + if is_udp { 6 } else { 16 };
    address(p, SRC, check, is_udp, old.src_be, new.src_be)?;
    address(p, DST, check, is_udp, old.dst_be, new.dst_be)?;
    port(p, l4, check, is_udp, old.src_port_be, new.src_port_be)?;
    port(p, l4 + 2, check, is_udp, old.dst_port_be, new.dst_port_be)?;
    flow.ip.src_be = new.src_be;
    flow.ip.dst_be = new.dst_be;
    let (src, dst) = (u32::from(u16::from_be(new.src_port_be)), u32::from(u16::from_be(new.dst_port_be)));
    flow.ports_be = (src << 16 | dst).to_be();
    flow.l4 = l4;
    Ok(())
}

#[inline(always)]
fn address<H: Hook>(p: &mut H, at: u16, check: u16, is_udp: bool, old_be: u32, new_be: u32) -> Result<(), DropReason> {
    if old_be == new_be {
        return Ok(());
    }
    // ORDER: checksums first: the helpers want to know both values, whatever the packet holds.
    p.fix_l4(check, L4Change { old_be, new_be, what: Changed::Address, is_udp })?;
    p.fix_l3(old_be, new_be)?;
    p.store32(at, new_be)
}

#[inline(always)]
fn port<H: Hook>(p: &mut H, at: u16, check: u16, is_udp: bool, old_be: u16, new_be: u16) -> Result<(), DropReason> {
    if old_be == new_be {
        return Ok(());
    }
    let (old, new) = (u32::from(old_be), u32::from(new_be));
    p.fix_l4(check, L4Change { old_be: old, new_be: new, what: Changed::Port, is_udp })?;
    p.store16(at, new_be)
}
