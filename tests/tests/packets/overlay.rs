//! What an endpoint sends, and where it goes.

use crate::{datapath::*, frame::*, world::*};
use remuda_abi::{
    addr::*,
    counter::{Counter, DropReason},
    tunnel::*,
};

fn mac(ip: Ip) -> Mac {
    endpoint_mac(ip_be(ip))
}

#[test]
fn a_neighbour_on_the_same_host_gets_the_packet_from_the_gateway() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.from(c1, udp(C1, 1000, C2, 53))
        .verdict(REDIRECTED)
        .packet(udp(C1, 1000, C2, 53).source_mac(GATEWAY_MAC).destination_mac(mac(C2)))
        .mark(0)
        .counters([Counter::Delivered]);
}

#[test]
fn an_endpoint_elsewhere_is_reached_through_the_tunnel() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    let inner = tcp(C1, 40_000, ON_H2, 80);
    let expected = Tunnel {
        source_port: source_port(C1, 40_000, ON_H2, 80),
        outer_dst_mac: inner.dst_mac,
        outer_src_mac: inner.src_mac,
        ..tunnel(H1, H2, Kind::Overlay, inner.ip())
    };
    d.from(c1, inner).verdict(REDIRECTED).packet(expected.bytes()).mark(TUNNEL_MARK).counters([Counter::Pushed]);
}

#[test]
fn ip_options_and_fragments_travel_like_anything_else() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    for inner in [udp(C1, 1, C2, 2).options(5), udp(C1, 1, C2, 2).fragment(0x2000), udp(C1, 1, C2, 2).fragment(100)] {
        let expected = inner.clone().source_mac(GATEWAY_MAC).destination_mac(mac(C2));
        d.from(c1, inner).verdict(REDIRECTED).packet(expected).counters([Counter::Delivered]);
    }
}

#[test]
fn the_host_itself_the_name_server_and_the_world_are_up_the_stack() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    for dst in [HOST, H1, H2, OUTSIDE] {
        let sent = tcp(C1, 40_000, dst, 22);
        let expected = sent.clone().source_mac(GATEWAY_MAC).destination_mac(mac(HOST));
        d.from(c1, sent).verdict(REDIRECTED).packet(expected).mark(0).counters([Counter::SentToHost]);
    }
    for sent in [udp(C1, 40_000, DNS_OCTETS, 53), tcp(C1, 40_000, DNS_OCTETS, 53), icmp(C1, DNS_OCTETS)] {
        let expected = sent.clone().source_mac(GATEWAY_MAC).destination_mac(mac(HOST));
        d.from(c1, sent).verdict(REDIRECTED).packet(expected).counters([Counter::SentToHost]);
    }
}

#[test]
fn the_host_reaches_its_containers_with_its_overlay_address_and_with_what_it_forwards() {
    let mut d = Datapath::load();
    let peer = d.at.remuda0_peer;
    for src in [HOST, H1, OUTSIDE, DNS_OCTETS] {
        let sent = udp(src, 53, C1, 1000).source_mac(mac(HOST));
        let expected = sent.clone().source_mac(GATEWAY_MAC).destination_mac(mac(C1));
        d.from(peer, sent).verdict(REDIRECTED).packet(expected).counters([Counter::Delivered]);
    }
}

#[test]
fn the_host_reaches_other_hosts_endpoints_only_with_its_overlay_address() {
    let mut d = Datapath::load();
    let peer = d.at.remuda0_peer;
    d.from(peer, udp(HOST, 1, ON_H2, 2)).verdict(REDIRECTED).counters([Counter::Pushed]);
    d.from(peer, udp(H1, 1, ON_H2, 2).source_mac(mac(HOST))).dropped(DropReason::HostSourceRemote);
}

#[test]
fn what_the_host_sends_astray_does_not_come_back_to_it() {
    let mut d = Datapath::load();
    let peer = d.at.remuda0_peer;
    for dst in [OUTSIDE, H1, H2, DNS_OCTETS, HOST] {
        d.from(peer, udp(HOST, 1, dst, 53)).dropped(DropReason::HostLoop);
    }
}

#[test]
fn infrastructure_ports_of_the_own_host_are_closed_on_all_its_addresses() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    for dst in [H1, HOST] {
        d.from(c1, tcp(C1, 1, dst, API_PORT)).dropped(DropReason::ClosedPort);
        d.from(c1, tcp(C1, 1, dst, METRICS_PORT)).dropped(DropReason::ClosedPort);
        d.from(c1, udp(C1, 1, dst, GOSSIP_PORT)).dropped(DropReason::ClosedPort);
        d.from(c1, udp(C1, 1, dst, TUNNEL_PORT)).dropped(DropReason::ClosedPort);
        d.from(c1, udp(C1, 1, dst, API_PORT)).verdict(REDIRECTED).counters([Counter::SentToHost]);
    }
    d.from(c1, tcp(C1, 1, DNS_OCTETS, API_PORT)).dropped(DropReason::ClosedPort);
}

#[test]
fn an_internal_endpoint_reaches_the_overlay_its_host_and_names_but_nothing_else() {
    let mut d = Datapath::load();
    let internal = d.at.internal;
    for dst in [OUTSIDE, H2] {
        d.from(internal, tcp(INTERNAL, 1, dst, 80)).dropped(DropReason::EgressForbidden);
    }
    d.from(internal, tcp(INTERNAL, 1, C1, 80)).verdict(REDIRECTED).counters([Counter::Delivered]);
    d.from(internal, tcp(INTERNAL, 1, ON_H2, 80)).verdict(REDIRECTED).counters([Counter::Pushed]);
    d.from(internal, tcp(INTERNAL, 1, H1, 80)).verdict(REDIRECTED).counters([Counter::SentToHost]);
    d.from(internal, udp(INTERNAL, 1, DNS_OCTETS, 53)).verdict(REDIRECTED).counters([Counter::SentToHost]);
}

#[test]
fn addresses_without_owner_are_named_for_what_they_lack() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.from(c1, udp(C1, 1, NOBODYS, 2)).dropped(DropReason::NoRoute);
    d.from(c1, udp(C1, 1, VACANT, 2)).dropped(DropReason::NoSuchEndpoint);
    d.from(c1, udp(C1, 1, NO_VIP, 2)).dropped(DropReason::NoSuchVip);
    d.from(c1, udp(C1, 1, ON_UNREACHABLE, 2)).dropped(DropReason::NoNextHop);
}

#[test]
fn martian_destinations_go_nowhere() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    for dst in [[127, 0, 0, 1], [169, 254, 169, 254], GATEWAY_OCTETS, [224, 0, 0, 1], [255; 4], [0, 0, 0, 0]] {
        d.from(c1, udp(C1, 1, dst, 2)).dropped(DropReason::MartianDestination);
    }
}

#[test]
fn what_does_not_fit_the_uplink_with_its_header_is_dropped() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    let sized = |ip_bytes: usize| udp(C1, 1, ON_H2, 2).payload(vec![7; ip_bytes - 28]);
    d.from(c1, sized(1450)).verdict(REDIRECTED).counters([Counter::Pushed]);
    d.from(c1, sized(1451)).dropped(DropReason::TooBig);
}
