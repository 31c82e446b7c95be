//! What may not enter at an endpoint's veth.

use crate::{datapath::*, frame::*, world::*};
use remuda_abi::{addr::*, counter::DropReason};

fn mac(ip: Ip) -> Mac {
    endpoint_mac(ip_be(ip))
}

#[test]
fn an_interface_nobody_registered_lets_nothing_in() {
    let mut d = Datapath::load();
    let uplink = d.at.uplink;
    d.from(uplink, udp(C1, 1, C2, 2)).dropped(DropReason::UnknownInterface);
}

#[test]
fn a_foreign_mac_or_address_is_dropped_even_into_an_existing_flow() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.from(c1, tcp(C2, 1, ON_H2, 2)).dropped(DropReason::SpoofedMac);
    for src in [C2, HOST, ON_H2, NOBODYS, NO_VIP, OUTSIDE, H1, [127, 0, 0, 1], [0; 4]] {
        d.from(c1, tcp(src, 1, ON_H2, 2).source_mac(mac(C1))).dropped(DropReason::SpoofedSource);
    }
}

#[test]
fn the_host_may_not_speak_for_overlay_addresses_vips_or_martians() {
    let mut d = Datapath::load();
    let peer = d.at.remuda0_peer;
    for src in [C2, ON_H2, NOBODYS, NO_VIP, [127, 0, 0, 1], [224, 0, 0, 1]] {
        d.from(peer, tcp(src, 1, C1, 2).source_mac(mac(HOST))).dropped(DropReason::SpoofedSource);
    }
}

#[test]
fn other_protocols_than_ipv4_and_arp_are_named() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    let typed = |ether_type| Frame { ether_type, ..udp(C1, 1, C2, 2).payload([0; 40]) };
    d.from(c1, typed(0x86dd)).dropped(DropReason::Ipv6NotServed);
    d.from(c1, typed(0x8100)).dropped(DropReason::OtherEtherType);
    d.from(c1, typed(0x88cc)).dropped(DropReason::OtherEtherType);
}

#[test]
fn headers_that_make_no_sense_are_refused() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    for (at, byte) in [(14, 0x55), (14, 0x44), (17, 19)] {
        let mut p = udp(C1, 1, C2, 2).bytes();
        p[at] = byte;
        d.from(c1, p).dropped(DropReason::BadHeader);
    }
}

#[test]
fn a_packet_shorter_than_it_says_is_refused() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    let whole = udp(C1, 1, C2, 2).bytes();
    for len in 35..whole.len() {
        d.from(c1, whole[..len].to_vec()).dropped(DropReason::Truncated);
    }
    let mut no_ports = icmp(C1, C2).payload(vec![0; 7]);
    no_ports.proto = PROTO_ICMP;
    let mut p = no_ports.bytes();
    p[23] = PROTO_TCP;
    d.from(c1, p).dropped(DropReason::Truncated);
}
