//! The kernel object: entry points. One screen; everything else is in the library, `maps` and `skb`.
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod skb;
#[cfg(target_arch = "bpf")]
mod sock;

#[cfg(target_arch = "bpf")]
mod entry {
    use crate::{maps::Maps, skb::Skb, sock};
    use aya_ebpf::{
        macros::{cgroup_sock_addr, classifier},
        programs::{SockAddrContext, TcContext},
    };
    use remuda_ebpf::pipeline;

    #[classifier]
    pub fn endpoint(c: TcContext) -> i32 {
        let mut p = Skb::new(&c);
        let v = pipeline::endpoint(&mut p, &Maps);
        p.conclude(v)
    }
    #[classifier]
    pub fn uplink_ingress(c: TcContext) -> i32 {
        let mut p = Skb::new(&c);
        let v = pipeline::uplink_ingress(&mut p, &Maps);
        p.conclude(v)
    }
    #[classifier]
    pub fn uplink_egress(c: TcContext) -> i32 {
        let mut p = Skb::new(&c);
        let v = pipeline::uplink_egress(&mut p, &Maps);
        p.conclude(v)
    }
    #[cgroup_sock_addr(connect4)]
    pub fn connect4(c: SockAddrContext) -> i32 {
        sock::connect(&c, sock::V4)
    }
    #[cgroup_sock_addr(connect6)]
    pub fn connect6(c: SockAddrContext) -> i32 {
        sock::connect(&c, sock::V6)
    }
    #[cgroup_sock_addr(sendmsg4)]
    pub fn sendmsg4(c: SockAddrContext) -> i32 {
        sock::sendmsg(&c, sock::V4)
    }
    #[cgroup_sock_addr(sendmsg6)]
    pub fn sendmsg6(c: SockAddrContext) -> i32 {
        sock::sendmsg(&c, sock::V6)
    }
    #[cgroup_sock_addr(recvmsg4)]
    pub fn recvmsg4(c: SockAddrContext) -> i32 {
        sock::recvmsg(&c, sock::V4)
    }
    #[cgroup_sock_addr(recvmsg6)]
    pub fn recvmsg6(c: SockAddrContext) -> i32 {
        sock::recvmsg(&c, sock::V6)
    }
    #[cgroup_sock_addr(getpeername4)]
    pub fn getpeername4(c: SockAddrContext) -> i32 {
        sock::getpeername(&c, sock::V4)
    }
    #[cgroup_sock_addr(getpeername6)]
    pub fn getpeername6(c: SockAddrContext) -> i32 {
        sock::getpeername(&c, sock::V6)
    }

    /// Loops, so that the verifier refuses an object from which a panic can be reached.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }
    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
