//! The fleet the packet tests play in: three hosts of one environment, seen from the first.

use crate::frame::Ip;
use remuda_abi::{addr::*, endpoint::*, frontend::*, host::*, route::*, tunnel::*};
use remuda_ebpf::host::Model;
use remuda_ring::SIZES;

pub const VNI: u32 = 42;
/// This host, two peers, and a peer no route leads to.
pub const H1: Ip = [192, 168, 77, 1];
pub const H2: Ip = [192, 168, 77, 2];
pub const H3: Ip = [192, 168, 77, 3];
pub const UNREACHABLE: Ip = [203, 0, 113, 4];
/// On the underlay, but no host of the fleet.
pub const STRANGER: Ip = [192, 168, 77, 99];
/// This host's own endpoint, and two containers of it; the third may not leave the overlay.
pub const HOST: Ip = [10, 42, 1, 1];
pub const C1: Ip = [10, 42, 1, 2];
pub const C2: Ip = [10, 42, 1, 3];
pub const INTERNAL: Ip = [10, 42, 1, 4];
/// Containers of the peers.
pub const ON_H2: Ip = [10, 42, 2, 2];
pub const ON_H3: Ip = [10, 42, 3, 2];
pub const ON_UNREACHABLE: Ip = [10, 42, 4, 2];
/// An address of the pool in nobody's block, one in our block without endpoint, a VIP nobody has.
pub const NOBODYS: Ip = [10, 42, 200, 2];
pub const VACANT: Ip = [10, 42, 1, 60];
pub const NO_VIP: Ip = [10, 43, 0, 99];
/// A machine outside.
pub const OUTSIDE: Ip = [198, 51, 100, 7];

/// VIPs: served by C2, by a container of H2, by C2 again, by C1 alone, by nobody.
pub const VIP_C2: Ip = [10, 43, 0, 10];
pub const VIP_H2: Ip = [10, 43, 0, 11];
pub const VIP_C2_TOO: Ip = [10, 43, 0, 12];
pub const VIP_C1: Ip = [10, 43, 0, 13];
pub const VIP_EMPTY: Ip = [10, 43, 0, 14];
/// A balancer's: TCP ports 80 and 53 lead to port 8000 of C2 and of a container of H2, UDP port 53 to port 5300 of C1,
/// any other to nobody.
pub const VIP_LB: Ip = [10, 43, 0, 15];
/// Published ports: of C1 (port 80; UDP: 53), of a container of H2, of nobody, of a process of this host
/// (port 9000), one whose tables are broken.
pub const AT_C1: u16 = 8080;
pub const AT_H2: u16 = 8081;
pub const AT_NOBODY: u16 = 8082;
pub const AT_HOST: u16 = 9090;
pub const AT_BROKEN: u16 = 8083;
/// Fleet-wide endpoint ids.
pub const HOST_ID: u32 = 1;
pub const C1_ID: u32 = 2;
pub const C2_ID: u32 = 3;
pub const ON_H2_ID: u32 = 20;

/// The interfaces of the scratch namespace.
#[derive(Clone, Copy, Default)]
pub struct Interfaces {
    pub uplink: u32,
    pub remuda0: u32,
    pub remuda0_peer: u32,
    pub c1: u32,
    pub c2: u32,
    pub internal: u32,
}

pub fn model(i: &Interfaces) -> Model {
    let mut m = Model { host: host(i), ..Model::default() };
    for (ip, id, ifindex, deliver_to, flags) in [
        (HOST, HOST_ID, i.remuda0_peer, i.remuda0, ENDPOINT_HOST),
        (C1, C1_ID, i.c1, i.c1, 0),
        (C2, C2_ID, i.c2, i.c2, 0),
        (INTERNAL, 4, i.internal, i.internal, ENDPOINT_NO_EGRESS),
    ] {
        let (ip_be, mac) = (ip_be(ip), endpoint_mac(ip_be(ip)));
        let endpoint = Endpoint { ip_be, id, vni: VNI, mac, flags, mtu_bytes: 1450 };
        m.endpoints.insert(ifindex, endpoint);
        m.local.insert(LocalKey { vni: VNI, ip_be }, Local { ifindex: deliver_to, mac, id, flags });
        m.local_ids.insert(id, LocalKey { vni: VNI, ip_be });
    }
    let hosts = [(1, H1), (2, H2), (3, H3), (4, UNREACHABLE)];
    let mut route = |net: Ip, len, kind, node_id, underlay: Ip| {
        let key = RouteKey { vni: VNI, ip_be: ip_be(net) };
        m.routes.push((len, key, Route::new(kind, node_id, ip_be(underlay))));
    };
    for (id, underlay) in hosts {
        route([10, 42, id as u8, 0], 26, RouteKind::Block, id, underlay);
        route(underlay, 32, RouteKind::HostAddress, id, underlay);
    }
    route([10, 42, 0, 0], 16, RouteKind::Pool, 0, [0; 4]);
    route([10, 43, 0, 0], 16, RouteKind::Vip, 0, [0; 4]);
    route(DNS_OCTETS, 32, RouteKind::Dns, 0, [0; 4]);
    for (node_id, underlay) in hosts {
        m.node_addresses.insert(u32::from(node_id), ip_be(underlay));
        if node_id != 1 {
            m.nodes.insert(ip_be(underlay), Node { node_id, pad: 0 });
        }
    }
    services(&mut m);
    m
}

