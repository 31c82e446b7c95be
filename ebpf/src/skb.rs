//! [`Hook`] for tc: the kernel's socket buffer.

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L2_ETH, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L4_UDP,
        BPF_F_ADJ_ROOM_FIXED_GSO, BPF_F_INGRESS, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR,
        bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, bpf_fib_lookup as FibParams, bpf_redir_neigh,
    },
    helpers::generated::{
        bpf_fib_lookup, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer,
        bpf_skb_adjust_room, bpf_skb_change_type, bpf_skb_pull_data, bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use remuda_abi::{counter::DropReason, tunnel::TUNNEL_BYTES};
use remuda_ebpf::{
    hook::{Changed, Hook, L4Change, NextHop},
    verdict::Verdict,
};

const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_SHOT: i32 = 2;
const AF_INET: u8 = 2;
const PACKET_HOST: u32 = 0;
/// An Ethernet header of 14 bytes is pushed along (BPF_F_ADJ_ROOM_ENCAP_L2(14)).
const ENCAP_L2_14: u64 = 14 << 56;
const PUSH_FLAGS: u64 = ENCAP_L2_14
    | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 as u64
    | BPF_F_ADJ_ROOM_ENCAP_L4_UDP as u64
    | BPF_F_ADJ_ROOM_ENCAP_L2_ETH as u64
    | BPF_F_ADJ_ROOM_FIXED_GSO as u64;

pub struct Skb(*mut __sk_buff);

impl Skb {
    #[inline(always)]
    pub fn new(c: &TcContext) -> Self {
        Skb(c.skb.skb)
    }

    /// The one place where a verdict becomes a kernel code.
    #[inline(always)]
    pub fn conclude(&mut self, v: Verdict) -> i32 {
        match v {
            Verdict::Next => TC_ACT_UNSPEC,
            // SAFETY (all below): helpers without pointers, or with one to a local of the right size.
            Verdict::Answer => unsafe { bpf_redirect(self.ifindex(), 0) as i32 },
            Verdict::Endpoint { ifindex } => self.into_peer(ifindex),
            Verdict::HostStack { ifindex } => unsafe { bpf_redirect(ifindex, u64::from(BPF_F_INGRESS)) as i32 },
            Verdict::Leave(n) => leave(&n),
            Verdict::Drop(_) => TC_ACT_SHOT,
        }
    }

    /// VERIFIER: none; but before 6.16 redirect_peer keeps the packet's type, which says "for another
    /// host" when the veth's own MAC was not the destination, and the endpoint would drop it.
    #[inline(always)]
    fn into_peer(&mut self, ifindex: u32) -> i32 {
        // SAFETY: a live context; helpers without pointers.
        unsafe {
            if (*self.0).pkt_type != PACKET_HOST {
                bpf_skb_change_type(self.0, PACKET_HOST);
            }
            bpf_redirect_peer(ifindex, 0) as i32
        }
    }
}

#[inline(always)]
fn leave(n: &NextHop) -> i32 {
    // SAFETY: all-zero is valid for this plain C struct.
    let mut params: bpf_redir_neigh = unsafe { core::mem::zeroed() };
    params.nh_family = n.family;
    params.__bindgen_anon_1.ipv6_nh = n.address;
    // SAFETY: params lives across the call and has the size given.
    unsafe { bpf_redirect_neigh(n.ifindex, &raw mut params, size_of::<bpf_redir_neigh>() as i32, 0) as i32 }
}

// SAFETY: data..data_end is what the verifier checks accesses against.
unsafe impl Hook for Skb {
    #[inline(always)]
    fn data(&self) -> *mut u8 {
        // SAFETY: a live context (as everywhere below).
        unsafe { (*self.0).data as usize as *mut u8 }
    }
    #[inline(always)]
    fn data_end(&self) -> *mut u8 {
        // SAFETY: as in data().
        unsafe { (*self.0).data_end as usize as *mut u8 }
    }
    #[inline(always)]
    fn len(&self) -> u32 {
        // SAFETY: as in data().
        unsafe { (*self.0).len }
    }
    #[inline(always)]
    fn ifindex(&self) -> u32 {
        // SAFETY: as in data().
        unsafe { (*self.0).ifindex }
    }
    #[inline(always)]
    fn is_gso(&self) -> bool {
        // SAFETY: as in data().
        unsafe { (*self.0).gso_size != 0 }
    }
    #[inline(always)]
    fn is_tagged(&self) -> bool {
        // SAFETY: as in data().
        unsafe { (*self.0).vlan_present != 0 }
    }
    #[inline(always)]
    fn mark(&self) -> u32 {
        // SAFETY: as in data().
        unsafe { (*self.0).mark }
    }
    #[inline(always)]
    fn set_mark(&mut self, mark: u32) {
        // SAFETY: as in data().
        unsafe { (*self.0).mark = mark }
    }
    #[inline(always)]
    fn pull(&mut self, bytes: u32) {
        let bytes = if bytes < self.len() { bytes } else { self.len() };
        if (self.data_end() as usize) < self.data() as usize + bytes as usize {
            // SAFETY: as in data(). A failure is found by the next bounds check.
            unsafe { bpf_skb_pull_data(self.0, bytes) };
        }
    }
    #[inline(always)]
    fn push_room(&mut self) -> Result<(), DropReason> {
        self.adjust(i32::from(TUNNEL_BYTES), PUSH_FLAGS, DropReason::PushFailed)
    }
    #[inline(always)]
    fn pop_room(&mut self) -> Result<(), DropReason> {
        let flags = u64::from(BPF_F_ADJ_ROOM_FIXED_GSO);
        self.adjust(-i32::from(TUNNEL_BYTES), flags, DropReason::PopFailed)
    }
    #[inline(always)]
    fn fix_l3(&mut self, old_be: u32, new_be: u32) -> Result<(), DropReason> {
        // SAFETY: a live context; no pointers besides.
        done(unsafe { bpf_l3_csum_replace(self.0, L3_CHECK, u64::from(old_be), u64::from(new_be), 4) })
    }
    #[inline(always)]
    fn fix_l4(&mut self, off: u16, c: L4Change) -> Result<(), DropReason> {
        let what = match c.what {
            Changed::Address => u64::from(BPF_F_PSEUDO_HDR) | 4,
            Changed::Port => 2,
        };
        let flags = what | if c.is_udp { u64::from(BPF_F_MARK_MANGLED_0) } else { 0 };
        let (old, new) = (u64::from(c.old_be), u64::from(c.new_be));
        // SAFETY: a live context; no pointers besides.
        done(unsafe { bpf_l4_csum_replace(self.0, u32::from(off), old, new, flags) })
    }
    #[inline(always)]
    fn store32(&mut self, off: u16, value_be: u32) -> Result<(), DropReason> {
        // SAFETY: a live context; the value lives across the call and is four bytes.
        done(unsafe { bpf_skb_store_bytes(self.0, u32::from(off), (&raw const value_be).cast(), 4, 0) })
    }
    #[inline(always)]
    fn store16(&mut self, off: u16, value_be: u16) -> Result<(), DropReason> {
        // SAFETY: a live context; the value lives across the call and is two bytes.
        done(unsafe { bpf_skb_store_bytes(self.0, u32::from(off), (&raw const value_be).cast(), 2, 0) })
    }
    #[inline(always)]
    fn next_hop(&mut self, src_be: u32, dst_be: u32) -> Result<NextHop, DropReason> {
        // SAFETY: all-zero is valid for this plain C struct.
        let mut f: FibParams = unsafe { core::mem::zeroed() };
        f.family = AF_INET;
        f.ifindex = self.ifindex();
        f.__bindgen_anon_3.ipv4_src = src_be;
        f.__bindgen_anon_4.ipv4_dst = dst_be;
        // SAFETY: f lives across the call and has the size given.
        let r = unsafe { bpf_fib_lookup(self.0.cast(), &raw mut f, size_of::<FibParams>() as i32, 0) };
        // A neighbour not yet resolved is found by redirect_neigh.
        if r != 0 && r != i64::from(aya_ebpf::bindings::BPF_FIB_LKUP_RET_NO_NEIGH) {
            return Err(DropReason::NoNextHop);
        }
        // SAFETY: the union is four words, whatever the family.
        let address = unsafe { f.__bindgen_anon_4.ipv6_dst };
        Ok(NextHop { ifindex: f.ifindex, family: u32::from(f.family), address })
    }
}

/// Where the IPv4 header checksum is.
const L3_CHECK: u32 = 14 + 10;

#[inline(always)]
fn done(code: i64) -> Result<(), DropReason> {
    if code != 0 { Err(DropReason::NatFailed) } else { Ok(()) }
}

impl Skb {
    #[inline(always)]
    fn adjust(&mut self, bytes: i32, flags: u64, or: DropReason) -> Result<(), DropReason> {
        // SAFETY: a live context; no pointers besides.
        if unsafe { bpf_skb_adjust_room(self.0, bytes, BPF_ADJ_ROOM_MAC, flags) } != 0 {
            return Err(or);
        }
        Ok(())
    }
}
