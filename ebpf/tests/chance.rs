//! Second chances through several hosts: wherever a client's packet enters and whatever the slot remembers, it ends with
//! the backend that knows it, or else with the owner, after four hops at most.

use proptest::prelude::*;
use remuda_abi::{addr::*, counter::Counter, endpoint::*, flow::*, frontend::*, host::*, route::*};
use remuda_ebpf::{
    host::{Frame, Model},
    pipeline,
    verdict::Verdict,
};
use remuda_ring::SIZES;
use std::collections::HashMap;

const VNI: u32 = 42;
const HOSTS: u16 = 4;
const OUTSIDE: [u8; 4] = [198, 51, 100, 7];
const DIALLED: u16 = 8080;
const TARGET: u16 = 80;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn underlay(node_id: u16) -> [u8; 4] {
    [192, 168, 77, node_id as u8]
}
fn backend(node_id: u16) -> [u8; 4] {
    [10, 42, node_id as u8, 2]
}

/// A host with one backend (its id and its endpoint's is the node's), in a fleet where `owner`'s owns every slot.
fn host(node_id: u16, owner: u16, previous: [u16; 3]) -> Model {
    let host = Host {
        abi_version: remuda_abi::ABI_VERSION,
        vni: VNI,
        node_underlay_ip_be: ip_be(underlay(node_id)),
        tunnel_port_be: TUNNEL_PORT.to_be(),
        node_id,
        uplink_mtu_bytes: 1500,
        ..Host::default()
    };
    let mut m = Model { host, tick: 100, ..Model::default() };
    let own = LocalKey { vni: VNI, ip_be: ip_be(backend(node_id)) };
    m.local.insert(own, Local { ifindex: 7, mac: endpoint_mac(own.ip_be), id: u32::from(node_id), flags: 0 });
    m.local_ids.insert(u32::from(node_id), own);
    for peer in 1..=HOSTS {
        let at_be = ip_be(underlay(peer));
        let key = RouteKey { vni: VNI, ip_be: at_be };
        m.routes.push((32, key, Route::new(RouteKind::HostAddress, peer, at_be)));
        if peer != node_id {
            m.nodes.insert(at_be, Node { node_id: peer, pad: 0 });
            m.node_addresses.insert(u32::from(peer), at_be);
        }
        let flags = if peer == node_id { BACKEND_LOCAL } else { 0 };
        let (ip_be, endpoint_id) = (ip_be(backend(peer)), u32::from(peer));
        let backend = Backend { ip_be, node_underlay_ip_be: at_be, endpoint_id, port_be: 0, node_id: peer, flags };
        m.backends.insert(endpoint_id, backend);
    }
    m.rings = vec![RingSlot::new(u32::from(owner), previous); SIZES[0] as usize];
    let frontend = Frontend { id: 6, ring_slots: SIZES[0], target_port_be: TARGET.to_be(), ..Frontend::default() };
    m.frontends.insert(FrontendKey::published(VNI, DIALLED.to_be(), PROTO_TCP), frontend);
    m.published.insert((PROTO_TCP, DIALLED));
    m
}

fn packet(dialled: [u8; 4], flags: u8) -> Vec<u8> {
    let mut p = [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]].concat();
    p.extend(OUTSIDE);
    p.extend(dialled);
    p.extend(50_000u16.to_be_bytes());
    p.extend(DIALLED.to_be_bytes());
    p.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    p
}

/// An open connection of the client, begun by `ingress`.
fn know(m: &Model, dialled: [u8; 4], ingress: u16) {
    let client_port_be = 50_000u16.to_be();
    let dialled_port_be = DIALLED.to_be();
    let (own_be, client_be, dialled_be) = (ip_be(backend(m.host.node_id)), ip_be(OUTSIDE), ip_be(dialled));
    let reply = FlowKey {
        vni: VNI,
        src_be: own_be,
        dst_be: client_be,
        src_port_be: TARGET.to_be(),
        dst_port_be: client_port_be,
        proto: PROTO_TCP,
        direction: KEY_REPLY,
        pad: 0,
    };
    let entry = Conntrack {
        dialled_ip_be: dialled_be,
        dialled_port_be,
        client_port_be,
        ingress_underlay_ip_be: ip_be(underlay(ingress)),
        ingress_node_id: ingress,
        state: FlowState::Established as u8,
        last_seen_tick: 1,
        ..Conntrack::default()
    };
    m.conntrack.borrow_mut().insert(reply, entry);
    let original = FlowKey {
        src_be: client_be,
        dst_be: dialled_be,
        src_port_be: client_port_be,
        dst_port_be: dialled_port_be,
        direction: KEY_ORIGINAL,
        ..reply
    };
    let at = Original { backend_ip_be: own_be, backend_port_be: TARGET.to_be(), client_port_be };
    m.originals.borrow_mut().insert(original, at);
}

/// Carries the packet from host to host: where it ends, and after how many hops.
fn carry(hosts: &HashMap<u16, Model>, ingress: u16, flags: u8) -> Result<(u16, u32), String> {
    let (mut at, mut bytes) = (ingress, packet(underlay(ingress), flags));
    for hops in 0..20 {
        let mut frame = Frame::new(&bytes, 64);
        match pipeline::uplink_ingress(&mut frame, &hosts[&at]) {
            Verdict::Endpoint { .. } => return Ok((at, hops)),
            Verdict::Leave(_) => bytes = frame.bytes(),
            other => return Err(format!("{other:?} at host {at} after {hops} hops")),
        }
        at = u16::from(bytes[33]);
    }
    Err("it goes round and round".into())
}

/// 0 = none, up to 4 hosts, and one nobody knows.
fn node() -> impl Strategy<Value = u16> {
    0..=HOSTS + 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn a_packet_ends_with_who_knows_it_or_with_the_owner(
        ingress in 1..=HOSTS, owner in 1..=HOSTS, previous in [node(), node(), node()], knows in node(), opens in any::<bool>(),
    ) {
        let hosts: HashMap<u16, Model> = (1..=HOSTS).map(|id| (id, host(id, owner, previous))).collect();
        if let Some(m) = hosts.get(&knows) {
            know(m, underlay(ingress), ingress);
        }
        let (end, hops) = carry(&hosts, ingress, if opens { SYN } else { ACK }).map_err(TestCaseError::fail)?;
        let is_asked = knows == owner || previous.contains(&knows);
        let expected = if !opens && is_asked && hosts.contains_key(&knows) { knows } else { owner };
        prop_assert_eq!(end, expected);
        // From the ingress to the owner, round the previous ones, and back.
        prop_assert!(hops <= 1 + 4, "{} hops", hops);
        let kept: u64 = hosts.values().map(|m| m.take_counters().get(Counter::UnknownFlowKept.name()).copied().unwrap_or(0)).sum();
        prop_assert_eq!(kept, u64::from(!opens && end != knows));
        // Where it ended, it is known from now on.
        if end == owner {
            let (again, hops) = carry(&hosts, ingress, ACK).map_err(TestCaseError::fail)?;
            prop_assert_eq!((again, hops), (owner, u32::from(owner != ingress)));
        }
    }
}
