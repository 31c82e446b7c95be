//! What comes in by the tunnel, and the receiver's checks one by one.

use crate::{datapath::*, frame::*, world::*};
use remuda_abi::{
    addr::*,
    counter::{Counter, DropReason},
    tunnel::*,
};

fn mac(ip: Ip) -> Mac {
    endpoint_mac(ip_be(ip))
}
fn good() -> Tunnel {
    tunnel(H2, H1, Kind::Overlay, tcp(ON_H2, 80, C1, 40_000).ip())
}

#[test]
fn a_packet_from_a_peer_is_popped_and_delivered() {
    let mut d = Datapath::load();
    d.arrives(good().bytes())
        .verdict(REDIRECTED)
        .packet(tcp(ON_H2, 80, C1, 40_000).source_mac(GATEWAY_MAC).destination_mac(mac(C1)))
        .counters([Counter::Popped, Counter::Delivered]);
}

#[test]
fn a_packet_for_the_host_endpoint_goes_up_the_stack() {
    let mut d = Datapath::load();
    d.arrives(tunnel(H2, H1, Kind::Overlay, icmp(ON_H2, HOST).ip()).bytes())
        .verdict(REDIRECTED)
        .packet(icmp(ON_H2, HOST).source_mac(GATEWAY_MAC).destination_mac(mac(HOST)))
        .counters([Counter::Popped, Counter::SentToHost]);
}

#[test]
fn the_hosts_closed_ports_are_closed_through_the_tunnel_too() {
    let mut d = Datapath::load();
    let inner = tcp(ON_H2, 1, HOST, METRICS_PORT).ip();
    d.arrives(tunnel(H2, H1, Kind::Overlay, inner).bytes()).dropped(DropReason::ClosedPort);
}

#[test]
fn a_sender_that_is_no_peer_is_a_stranger() {
    let mut d = Datapath::load();
    d.arrives(Tunnel { src: STRANGER, ..good() }.bytes()).dropped(DropReason::TunnelStranger);
    d.arrives(Tunnel { src: H1, ..good() }.bytes()).dropped(DropReason::TunnelStranger);
}

#[test]
fn a_peer_speaks_only_for_its_own_blocks() {
    let mut d = Datapath::load();
    for src in [ON_H3, C2, NOBODYS, NO_VIP, OUTSIDE, H2] {
        d.arrives(tunnel(H2, H1, Kind::Overlay, tcp(src, 80, C1, 1).ip()).bytes())
            .dropped(DropReason::TunnelForeignSource);
    }
}

#[test]
fn only_endpoints_of_this_host_are_reached() {
    let mut d = Datapath::load();
    for dst in [VACANT, ON_H3, OUTSIDE, H1, NO_VIP] {
        d.arrives(tunnel(H2, H1, Kind::Overlay, tcp(ON_H2, 80, dst, 1).ip()).bytes())
            .dropped(DropReason::TunnelNoEndpoint);
    }
}

#[test]
fn unknown_versions_kinds_and_environments_are_refused_by_name() {
    let mut d = Datapath::load();
    let labelled = |label| Tunnel { label, ..good() }.bytes();
    let label = Label::new(Kind::Overlay, 0);
    d.arrives(labelled(Label { version: 2, ..label })).dropped(DropReason::TunnelVersion);
    d.arrives(labelled(Label { version: 0, ..label })).dropped(DropReason::TunnelVersion);
    d.arrives(labelled(Label { kind: 9, ..label })).dropped(DropReason::TunnelKind);
    d.arrives(Tunnel { vni: VNI + 1, ..good() }.bytes()).dropped(DropReason::TunnelVni);
    let mut no_label = good().bytes();
    no_label[50] = 0x06;
    d.arrives(no_label).dropped(DropReason::TunnelVersion);
}

#[test]
fn outer_headers_that_are_not_ours_are_refused() {
    let mut d = Datapath::load();
    for (at, byte) in [(39, 1), (46 - 4, 0)] {
        let mut p = good().bytes();
        p[at] = byte;
        d.arrives(p).dropped(DropReason::TunnelBadHeader);
    }
    // A header with options, and a datagram too short for a tunnel header.
    let port = udp(H2, 50_000, H1, TUNNEL_PORT);
    d.arrives(port.clone().options(1).payload(vec![0; 80])).dropped(DropReason::TunnelBadHeader);
    d.arrives(port.payload(vec![0; 20])).dropped(DropReason::TunnelBadHeader);
}

#[test]
fn tunnel_packets_are_never_fragments() {
    let mut d = Datapath::load();
    let first = udp(H2, 50_000, H1, TUNNEL_PORT).payload(vec![0; 80]).fragment(0x2000);
    d.arrives(first).dropped(DropReason::TunnelFragment);
}

#[test]
fn the_inner_packet_must_be_ipv4_and_as_long_as_it_says() {
    let mut d = Datapath::load();
    let mut other = good().bytes();
    other[62..64].copy_from_slice(&[0x86, 0xdd]);
    d.arrives(other).dropped(DropReason::TunnelInnerType);
    for (at, byte) in [(64, 0x65), (64, 0x43), (66, 0x10), (67, 10), (67, 45)] {
        let mut p = good().bytes();
        p[at] = byte;
        d.arrives(p).dropped(DropReason::TunnelInnerHeader);
    }
}
