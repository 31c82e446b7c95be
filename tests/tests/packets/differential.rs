//! The same packets through the library on the host and through the loaded programs: same fate, same
//! bytes, same counters. Packets are made from good ones by mutation; the seed is printed on failure.

use crate::{arp, datapath::*, frame::*, world::*};
use remuda_abi::{addr::*, names::program, tunnel::*};

const PACKETS: u32 = 20_000;

/// xorshift64*: reproducible, and no dependency.
pub struct Random(pub u64);
impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

const ADDRESSES: [Ip; 21] = [
    VIP_C2,
    VIP_LB,
    VIP_H2,
    VIP_C2_TOO,
    HOST,
    C1,
    C2,
    INTERNAL,
    ON_H2,
    ON_H3,
    NOBODYS,
    VACANT,
    NO_VIP,
    OUTSIDE,
    H1,
    H2,
    H3,
    STRANGER,
    DNS_OCTETS,
    GATEWAY_OCTETS,
    [127, 0, 0, 1],
];
const PORTS: [u16; 9] = [1, 53, 80, AT_C1, AT_H2, AT_HOST, API_PORT, GOSSIP_PORT, TUNNEL_PORT];

fn packet(r: &mut Random, src: Ip) -> Frame {
    let (dst, ports) = (r.pick(&ADDRESSES), (r.pick(&PORTS), r.pick(&PORTS)));
    let f = match r.below(4) {
        0 => icmp(src, dst),
        1 => udp(src, ports.0, dst, ports.1),
        _ => tcp(src, ports.0, dst, ports.1),
    };
    let f = f.flags(r.pick(&[0x02, 0x12, 0x10, 0x11, 0x04]));
    match r.below(12) {
        0 => f.fragment(r.pick(&[0x2000, 0x2005, 7])),
        1 => f.options(1 + r.below(10) as usize),
        _ => f,
    }
}

fn tunnelled(r: &mut Random) -> Vec<u8> {
    // Mostly what the kind asks for, so that most packets get past the checks.
    let (kind, src, dst) = r.pick(&[
        (Kind::Overlay, ON_H2, C1),
        (Kind::Overlay, ON_H2, HOST),
        (Kind::Ingress, OUTSIDE, H2),
        (Kind::Ingress, OUTSIDE, H2),
        (Kind::Reply, H1, OUTSIDE),
    ]);
    let (any_src, any_dst) = (r.pick(&ADDRESSES), r.pick(&ADDRESSES));
    let src = if r.below(6) == 0 { any_src } else { src };
    let mut inner = packet(r, src);
    inner.dst = if r.below(6) == 0 { any_dst } else { dst };
    let mut t = tunnel(r.pick(&[H2, H2, H2, H3, STRANGER]), H1, kind, inner.ip());
    t.ingress = r.pick(&[0, 2, 2, 2, 3]);
    t.label.hops = r.pick(&[0, 0, 0, 1, 2, 3, 4, 5]);
    t.label.is_final = r.below(4) == 0;
    t.previous = [(); 3].map(|()| r.pick(&[0, 0, 1, 2, 3, 900]));
    t.label.endpoint_id = r.pick(&[0, HOST_ID, C1_ID, C1_ID, C2_ID, 900]);
    t.bytes()
}

fn mutate(r: &mut Random, mut p: Vec<u8>) -> Vec<u8> {
    if r.below(2) == 0 {
        for _ in 0..=r.below(3) {
            let at = r.below(p.len().min(120) as u64) as usize;
            p[at] = r.below(256) as u8;
        }
    }
    if r.below(8) == 0 {
        p.truncate(15 + r.below(p.len() as u64) as usize);
    }
    p
}

pub fn any(r: &mut Random, at: &Interfaces) -> (&'static str, Vec<u8>, Entry) {
    let (name, p, ifindex) = match r.below(4) {
        0 | 1 => {
            let (ifindex, own) = r.pick(&[(at.c1, C1), (at.c2, C2), (at.internal, INTERNAL), (at.remuda0_peer, HOST)]);
            let src = if r.below(5) == 0 { r.pick(&ADDRESSES) } else { own };
            let p = packet(r, src).source_mac(endpoint_mac(ip_be(own))).bytes();
            let p = if r.below(20) == 0 { arp::who_has(own, r.pick(&ADDRESSES)) } else { p };
            (program::ENDPOINT, p, ifindex)
        }
        2 => {
            let src = r.pick(&[OUTSIDE, OUTSIDE, H2, C1, VIP_C2]);
            let mut p = packet(r, src);
            if r.below(2) == 0 {
                p.dst = H1;
            }
            let p = if r.below(3) == 0 { p.bytes() } else { tunnelled(r) };
            (program::UPLINK_INGRESS, p, at.uplink)
        }
        _ => {
            let src = r.pick(&ADDRESSES);
            let mut p = packet(r, src);
            if r.below(2) == 0 {
                (p.src, p.dst) = (H1, OUTSIDE);
                p.ports.0 = r.pick(&[9000, 22]);
            }
            (program::UPLINK_EGRESS, p.bytes(), at.uplink)
        }
    };
    let mark = r.pick(&[0, 0, TUNNEL_MARK]);
    (name, mutate(r, p), Entry { ifindex, mark })
}

#[test]
fn the_library_and_the_loaded_programs_agree_on_every_byte() {
    let mut d = Datapath::load();
    let seed = std::env::var("REMUDA_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed_0001);
    let mut r = Random(seed);
    let mut counts = std::collections::BTreeMap::<_, u32>::new();
    for i in 0..PACKETS {
        let (name, p, entry) = any(&mut r, &d.at);
        let Ok(kernel) = d.in_kernel(name, &p, entry) else {
            *counts.entry("refused by the test run").or_default() += 1;
            continue;
        };
        let host = d.in_library(name, &p, entry);
        let same = kernel.code == host.code && kernel.bytes == host.bytes && kernel.mark == host.mark;
        assert!(
            same && kernel.counters == host.counters,
            "seed {seed}, packet {i} in {name}:\n{}\nkernel {} {:?}\n{}\nlibrary {} {:?}\n{}",
            hex(&p),
            kernel.code,
            kernel.counters,
            hex(&kernel.bytes),
            host.code,
            host.counters,
            hex(&host.bytes)
        );
        for k in kernel.counters.keys() {
            *counts.entry(*k).or_default() += 1;
        }
        if kernel.code == NEXT {
            *counts.entry("next").or_default() += 1;
        }
    }
    println!("{PACKETS} packets, no disagreement: {counts:?}");
}
