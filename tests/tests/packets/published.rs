//! Published ports: from an outside client to a backend and back, on one host and across two.

use crate::{datapath::*, frame::*, world::*};
use remuda_abi::{
    addr::*,
    counter::{Counter, DropReason},
    tunnel::*,
};

const CLIENT_PORT: u16 = 50_000;
const SYN: u8 = 0x02;
const SYN_ACK: u8 = 0x12;

fn mac(ip: Ip) -> Mac {
    endpoint_mac(ip_be(ip))
}
fn client(dialled: Ip, port: u16) -> Frame {
    tcp(OUTSIDE, CLIENT_PORT, dialled, port).flags(SYN)
}
/// The client's packet as the backend C1 sees it.
fn at_c1(client_port: u16) -> Frame {
    tcp(OUTSIDE, client_port, C1, 80).flags(SYN).source_mac(GATEWAY_MAC).destination_mac(mac(C1))
}
fn from_c1(client_port: u16) -> Frame {
    tcp(C1, 80, OUTSIDE, client_port).flags(SYN_ACK)
}
/// Handed to us by `ingress`, for one of our endpoints.
fn handed(ingress: Ip, node_id: u16, endpoint_id: u32, inner: Frame) -> Tunnel {
    let label = Label::new(Kind::Ingress, endpoint_id);
    Tunnel { ingress: node_id, label, ..tunnel(ingress, H1, Kind::Ingress, inner.ip()) }
}

#[test]
fn a_client_reaches_a_backend_here_with_its_own_address_and_hears_from_where_it_dialled() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.arrives(client(H1, AT_C1)).verdict(REDIRECTED).packet(at_c1(CLIENT_PORT)).counters([
        Counter::PublishedLocal,
        Counter::FlowsCreated,
        Counter::Delivered,
    ]);
    let seen = from_c1(CLIENT_PORT);
    let shown = Frame { src: H1, ports: (AT_C1, CLIENT_PORT), ..seen.clone() };
    d.from(c1, seen).verdict(REDIRECTED).packet(shown).mark(0).counters([Counter::RepliesOut]);
}

#[test]
fn the_second_packet_of_a_flow_makes_no_second_entry() {
    let mut d = Datapath::load();
    d.arrives(client(H1, AT_C1));
    d.arrives(client(H1, AT_C1)).counters([Counter::PublishedLocal, Counter::Delivered]);
    d.arrives(client(H1, AT_C1).flags(0x10)).counters([Counter::PublishedLocal, Counter::Delivered]);
}

#[test]
fn udp_is_served_the_same_way() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    let at_backend = udp(OUTSIDE, CLIENT_PORT, C1, 53).source_mac(GATEWAY_MAC).destination_mac(mac(C1));
    d.arrives(udp(OUTSIDE, CLIENT_PORT, H1, AT_C1)).packet(at_backend).counters([
        Counter::PublishedLocal,
        Counter::FlowsCreated,
        Counter::Delivered,
    ]);
    let seen = udp(C1, 53, OUTSIDE, CLIENT_PORT);
    let shown = Frame { src: H1, ports: (AT_C1, CLIENT_PORT), ..seen.clone() };
    d.from(c1, seen).packet(shown).counters([Counter::RepliesOut]);
}

#[test]
fn a_udp_datagram_without_checksum_stays_without() {
    let mut d = Datapath::load();
    let mut p = udp(OUTSIDE, CLIENT_PORT, H1, AT_C1).bytes();
    p[40..42].fill(0);
    let mut expected = udp(OUTSIDE, CLIENT_PORT, C1, 53).source_mac(GATEWAY_MAC).destination_mac(mac(C1)).bytes();
    expected[40..42].fill(0);
    d.arrives(p).packet(expected);
}

#[test]
fn a_backend_elsewhere_gets_the_packet_untouched_with_our_name_on_it() {
    let mut d = Datapath::load();
    let sent = client(H1, AT_H2);
    let expected = Tunnel {
        ingress: 1,
        label: Label::new(Kind::Ingress, ON_H2_ID),
        source_port: source_port(OUTSIDE, CLIENT_PORT, H1, AT_H2),
        outer_dst_mac: sent.dst_mac,
        outer_src_mac: sent.src_mac,
        ..tunnel(H1, H2, Kind::Ingress, sent.ip())
    };
    d.arrives(sent)
        .verdict(REDIRECTED)
        .packet(expected.bytes())
        .mark(TUNNEL_MARK)
        .counters([Counter::Pushed, Counter::PublishedPushed]);
}

