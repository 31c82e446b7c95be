//! The kernel object: entry points. One screen; everything else is in the library, `maps` and `skb`.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod skb;

#[cfg(target_arch = "bpf")]
mod entry {
    use crate::{maps::Maps, skb::Skb};
    use aya_ebpf::{macros::classifier, programs::TcContext};
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
