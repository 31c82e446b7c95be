//! VIPs and published ports, packet by packet, for what the socket hooks miss.

use crate::{datapath::*, frame::*, world::*};
use remuda_abi::{
    addr::*,
    counter::{Counter, DropReason},
    tunnel::*,
};

const PORT: u16 = 40_000;

fn mac(ip: Ip) -> Mac {
    endpoint_mac(ip_be(ip))
}
fn delivered(f: Frame) -> Frame {
    let to = mac(f.dst);
    f.source_mac(GATEWAY_MAC).destination_mac(to)
}

#[test]
fn a_vip_leads_to_its_backend_on_any_port_and_the_reply_shows_the_vip() {
    let mut d = Datapath::load();
    let (c1, c2) = (d.at.c1, d.at.c2);
    for port in [80, 5432] {
        d.from(c1, tcp(C1, PORT, VIP_C2, port))
            .verdict(REDIRECTED)
            .packet(delivered(tcp(C1, PORT, C2, port)))
            .counters([Counter::VipTranslated, Counter::Delivered]);
        d.from(c2, tcp(C2, port, C1, PORT))
            .verdict(REDIRECTED)
            .packet(delivered(tcp(VIP_C2, port, C1, PORT)))
            .counters([Counter::VipReplies, Counter::Delivered]);
    }
}

#[test]
fn each_port_of_a_balancers_vip_leads_to_its_own_targets_and_port() {
    let mut d = Datapath::load();
    let (c1, c2) = (d.at.c1, d.at.c2);
    d.from(c1, tcp(C1, PORT, VIP_LB, 80))
        .verdict(REDIRECTED)
        .packet(delivered(tcp(C1, PORT, C2, 8000)))
        .counters([Counter::VipTranslated, Counter::Delivered]);
    d.from(c2, tcp(C2, 8000, C1, PORT))
        .packet(delivered(tcp(VIP_LB, 80, C1, PORT)))
        .counters([Counter::VipReplies, Counter::Delivered]);
    let elsewhere = d.from(c1, tcp(C1, PORT, VIP_LB, 53)).counters([Counter::VipTranslated, Counter::Pushed]);
    assert_eq!(hex(&elsewhere.bytes()[64..]), hex(&tcp(C1, PORT, ON_H2, 8000).ip()));
    d.from(c2, udp(C2, PORT, VIP_LB, 53)).packet(delivered(udp(C2, PORT, C1, 5300)));
    d.from(c1, udp(C1, 5300, C2, PORT)).packet(delivered(udp(VIP_LB, 53, C2, PORT)));
    for other in [tcp(C1, PORT, VIP_LB, 81), udp(C1, PORT, VIP_LB, 80)] {
        d.from(c1, other).dropped(DropReason::NoBackend);
    }
}

#[test]
fn traffic_between_the_same_two_beside_the_vip_is_not_touched() {
    let mut d = Datapath::load();
    let (c1, c2) = (d.at.c1, d.at.c2);
    d.from(c1, tcp(C1, PORT, VIP_C2, 80));
    d.from(c2, tcp(C2, 81, C1, PORT)).packet(delivered(tcp(C2, 81, C1, PORT))).counters([Counter::Delivered]);
}

#[test]
fn a_backend_elsewhere_is_reached_through_the_tunnel_and_its_reply_shows_the_vip() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    let case = d.from(c1, udp(C1, PORT, VIP_H2, 53)).counters([Counter::VipTranslated, Counter::Pushed]);
    assert_eq!(hex(&case.bytes()[64..]), hex(&udp(C1, PORT, ON_H2, 53).ip()));
    d.arrives(tunnel(H2, H1, Kind::Overlay, udp(ON_H2, 53, C1, PORT).ip()).bytes())
        .packet(delivered(udp(VIP_H2, 53, C1, PORT)))
        .counters([Counter::Popped, Counter::VipReplies, Counter::Delivered]);
}

