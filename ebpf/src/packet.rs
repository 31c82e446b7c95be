//! The only door from an offset to a reference, and the headers behind it. Same code on the host and
//! in the kernel.

use crate::hook::Hook;
use remuda_abi::{addr, counter::DropReason};

/// # Safety
/// Alignment 1, no padding, every bit pattern valid.
pub unsafe trait Wire: Copy {}

/// Checked views of a [`Hook`]'s bytes. Blanket implementation; nobody overrides it.
pub trait Packet: Hook {
    #[inline(always)]
    fn at<T: Wire>(&self, off: u16) -> Result<&T, DropReason> {
        // SAFETY: in bounds (checked), any bits valid and alignment 1 (Wire); borrowed from self.
        window::<T, _>(self, off).map(|p| unsafe { &*p })
    }
    #[inline(always)]
    fn at_mut<T: Wire>(&mut self, off: u16) -> Result<&mut T, DropReason> {
        // SAFETY: as above, and self is borrowed mutably.
        window::<T, _>(self, off).map(|p| unsafe { &mut *p })
    }
}
impl<H: Hook + ?Sized> Packet for H {}

#[inline(always)]
fn window<T: Wire, H: Hook + ?Sized>(h: &H, off: u16) -> Result<*mut T, DropReason> {
    const { assert!(align_of::<T>() == 1) };
    let start = h.data().wrapping_add(off as usize);
    // VERIFIER: only a comparison of pointers is understood; a comparison of lengths is not.
    if start.wrapping_add(size_of::<T>()) > h.data_end() {
        return Err(DropReason::Truncated);
    }
    Ok(start.cast())
}

/// One load or store of the full width at any address. The only place that knows how BPF must be told.
mod mem {
    macro_rules! width {
        ($ld:ident, $st:ident, $t:ty) => {
            #[inline(always)]
            pub(super) fn $ld(p: *const u8) -> $t {
                // SAFETY: p comes from a Wire reference of this size. For BPF the alignment is claimed, as C
                // programs do: read_unaligned would become byte loads, and the verifier accepts any address.
                #[cfg(target_arch = "bpf")]
                return unsafe { *p.cast::<$t>() };
                // SAFETY: as above, without the claim.
                #[cfg(not(target_arch = "bpf"))]
                return unsafe { p.cast::<$t>().read_unaligned() };
            }
            #[inline(always)]
            pub(super) fn $st(p: *mut u8, v: $t) {
                // SAFETY: as for the load.
                #[cfg(target_arch = "bpf")]
                unsafe {
                    *p.cast::<$t>() = v
                }
                // SAFETY: as for the load.
                #[cfg(not(target_arch = "bpf"))]
                unsafe {
                    p.cast::<$t>().write_unaligned(v)
                }
            }
        };
    }
    width!(ld16, st16, u16);
    width!(ld32, st32, u32);
}
use mem::{ld16, ld32, st16, st32};

macro_rules! wire {
    ($($t:ty = $size:literal),* $(,)?) => { $(
        // SAFETY: repr(C) over byte arrays only; alignment checked in `window`, size here.
        unsafe impl Wire for $t {}
        const _: () = assert!(size_of::<$t>() == $size && align_of::<$t>() == 1);
    )* };
}

/// Two bytes in network order.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Be16([u8; 2]);
impl Be16 {
    #[inline(always)]
    pub fn get(&self) -> u16 {
        u16::from_be(self.raw())
    }
    #[inline(always)]
    pub fn set(&mut self, v: u16) {
        self.set_raw(v.to_be())
    }
    /// As it lies in memory: `_be` values.
    #[inline(always)]
    pub fn raw(&self) -> u16 {
        ld16(self.0.as_ptr())
    }
    #[inline(always)]
    pub fn set_raw(&mut self, v_be: u16) {
        st16(self.0.as_mut_ptr(), v_be)
    }
}

/// Four bytes in network order.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Be32([u8; 4]);
impl Be32 {
    #[inline(always)]
    pub fn get(&self) -> u32 {
        u32::from_be(self.raw())
    }
    #[inline(always)]
    pub fn set(&mut self, v: u32) {
        self.set_raw(v.to_be())
    }
    /// As it lies in memory: `_be` values.
    #[inline(always)]
    pub fn raw(&self) -> u32 {
        ld32(self.0.as_ptr())
    }
    #[inline(always)]
    pub fn set_raw(&mut self, v_be: u32) {
        st32(self.0.as_mut_ptr(), v_be)
    }
}

/// A MAC as it lies in the packet; [`addr::Mac`] is how it travels.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct WireMac {
    hi: [u8; 4],
    lo: [u8; 2],
}
impl WireMac {
    #[inline(always)]
    pub fn get(&self) -> addr::Mac {
        addr::Mac { hi: ld32(self.hi.as_ptr()), lo: ld16(self.lo.as_ptr()), pad: 0 }
    }
    #[inline(always)]
    pub fn set(&mut self, mac: addr::Mac) {
        st32(self.hi.as_mut_ptr(), mac.hi);
        st16(self.lo.as_mut_ptr(), mac.lo);
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Eth {
    pub dst: WireMac,
    pub src: WireMac,
    pub kind: Be16,
}
pub const ETH_BYTES: u16 = 14;
pub const ETH_IPV4: u16 = 0x0800;
pub const ETH_ARP: u16 = 0x0806;
pub const ETH_IPV6: u16 = 0x86dd;

/// IPv4, RFC 791, 3.1, without options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv4 {
    pub version_ihl: u8,
    pub tos: u8,
    pub len: Be16,
    pub id: Be16,
    pub frag: Be16,
    pub ttl: u8,
    pub proto: u8,
    pub check: Be16,
    pub src: Be32,
    pub dst: Be32,
}
/// Source and destination port, where TCP and UDP agree.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ports {
    pub both: Be32,
    /// Present in both (sequence number; length and checksum), so a view proves eight bytes.
    pub rest: [u8; 4],
}
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Udp {
    pub src: Be16,
    pub dst: Be16,
    pub len: Be16,
    pub check: Be16,
}
/// TCP without options, RFC 9293, 3.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Tcp {
    pub src: Be16,
    pub dst: Be16,
    pub seq: Be32,
    pub ack: Be32,
    pub data_offset: u8,
    pub flags: u8,
    pub window: Be16,
    pub check: Be16,
    pub urgent: Be16,
}
pub const TCP_FIN: u8 = 0x01;
pub const TCP_SYN: u8 = 0x02;
pub const TCP_RST: u8 = 0x04;
pub const TCP_ACK: u8 = 0x10;
/// RFC 7348, 5.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Vxlan {
    pub flags: Be32,
    pub vni: Be32,
}
/// ARP for IPv4 over Ethernet, RFC 826.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Arp {
    pub hardware: Be16,
    pub protocol: Be16,
    pub sizes: Be16,
    pub operation: Be16,
    pub sender_mac: WireMac,
    pub sender_ip: Be32,
    pub target_mac: WireMac,
    pub target_ip: Be32,
}
/// Everything in front of the inner IP header of a tunnel packet.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Head {
    pub eth: Eth,
    pub ip: Ipv4,
    pub udp: Udp,
    pub vxlan: Vxlan,
    pub inner: Eth,
}
wire!(Eth = 14, Ipv4 = 20, Ports = 8, Udp = 8, Vxlan = 8, Tcp = 20, Arp = 28, Head = 64);