pub const ON_C1: u32 = 1;
pub const ON_C2: u32 = 2;
pub const BACKEND_ON_H2: u32 = 3;
const ON_HOST: u32 = 4;

fn services(m: &mut Model) {
    for (id, ip, node, node_id, endpoint_id, flags) in [
        (ON_C1, C1, H1, 1, C1_ID, BACKEND_LOCAL),
        (ON_C2, C2, H1, 1, C2_ID, BACKEND_LOCAL),
        (BACKEND_ON_H2, ON_H2, H2, 2, ON_H2_ID, 0),
        (ON_HOST, H1, H1, 1, HOST_ID, BACKEND_LOCAL | BACKEND_HOST_NETWORK),
    ] {
        let (ip_be, node_underlay_ip_be) = (ip_be(ip), remuda_abi::addr::ip_be(node));
        m.backends.insert(id, Backend { ip_be, node_underlay_ip_be, endpoint_id, port_be: 0, node_id, flags });
    }
    for (vip, members) in [
        (VIP_C2, &[ON_C2][..]),
        (VIP_H2, &[BACKEND_ON_H2]),
        (VIP_C2_TOO, &[ON_C2]),
        (VIP_C1, &[ON_C1]),
        (VIP_EMPTY, &[]),
    ] {
        add(m, FrontendKey::vip(VNI, ip_be(vip)), 0, members);
    }
    add(m, FrontendKey::vip(VNI, ip_be(VIP_LB)), 0, &[]);
    for (port, proto, target, members) in
        [(80, PROTO_TCP, 8000, &[ON_C2][..]), (53, PROTO_TCP, 8000, &[BACKEND_ON_H2]), (53, PROTO_UDP, 5300, &[ON_C1])]
    {
        add(m, FrontendKey::vip_port(VNI, ip_be(VIP_LB), u16::to_be(port), proto), target, members);
    }
    m.frontends.entry(FrontendKey::vip(VNI, ip_be(VIP_LB))).and_modify(|vip| vip.flags = FRONTEND_BY_PORT);
    for (port, proto, target, members) in [
        (AT_C1, PROTO_TCP, 80, &[ON_C1][..]),
        (AT_C1, PROTO_UDP, 53, &[ON_C1]),
        (AT_H2, PROTO_TCP, 80, &[BACKEND_ON_H2]),
        (AT_NOBODY, PROTO_TCP, 80, &[]),
        (AT_HOST, PROTO_TCP, 9000, &[ON_HOST]),
        (AT_BROKEN, PROTO_TCP, 80, &[60_000]),
    ] {
        m.published.insert((proto, port));
        add(m, FrontendKey::published(VNI, port.to_be(), proto), target, members);
    }
}

/// A frontend with its list and, for published ports, a ring in which the members take turns.
fn add(m: &mut Model, key: FrontendKey, target: u16, members: &[u32]) {
    let ring_slots = if key.addr_be != 0 || members.is_empty() { 0 } else { SIZES[0] };
    let frontend = Frontend {
        id: m.frontends.len() as u32 + 1,
        list_base: m.lists.len() as u32,
        list_count: members.len() as u32,
        ring_base: m.rings.len() as u32,
        ring_slots,
        generation: 1,
        target_port_be: target.to_be(),
        flags: 0,
    };
    m.lists.extend(members);
    let slots = members.iter().cycle().take(ring_slots as usize);
    m.rings.extend(slots.map(|id| RingSlot::new(*id, [0; 3])));
    for id in members {
        let node_id = m.backends.get(id).map_or(0, |b| b.node_id);
        m.owners.insert(OwnerKey { frontend_id: frontend.id, node_id, pad: 0 }, 1);
    }
    m.frontends.insert(key, frontend);
}

fn host(i: &Interfaces) -> Host {
    Host {
        abi_version: remuda_abi::ABI_VERSION,
        vni: VNI,
        node_underlay_ip_be: ip_be(H1),
        endpoint_ip_be: ip_be(HOST),
        endpoint_ifindex: i.remuda0,
        endpoint_mac: endpoint_mac(ip_be(HOST)),
        hash_seed: 7,
        tunnel_port_be: TUNNEL_PORT.to_be(),
        node_id: 1,
        uplink_mtu_bytes: 1500,
        flags: HOST_HAS_HOST_BACKENDS,
        ring_generation: 1,
        closed_ports: default_closed_ports(TUNNEL_PORT),
    }
}

/// The outer source port the flow of these addresses and ports gets.
pub fn source_port(src: Ip, src_port: u16, dst: Ip, dst_port: u16) -> u16 {
    let ports = (u32::from(src_port) << 16 | u32::from(dst_port)).to_be();
    let hash = remuda_abi::hash::flow_hash(7, ip_be(src), ip_be(dst), ports);
    SOURCE_PORT_BASE | (hash & 0x3fff) as u16
}