#[test]
fn a_packet_handed_to_us_reaches_its_backend_and_the_reply_goes_back_to_the_ingress() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.arrives(handed(H2, 2, C1_ID, client(H2, AT_C1)).bytes())
        .verdict(REDIRECTED)
        .packet(at_c1(CLIENT_PORT))
        .counters([Counter::Popped, Counter::PublishedLocal, Counter::FlowsCreated, Counter::Delivered]);
    let seen = from_c1(CLIENT_PORT);
    let shown = Frame { src: H2, ports: (AT_C1, CLIENT_PORT), ..seen.clone() };
    let expected = Tunnel {
        ingress: 2,
        source_port: source_port(H2, AT_C1, OUTSIDE, CLIENT_PORT),
        outer_dst_mac: seen.dst_mac,
        outer_src_mac: seen.src_mac,
        ..tunnel(H1, H2, Kind::Reply, shown.ip())
    };
    d.from(c1, seen)
        .verdict(REDIRECTED)
        .packet(expected.bytes())
        .mark(TUNNEL_MARK)
        .counters([Counter::Pushed, Counter::RepliesPushed]);
}

#[test]
fn a_reply_from_the_backends_host_leaves_for_the_client() {
    let mut d = Datapath::load();
    let reply = tcp(H1, AT_H2, OUTSIDE, CLIENT_PORT).flags(SYN_ACK);
    let outer = Tunnel { ingress: 1, ..tunnel(H2, H1, Kind::Reply, reply.ip()) };
    let popped = Frame { dst_mac: outer.outer_dst_mac, src_mac: outer.outer_src_mac, ..reply };
    d.arrives(outer.bytes()).verdict(REDIRECTED).packet(popped).counters([Counter::Popped, Counter::RepliesOut]);
}

#[test]
fn one_client_port_to_two_dialled_addresses_is_told_apart_by_moving_the_port() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.arrives(client(H1, AT_C1));
    let moved = d.arrives(handed(H2, 2, C1_ID, client(H2, AT_C1)).bytes()).counters([
        Counter::Popped,
        Counter::PublishedLocal,
        Counter::FlowsCreated,
        Counter::PortMoved,
        Counter::Delivered,
    ]);
    let bytes = moved.bytes();
    let port = u16::from_be_bytes([bytes[34], bytes[35]]);
    assert!(port >= 1024 && port != CLIENT_PORT);
    moved.packet(at_c1(port));
    // Each reply finds its own way, to the port the client really has.
    let own = Frame { src: H1, ports: (AT_C1, CLIENT_PORT), ..from_c1(CLIENT_PORT) };
    d.from(c1, from_c1(CLIENT_PORT)).packet(own).counters([Counter::RepliesOut]);
    let shown = Frame { src: H2, ports: (AT_C1, CLIENT_PORT), ..from_c1(port) };
    let case = d.from(c1, from_c1(port)).counters([Counter::Pushed, Counter::RepliesPushed]);
    assert_eq!(hex(&case.bytes()[64..]), hex(&shown.ip()));
    // The second packet of the moved flow finds the moved port again.
    d.arrives(handed(H2, 2, C1_ID, client(H2, AT_C1)).bytes()).packet(at_c1(port));
}

#[test]
fn a_flow_nobody_remembers_is_kept() {
    let mut d = Datapath::load();
    d.arrives(client(H1, AT_C1).flags(0x10)).counters([
        Counter::PublishedLocal,
        Counter::UnknownFlowKept,
        Counter::FlowsCreated,
        Counter::Delivered,
    ]);
}

#[test]
fn a_backend_in_the_hosts_own_namespace_is_reached_up_the_stack_and_undone_on_the_way_out() {
    let mut d = Datapath::load();
    let sent = client(H1, AT_HOST);
    let seen = Frame { ports: (CLIENT_PORT, 9000), ..sent.clone() };
    d.arrives(sent).verdict(NEXT).packet(seen).counters([Counter::PublishedLocal, Counter::FlowsCreated]);
    let answer = tcp(H1, 9000, OUTSIDE, CLIENT_PORT).flags(SYN_ACK);
    let shown = Frame { ports: (AT_HOST, CLIENT_PORT), ..answer.clone() };
    d.leaves(0, answer).verdict(NEXT).packet(shown).counters([Counter::RepliesOut]);
}

#[test]
fn the_same_through_another_ingress_goes_back_there() {
    let mut d = Datapath::load();
    let outer = handed(H2, 2, HOST_ID, client(H2, AT_HOST));
    let (dst_mac, src_mac) = (outer.outer_dst_mac, outer.outer_src_mac);
    let seen = Frame { dst: H1, ports: (CLIENT_PORT, 9000), dst_mac, src_mac, ..client(H2, AT_HOST) };
    d.arrives(outer.bytes()).verdict(NEXT).packet(seen).counters([
        Counter::Popped,
        Counter::PublishedLocal,
        Counter::FlowsCreated,
    ]);
    let shown = tcp(H2, AT_HOST, OUTSIDE, CLIENT_PORT).flags(SYN_ACK);
    let case = d.leaves(0, tcp(H1, 9000, OUTSIDE, CLIENT_PORT).flags(SYN_ACK));
    let case = case.verdict(REDIRECTED).mark(TUNNEL_MARK).counters([Counter::Pushed, Counter::RepliesPushed]);
    assert_eq!(hex(&case.bytes()[64..]), hex(&shown.ip()));
}

