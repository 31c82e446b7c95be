//! What holds for any bytes at any hook: nothing panics, a drop is counted once and changes nothing,
//! what is passed is untouched, what is pushed carries the packet unchanged.
//! Single cases, in words, are the packet tests' (`tests/packets`), which run this library too.

use proptest::prelude::*;
use remuda_abi::{addr::*, checksum, counter::*, endpoint::*, frontend::*, host::*, route::*, tunnel::*};
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
const OUTSIDE: [u8; 4] = [198, 51, 100, 7];
const VIP: [u8; 4] = [10, 43, 0, 10];
const AT_C1: u16 = 8053;
const C1_ID: u32 = 2;
const VETH: u32 = 7;

fn model() -> Model {
    let host = Host {
        abi_version: remuda_abi::ABI_VERSION,
        vni: VNI,
        node_underlay_ip_be: ip_be(H1),
        tunnel_port_be: TUNNEL_PORT.to_be(),
        node_id: 1,
        uplink_mtu_bytes: 1500,
        ..Host::default()
    };
    let mut m = Model { host, ..Model::default() };
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
    m.node_addresses.insert(2, ip_be(H2));
    m.local_ids.insert(C1_ID, LocalKey { vni: VNI, ip_be: ip_be(C1) });
    let vips = RouteKey { vni: VNI, ip_be: ip_be([10, 43, 0, 0]) };
    m.routes.push((16, vips, Route::new(RouteKind::Vip, 0, 0)));
    for (ip, node_id) in [(H1, 1), (H2, 2)] {
        let route = Route::new(RouteKind::HostAddress, node_id, ip_be(ip));
        m.routes.push((32, RouteKey { vni: VNI, ip_be: ip_be(ip) }, route));
    }
    services(&mut m);
    m
}

/// The VIP is served by C2; UDP port 8053 by C1 (port 53) and a container of H2.
fn services(m: &mut Model) {
    let backend = |ip, node, node_id, endpoint_id, flags| Backend {
        ip_be: ip_be(ip),
        node_underlay_ip_be: ip_be(node),
        endpoint_id,
        port_be: 0,
        node_id,
        flags,
    };
    m.backends.insert(1, backend(C1, H1, 1, C1_ID, BACKEND_LOCAL));
    m.backends.insert(2, backend(C2, H1, 1, 3, BACKEND_LOCAL));
    m.backends.insert(3, backend(ON_H2, H2, 2, 20, 0));
    m.lists = vec![2, 1, 3];
    m.rings = [1, 3].into_iter().cycle().take(4093).map(|id| RingSlot::new(id, [0; 3])).collect();
    let vip = Frontend { id: 1, list_count: 1, ..Frontend::default() };
    m.frontends.insert(FrontendKey::vip(VNI, ip_be(VIP)), vip);
    let target_port_be = 53u16.to_be();
    let port = Frontend { id: 2, list_base: 1, list_count: 2, ring_slots: 4093, target_port_be, ..vip };
    m.frontends.insert(FrontendKey::published(VNI, AT_C1.to_be(), PROTO_UDP), port);
    m.published.insert((PROTO_UDP, AT_C1));
    m.owners.insert(OwnerKey { frontend_id: 2, node_id: 2, pad: 0 }, 1);
}

fn datagram(src: [u8; 4], dst: [u8; 4]) -> Vec<u8> {
    datagram_to(src, 40_000, dst, 53)
}
fn datagram_to(src: [u8; 4], src_port: u16, dst: [u8; 4], dst_port: u16) -> Vec<u8> {
    let mut p = [&GATEWAY_MAC.bytes()[..], &endpoint_mac(ip_be(src)).bytes(), &[8, 0]].concat();
    p.extend([0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0]);
    p.extend(src);
    p.extend(dst);
    p.extend(src_port.to_be_bytes());
    p.extend(dst_port.to_be_bytes());
    p.extend([0, 16, 0, 0]);
    p.extend(*b"8 bytes!");
    p
}

