//! What holds for any bytes at any hook: nothing panics, a drop is counted once and changes nothing,
//! what is passed is untouched, what is pushed carries the packet unchanged.
//! Single cases, in words, are the packet tests' (`tests/packets`), which run this library too.

use proptest::prelude::*;
use remuda_abi::{addr::*, checksum, counter::DropReason, endpoint::*, host::*, route::*, tunnel::*};
use remuda_ebpf::{
    hook::Hook,
    host::{Frame, Model},
    pipeline,
    verdict::Verdict,
};

const VNI: u32 = 42;
const H1: [u8; 4] = [192, 168, 77, 1];
const H2: [u8; 4] = [192, 168, 77, 2];
const C1: [u8; 4] = [10, 42, 1, 2];
const C2: [u8; 4] = [10, 42, 1, 3];
const ON_H2: [u8; 4] = [10, 42, 2, 2];
const VETH: u32 = 7;

fn model() -> Model {
    let mut m = Model::default();
    m.host = Host {
        abi_version: remuda_abi::ABI_VERSION,
        vni: VNI,
        node_underlay_ip_be: ip_be(H1),
        tunnel_port_be: TUNNEL_PORT.to_be(),
        node_id: 1,
        uplink_mtu_bytes: 1500,
        ..Host::default()
    };
    let mac = |ip| endpoint_mac(ip_be(ip));
    let c1 = Endpoint { ip_be: ip_be(C1), id: 2, vni: VNI, mac: mac(C1), flags: 0, mtu_bytes: 1450 };
    m.endpoints.insert(VETH, c1);
    for (ip, ifindex) in [(C1, VETH), (C2, 8)] {
        let to = Local { ifindex, mac: mac(ip), id: ifindex, flags: 0 };
        m.local.insert(LocalKey { vni: VNI, ip_be: ip_be(ip) }, to);
    }
    for (net, len, node_id, underlay) in [([10, 42, 1, 0], 26, 1, H1), ([10, 42, 2, 0], 26, 2, H2)] {
        let route = Route::new(RouteKind::Block, node_id, ip_be(underlay));
        m.routes.push((len, RouteKey { vni: VNI, ip_be: ip_be(net) }, route));
    }
    m.nodes.insert(ip_be(H2), Node { node_id: 2, pad: 0 });
    m
}

fn datagram(src: [u8; 4], dst: [u8; 4]) -> Vec<u8> {
    let mut p = [&GATEWAY_MAC.bytes()[..], &endpoint_mac(ip_be(src)).bytes(), &[8, 0]].concat();
    p.extend([0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0]);
    p.extend(src);
    p.extend(dst);
    p.extend([0x9c, 0x40, 0, 53, 0, 16, 0, 0]);
    p.extend(*b"8 bytes!");
    p
}

