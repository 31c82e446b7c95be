//! The fleet the packet tests play in: three hosts of one environment, seen from the first.

use crate::frame::Ip;
use remuda_abi::{addr::*, endpoint::*, host::*, route::*, tunnel::*};
use remuda_ebpf::host::Model;

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
        (HOST, 1, i.remuda0_peer, i.remuda0, ENDPOINT_HOST),
        (C1, 2, i.c1, i.c1, 0),
        (C2, 3, i.c2, i.c2, 0),
        (INTERNAL, 4, i.internal, i.internal, ENDPOINT_NO_EGRESS),
    ] {
        let (ip_be, mac) = (ip_be(ip), endpoint_mac(ip_be(ip)));
        let endpoint = Endpoint { ip_be, id, vni: VNI, mac, flags, mtu_bytes: 1450 };
        m.endpoints.insert(ifindex, endpoint);
        m.local.insert(LocalKey { vni: VNI, ip_be }, Local { ifindex: deliver_to, mac, id, flags });
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
    for (node_id, underlay) in hosts.into_iter().skip(1) {
        m.nodes.insert(ip_be(underlay), Node { node_id, pad: 0 });
    }
    m
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
        flags: 0,
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