#[test]
fn other_traffic_of_the_host_leaves_as_it_is() {
    let mut d = Datapath::load();
    d.leaves(0, tcp(H1, 22, OUTSIDE, CLIENT_PORT)).passed();
}

#[test]
fn a_port_without_backend_and_one_that_leads_nowhere_are_told_apart() {
    let mut d = Datapath::load();
    d.arrives(client(H1, AT_NOBODY)).dropped(DropReason::NoBackend);
    d.arrives(client(H1, AT_BROKEN)).dropped(DropReason::BrokenFrontend);
}

#[test]
fn only_this_hosts_own_addresses_publish_here() {
    let mut d = Datapath::load();
    d.arrives(client(H2, AT_C1)).passed();
    d.arrives(client(STRANGER, AT_C1)).passed();
    d.arrives(udp(OUTSIDE, 1, H1, AT_H2)).passed();
}

#[test]
fn fragments_for_a_published_port_are_refused_and_inside_sources_too() {
    let mut d = Datapath::load();
    d.arrives(client(H1, AT_C1).fragment(0x2000)).dropped(DropReason::NoPorts);
    for src in [C1, ON_H2, NO_VIP, DNS_OCTETS, [127, 0, 0, 1], [224, 0, 0, 1]] {
        d.arrives(tcp(src, 1, H1, AT_C1)).dropped(DropReason::OutsideForgedSource);
    }
}

#[test]
fn what_is_handed_to_us_must_come_from_outside_for_a_published_port_of_an_endpoint_here() {
    let mut d = Datapath::load();
    let mut refuse = |t: Tunnel, reason| d.arrives(t.bytes()).dropped(reason);
    for src in [C1, ON_H2, NOBODYS, NO_VIP, [127, 0, 0, 1], [169, 254, 0, 9], [224, 0, 0, 1]] {
        refuse(handed(H2, 2, C1_ID, tcp(src, 1, H2, AT_C1)), DropReason::TunnelInsideSource);
    }
    refuse(handed(H2, 2, C1_ID, client(H2, 22)), DropReason::TunnelNoFrontend);
    refuse(handed(H2, 2, C1_ID, client(STRANGER, AT_C1)), DropReason::TunnelNoFrontend);
    refuse(handed(H2, 2, C1_ID, client(C1, AT_C1)), DropReason::TunnelNoFrontend);
    refuse(handed(H2, 2, ON_H2_ID, client(H2, AT_C1)), DropReason::TunnelNoEndpoint);
    refuse(handed(H2, 2, C1_ID, client(H2, AT_C1).fragment(0x2000)), DropReason::NoPorts);
    refuse(handed(H2, 2, C1_ID, icmp(OUTSIDE, H2)), DropReason::NoPorts);
}

#[test]
fn the_ingress_named_is_the_sender_unless_the_packet_was_handed_on() {
    let mut d = Datapath::load();
    d.arrives(handed(H2, 3, C1_ID, client(H2, AT_C1)).bytes()).dropped(DropReason::TunnelForeignIngress);
    d.arrives(handed(H2, 900, C1_ID, client(H2, AT_C1)).bytes()).dropped(DropReason::TunnelForeignIngress);
    let mut second_hop = handed(H2, 3, C1_ID, client(H3, AT_C1));
    (second_hop.label.hops, second_hop.label.is_final) = (1, true);
    d.arrives(second_hop.bytes()).verdict(REDIRECTED).packet(at_c1(CLIENT_PORT));
}

#[test]
fn a_reply_must_come_from_a_frontend_of_ours_and_from_a_host_that_owns_a_backend_of_it() {
    let mut d = Datapath::load();
    let mut refuse =
        |from, inner: Frame, reason| d.arrives(tunnel(from, H1, Kind::Reply, inner.ip()).bytes()).dropped(reason);
    refuse(H2, tcp(H1, 22, OUTSIDE, 1), DropReason::TunnelForeignReply);
    refuse(H2, tcp(H2, AT_H2, OUTSIDE, 1), DropReason::TunnelForeignReply);
    refuse(H2, tcp(OUTSIDE, AT_H2, OUTSIDE, 1), DropReason::TunnelForeignReply);
    refuse(H2, udp(H1, AT_H2, OUTSIDE, 1), DropReason::TunnelForeignReply);
    refuse(H3, tcp(H1, AT_H2, OUTSIDE, 1), DropReason::TunnelNotOwner);
    refuse(H2, tcp(H1, AT_C1, OUTSIDE, 1), DropReason::TunnelNotOwner);
    refuse(H2, tcp(H1, AT_H2, C1, 1), DropReason::ReplyToOverlay);
    refuse(H2, icmp(H1, OUTSIDE), DropReason::NoPorts);
}

#[test]
fn a_segment_too_short_for_its_header_is_not_rewritten() {
    let mut d = Datapath::load();
    let mut p = icmp(OUTSIDE, H1).payload(vec![0x30, 0x39, 0x1f, 0x90, 0, 0, 0, 0, 0, 0, 0, 0]).bytes();
    p[23] = PROTO_TCP;
    d.arrives(p).dropped(DropReason::Truncated);
}