#[test]
fn two_vips_with_one_backend_and_one_client_port_are_told_apart() {
    let mut d = Datapath::load();
    let (c1, c2) = (d.at.c1, d.at.c2);
    d.from(c1, tcp(C1, PORT, VIP_C2, 80));
    let case = d.from(c1, tcp(C1, PORT, VIP_C2_TOO, 80)).counters([
        Counter::VipTranslated,
        Counter::PortMoved,
        Counter::Delivered,
    ]);
    let moved = u16::from_be_bytes([case.bytes()[34], case.bytes()[35]]);
    case.packet(delivered(tcp(C1, moved, C2, 80)));
    d.from(c2, tcp(C2, 80, C1, PORT)).packet(delivered(tcp(VIP_C2, 80, C1, PORT)));
    d.from(c2, tcp(C2, 80, C1, moved)).packet(delivered(tcp(VIP_C2_TOO, 80, C1, PORT)));
}

#[test]
fn a_published_port_at_any_hosts_address_leads_to_a_backend() {
    let mut d = Datapath::load();
    let (c1, c2) = (d.at.c1, d.at.c2);
    for host in [H1, H2] {
        d.from(c2, tcp(C2, PORT + u16::from(host[3]), host, AT_C1))
            .packet(delivered(tcp(C2, PORT + u16::from(host[3]), C1, 80)))
            .counters([Counter::VipTranslated, Counter::Delivered]);
        d.from(c1, tcp(C1, 80, C2, PORT + u16::from(host[3])))
            .packet(delivered(tcp(host, AT_C1, C2, PORT + u16::from(host[3]))))
            .counters([Counter::VipReplies, Counter::Delivered]);
    }
}

#[test]
fn the_hosts_own_endpoint_dials_vips_too() {
    let mut d = Datapath::load();
    let (peer, c2) = (d.at.remuda0_peer, d.at.c2);
    d.from(peer, tcp(HOST, PORT, VIP_C2, 80)).packet(delivered(tcp(HOST, PORT, C2, 80)));
    d.from(c2, tcp(C2, 80, HOST, PORT))
        .packet(delivered(tcp(VIP_C2, 80, HOST, PORT)))
        .counters([Counter::VipReplies, Counter::SentToHost]);
}

#[test]
fn frontends_without_backend_say_so() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.from(c1, tcp(C1, PORT, VIP_EMPTY, 80)).dropped(DropReason::NoBackend);
    d.from(c1, tcp(C1, PORT, H2, AT_NOBODY)).dropped(DropReason::NoBackend);
    d.from(c1, tcp(C1, PORT, H2, AT_BROKEN)).dropped(DropReason::BrokenFrontend);
    // A packet cannot be sent to where it came from.
    d.from(c1, tcp(C1, PORT, VIP_C1, 80)).dropped(DropReason::NoBackend);
}

#[test]
fn only_whole_tcp_and_udp_packets_have_a_port_to_dial() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.from(c1, icmp(C1, VIP_C2)).dropped(DropReason::NoPorts);
    d.from(c1, udp(C1, PORT, VIP_C2, 53).fragment(0x2000)).dropped(DropReason::NoPorts);
    d.from(c1, udp(C1, PORT, VIP_C2, 53).fragment(9)).dropped(DropReason::NoPorts);
}

#[test]
fn a_backend_that_went_away_is_replaced_with_the_next_packet() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.from(c1, tcp(C1, PORT, VIP_C2, 80));
    // Its id now stands for another one.
    let moved = d.model.backends[&3];
    d.model.backends.insert(2, moved);
    d.write_tables().unwrap();
    let case = d.from(c1, tcp(C1, PORT, VIP_C2, 80)).counters([Counter::VipTranslated, Counter::Pushed]);
    assert_eq!(hex(&case.bytes()[64..]), hex(&tcp(C1, PORT, ON_H2, 80).ip()));
}