fn tunnelled(label: Label, ingress: u8, inner: &[u8]) -> Vec<u8> {
    let mut p = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    p.extend([0x45, 0, 0, 86, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    p.extend(H2);
    p.extend(H1);
    p.extend([0xc3, 0x50, 0x12, 0xb5, 0, 66, 0, 0, 8, 0, 0, ingress, 0, 0, VNI as u8, 0]);
    p.extend(label.mac().bytes());
    p.extend([0; 6]);
    p.extend([8, 0]);
    p.extend(&inner[14..]);
    p
}
fn from_peer() -> Vec<u8> {
    tunnelled(Label::new(Kind::Overlay, 0), 0, &datagram(ON_H2, C1))
}
/// One good packet of every way through the pipeline, with the hook it is for.
fn good() -> Vec<(usize, Vec<u8>)> {
    vec![
        (0, datagram(C1, C2)),
        (0, datagram(C1, ON_H2)),
        (0, datagram(C1, VIP)),
        (1, from_peer()),
        (1, datagram_to(OUTSIDE, 5000, H1, AT_C1)),
        (1, tunnelled(Label::new(Kind::Ingress, C1_ID), 2, &datagram_to(OUTSIDE, 5000, H2, AT_C1))),
        (1, tunnelled(Label::new(Kind::Reply, 0), 1, &datagram_to(H1, AT_C1, OUTSIDE, 5000))),
        (2, datagram_to(H1, 5000, H2, TUNNEL_PORT)),
    ]
}

fn run(m: &Model, hook: usize, bytes: &[u8], headroom: usize) -> (Verdict, Vec<u8>) {
    let mut f = Frame::new(bytes, headroom);
    f.ifindex = VETH;
    let v = match hook {
        0 => pipeline::endpoint(&mut f, m),
        1 => pipeline::uplink_ingress(&mut f, m),
        _ => pipeline::uplink_egress(&mut f, m),
    };
    assert_eq!(f.mark() == TUNNEL_MARK, f.bytes().len() > bytes.len(), "what is pushed is marked, nothing else");
    (v, f.bytes())
}

#[test]
fn the_good_packets_are_good() {
    let m = model();
    let fates: Vec<Verdict> = good().iter().map(|(hook, p)| run(&m, *hook, p, 64).0).collect();
    assert!(matches!(fates[0], Verdict::Endpoint { ifindex: 8 }));
    assert!(matches!(fates[1], Verdict::Leave(_)));
    assert!(matches!(fates[2], Verdict::Endpoint { ifindex: 8 }));
    assert!(matches!(fates[3], Verdict::Endpoint { ifindex: VETH }));
    assert!(matches!(fates[4], Verdict::Endpoint { ifindex: VETH } | Verdict::Leave(_)));
    assert!(matches!(fates[5], Verdict::Endpoint { ifindex: VETH }));
    assert!(matches!(fates[6], Verdict::Leave(_)));
    assert_eq!(fates[7], Verdict::Drop(DropReason::UnmarkedTunnel));
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
    assert_eq!(run(&m, 1, &from_peer(), 64).0, Verdict::Next);
    assert_eq!(run(&m, 2, &from_peer(), 64).0, Verdict::Next);
    assert_eq!(run(&m, 0, &datagram(C1, C2), 64).0, Verdict::Drop(DropReason::UnknownInterface));
}

fn outer_is_right(out: &[u8]) {
    let word = |i: usize| u32::from_ne_bytes(out[14 + 4 * i..18 + 4 * i].try_into().unwrap());
    let sum: u64 = (0..5).map(|i| u64::from(word(i))).sum();
    assert_eq!(checksum::fold(sum), 0xffff, "the outer checksum is right");
    assert_eq!(usize::from(out[16]) << 8 | usize::from(out[17]), out.len() - 14);
}

fn drops(counted: &std::collections::BTreeMap<&'static str, u64>) -> Vec<&'static str> {
    let names = DropReason::ALL.iter().map(|r| r.name());
    names.filter(|n| counted.contains_key(n)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn any_bytes_at_any_hook(
        base in 0..9usize, any_hook in 0..12usize, room in 0..80usize, cut in 0..300usize,
        noise in prop::collection::vec(any::<u8>(), 0..160),
        edits in prop::collection::vec((0..110usize, any::<u8>()), 0..4),
    ) {
        thread_local!(static MODEL: Model = model());
        let (hook, mut p) = good().get(base).cloned().unwrap_or((any_hook % 3, noise));
        let hook = if any_hook < 3 { any_hook } else { hook };
        for (at, b) in edits {
            if let Some(x) = p.get_mut(at) { *x = b }
        }
        p.truncate(cut);
        // One model for all: flow entries of former cases are part of the test.
        let (v, out, counted) = MODEL.with(|m| {
            let (v, out) = run(m, hook, &p, room);
            (v, out, m.take_counters())
        });
        let is_only_a_drop = counted.len() == 1;
        match v {
            Verdict::Drop(r) => {
                prop_assert_eq!(drops(&counted), [r.name()]);
                prop_assert!(!is_only_a_drop || out == p, "a drop without any other event changes nothing");
            }
            _ => prop_assert!(drops(&counted).is_empty()),
        }
        match v {
            Verdict::Next => prop_assert!(out == p && counted.is_empty()),
            Verdict::Leave(_) if counted.contains_key("pushed") => {
                prop_assert_eq!(out.len(), p.len() + 50);
                outer_is_right(&out);
            }
            Verdict::Leave(_) | Verdict::Endpoint { .. } | Verdict::HostStack { .. } => {
                let popped = if counted.contains_key("popped") { 50 } else { 0 };
                prop_assert_eq!(out.len(), p.len() - popped);
                let body = 14 + 4 * usize::from(p[14 + popped] & 15) + 8;
                prop_assert_eq!(out.get(body..), p.get(body + popped..), "the payload is untouched");
            }
            Verdict::Answer => prop_assert_eq!(out.len(), p.len()),
            Verdict::Drop(_) => (),
        }
    }
}