fn tunnelled() -> Vec<u8> {
    let mut p = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    p.extend([0x45, 0, 0, 86, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    p.extend(H2);
    p.extend(H1);
    p.extend([0xc3, 0x50, 0x12, 0xb5, 0, 66, 0, 0, 8, 0, 0, 0, 0, 0, VNI as u8, 0]);
    p.extend(Label::new(Kind::Overlay, 0).mac().bytes());
    p.extend([0; 6]);
    p.extend([8, 0]);
    p.extend(&datagram(ON_H2, C1)[14..]);
    p
}

fn run(m: &Model, hook: usize, bytes: &[u8], headroom: usize) -> (Verdict, Vec<u8>) {
    let mut f = Frame::new(bytes, headroom);
    f.ifindex = VETH;
    let v = match hook {
        0 => pipeline::endpoint(&mut f, m),
        1 => pipeline::uplink_ingress(&mut f, m),
        _ => pipeline::uplink_egress(&mut f, m),
    };
    if let Verdict::Leave(_) = v {
        assert_eq!(f.mark(), TUNNEL_MARK);
    }
    (v, f.bytes())
}

#[test]
fn the_good_packets_below_are_good() {
    let m = model();
    assert!(matches!(run(&m, 0, &datagram(C1, C2), 64).0, Verdict::Endpoint { ifindex: 8 }));
    assert!(matches!(run(&m, 0, &datagram(C1, ON_H2), 64).0, Verdict::Leave(_)));
    assert!(matches!(run(&m, 1, &tunnelled(), 64).0, Verdict::Endpoint { ifindex: VETH }));
}

#[test]
fn without_room_in_front_nothing_is_pushed() {
    let (v, out) = run(&model(), 0, &datagram(C1, ON_H2), 49);
    assert_eq!((v, out), (Verdict::Drop(DropReason::PushFailed), datagram(C1, ON_H2)));
}

#[test]
fn without_a_next_hop_nothing_is_pushed() {
    let (m, sent) = (model(), datagram(C1, ON_H2));
    let mut f = Frame::new(&sent, 64);
    f.ifindex = VETH;
    f.next_hop = None;
    assert_eq!(pipeline::endpoint(&mut f, &m), Verdict::Drop(DropReason::NoNextHop));
    assert_eq!(f.bytes(), sent);
}

#[test]
fn a_vlan_tag_beside_the_packet_is_not_carried_on() {
    let mut f = Frame::new(&datagram(C1, ON_H2), 64);
    (f.ifindex, f.is_tagged) = (VETH, true);
    assert_eq!(pipeline::endpoint(&mut f, &model()), Verdict::Drop(DropReason::OtherEtherType));
}

#[test]
fn a_packet_that_will_be_cut_up_later_may_exceed_the_mtu() {
    let mut big = datagram(C1, ON_H2);
    big.resize(14 + 60_000, 7);
    big[16..18].copy_from_slice(&60_000u16.to_be_bytes());
    for (is_gso, expected) in [(true, None), (false, Some(DropReason::TooBig))] {
        let mut f = Frame::new(&big, 64);
        (f.ifindex, f.is_gso) = (VETH, is_gso);
        match pipeline::endpoint(&mut f, &model()) {
            Verdict::Leave(_) => assert_eq!(expected, None),
            Verdict::Drop(r) => assert_eq!(expected, Some(r)),
            v => panic!("{v:?}"),
        }
    }
}

#[test]
fn a_host_nobody_described_lets_the_uplink_alone_and_endpoints_out_of_nothing() {
    let m = Model::default();
    assert_eq!(run(&m, 1, &tunnelled(), 64).0, Verdict::Next);
    assert_eq!(run(&m, 2, &tunnelled(), 64).0, Verdict::Next);
    assert_eq!(run(&m, 0, &datagram(C1, C2), 64).0, Verdict::Drop(DropReason::UnknownInterface));
}

fn pushed_around(before: &[u8], out: &[u8]) {
    assert_eq!(out.len(), before.len() + 50);
    assert_eq!(out[64..], before[14..], "the inner packet is untouched");
    let word = |i: usize| u32::from_ne_bytes(out[14 + 4 * i..18 + 4 * i].try_into().unwrap());
    let sum: u64 = (0..5).map(|i| u64::from(word(i))).sum();
    assert_eq!(checksum::fold(sum), 0xffff, "the outer checksum is right");
    assert_eq!(usize::from(out[16]) << 8 | usize::from(out[17]), out.len() - 14);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn any_bytes_at_any_hook(
        base in 0..4usize, hook in 0..3usize, room in 0..80usize, cut in 0..200usize,
        noise in prop::collection::vec(any::<u8>(), 0..160),
        edits in prop::collection::vec((0..110usize, any::<u8>()), 0..4),
    ) {
        let mut p = match base { 0 => noise, 1 => datagram(C1, C2), 2 => datagram(C1, ON_H2), _ => tunnelled() };
        for (at, b) in edits {
            if let Some(x) = p.get_mut(at) { *x = b }
        }
        p.truncate(cut);
        let m = model();
        let (v, out) = run(&m, hook, &p, room);
        let counted = m.take_counters();
        match v {
            Verdict::Next => { prop_assert_eq!(&out, &p); prop_assert!(counted.is_empty()) }
            Verdict::Drop(r) => { prop_assert_eq!(&out, &p); prop_assert_eq!(counted, [(r.name(), 1)].into()) }
            Verdict::Leave(_) => pushed_around(&p, &out),
            Verdict::Answer => prop_assert_eq!(out.len(), p.len()),
            Verdict::Endpoint { .. } | Verdict::HostStack { .. } => {
                let popped = if hook == 1 { 50 } else { 0 };
                prop_assert_eq!(&out[14..], &p[14 + popped..]);
                prop_assert_eq!(&out[6..12], &GATEWAY_MAC.bytes()[..]);
            }
        }
    }
}
