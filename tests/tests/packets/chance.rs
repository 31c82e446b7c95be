//! Second chances: flows from outside whose slot has another owner than when they began.

use crate::{datapath::*, frame::*, world::*};
use remuda_abi::{
    addr::*,
    counter::{Counter, DropReason},
    flow::PROVES_TICKS,
    frontend::{FrontendKey, RingSlot},
    tunnel::*,
};

const CLIENT_PORT: u16 = 50_000;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

fn client(dialled: Ip, flags: u8) -> Frame {
    tcp(OUTSIDE, CLIENT_PORT, dialled, AT_C1).flags(flags)
}
fn at(backend: Ip, flags: u8) -> Frame {
    let mac = endpoint_mac(ip_be(backend));
    tcp(OUTSIDE, CLIENT_PORT, backend, 80).flags(flags).source_mac(GATEWAY_MAC).destination_mac(mac)
}

/// From now on every slot of port AT_C1 is this backend's, and was these nodes'.
fn moved(d: &mut Datapath, backend_id: u32, previous: [u16; 3]) {
    let frontend = d.model.frontends[&FrontendKey::published(VNI, AT_C1.to_be(), PROTO_TCP)];
    let (from, to) = (frontend.ring_base as usize, (frontend.ring_base + frontend.ring_slots) as usize);
    d.model.rings[from..to].fill(RingSlot::new(backend_id, previous));
    d.write_tables().expect("the tables take another ring");
}

/// Handed to us by `from` for the client of ingress H2, after `hops`.
fn handed(from: Ip, hops: u8, previous: [u16; 3], flags: u8) -> Tunnel {
    let label = Label { hops, ..Label::new(Kind::Ingress, C1_ID) };
    Tunnel { ingress: 2, label, previous, ..tunnel(from, H1, Kind::Ingress, client(H2, flags).ip()) }
}
fn back(t: Tunnel) -> Tunnel {
    Tunnel { label: Label { is_final: true, ..t.label }, ..t }
}
/// The same packet on its way from us to another host; nothing but this may differ.
fn sent_on(t: &Tunnel, to: Ip, hops: u8, previous: [u16; 3]) -> Tunnel {
    Tunnel { src: H1, dst: to, label: Label { hops, ..t.label }, previous, ..t.clone() }
}

#[test]
fn a_known_flow_stays_with_its_backend_here_though_its_slot_is_anothers() {
    let mut d = Datapath::load();
    d.arrives(client(H1, SYN));
    moved(&mut d, ON_C2, [0; 3]);
    let stays = [Counter::SecondChance, Counter::PublishedLocal, Counter::Delivered];
    d.arrives(client(H1, ACK)).verdict(REDIRECTED).packet(at(C1, ACK)).counters(stays);
    let other = Frame { ports: (CLIENT_PORT + 1, AT_C1), ..client(H1, SYN) };
    let begun = Frame { ports: (CLIENT_PORT + 1, 80), ..at(C2, SYN) };
    d.arrives(other).verdict(REDIRECTED).packet(begun);
}

#[test]
fn a_previous_owner_serves_what_it_knows_whatever_endpoint_the_packet_names() {
    let mut d = Datapath::load();
    d.arrives(handed(H2, 0, [0; 3], SYN).bytes());
    let mut later = handed(H3, 1, [3, 0, 0], ACK);
    later.label.endpoint_id = 900;
    let stays = [Counter::Popped, Counter::SecondChance, Counter::PublishedLocal, Counter::Delivered];
    d.arrives(later.bytes()).verdict(REDIRECTED).packet(at(C1, ACK)).counters(stays);
    // Its answers find their ingress, which is not who handed the packet on.
    let c1 = d.at.c1;
    let reply = d.from(c1, tcp(C1, 80, OUTSIDE, CLIENT_PORT));
    let bytes = reply.verdict(REDIRECTED).mark(TUNNEL_MARK).bytes();
    assert_eq!(bytes[30..34], H2);
}

#[test]
fn the_owner_hands_on_what_it_does_not_know_and_says_who_it_is() {
    let mut d = Datapath::load();
    let packet = handed(H2, 0, [3, 4, 0], ACK);
    let expected = sent_on(&packet, H3, 1, [1, 4, 0]);
    d.arrives(packet.bytes())
        .verdict(REDIRECTED)
        .packet(expected.bytes())
        .mark(TUNNEL_MARK)
        .counters([Counter::HandedOn]);
}

#[test]
fn udp_gets_the_same_chance() {
    let mut d = Datapath::load();
    let inner = udp(OUTSIDE, CLIENT_PORT, H2, AT_C1).ip();
    let packet = Tunnel { inner, ..handed(H2, 0, [3, 0, 0], 0) };
    let expected = sent_on(&packet, H3, 1, [1, 0, 0]);
    d.arrives(packet.bytes()).verdict(REDIRECTED).packet(expected.bytes()).counters([Counter::HandedOn]);
    let kept = [Counter::Popped, Counter::FlowsCreated, Counter::PublishedLocal, Counter::Delivered];
    d.arrives(back(Tunnel { src: H3, label: Label { hops: 2, ..packet.label }, ..packet.clone() }).bytes())
        .verdict(REDIRECTED)
        .counters(kept);
    // The next one is known.
    d.arrives(packet.bytes()).counters([Counter::Popped, Counter::PublishedLocal, Counter::Delivered]);
}

#[test]
fn a_previous_owner_that_does_not_know_it_either_hands_it_to_the_next() {
    let mut d = Datapath::load();
    let packet = handed(H2, 1, [2, 3, 4], ACK);
    let expected = sent_on(&packet, H3, 2, [2, 3, 4]);
    d.arrives(packet.bytes()).verdict(REDIRECTED).packet(expected.bytes()).counters([Counter::HandedOn]);
}

#[test]
fn the_last_one_hands_it_back_for_good() {
    let mut d = Datapath::load();
    for (hops, previous) in [(1, [2, 0, 0]), (2, [2, 3, 0]), (3, [2, 3, 4])] {
        let packet = handed(H3, hops, previous, ACK);
        let expected = back(sent_on(&packet, H2, hops + 1, previous));
        d.arrives(packet.bytes())
            .verdict(REDIRECTED)
            .packet(expected.bytes())
            .mark(TUNNEL_MARK)
            .counters([Counter::HandedBack]);
    }
}

#[test]
fn what_comes_back_for_good_is_kept() {
    let mut d = Datapath::load();
    let kept =
        [Counter::Popped, Counter::UnknownFlowKept, Counter::FlowsCreated, Counter::PublishedLocal, Counter::Delivered];
    let packet = back(handed(H3, 4, [1, 3, 4], ACK));
    d.arrives(packet.bytes()).verdict(REDIRECTED).packet(at(C1, ACK)).counters(kept);
}

#[test]
fn a_connection_begins_with_the_owner_and_nobody_is_asked() {
    let mut d = Datapath::load();
    let begun = [Counter::Popped, Counter::FlowsCreated, Counter::PublishedLocal, Counter::Delivered];
    d.arrives(handed(H2, 0, [3, 4, 0], SYN).bytes()).verdict(REDIRECTED).packet(at(C1, SYN)).counters(begun);
    d.arrives(handed(H2, 1, [2, 3, 0], SYN).bytes()).dropped(DropReason::TunnelAstray);
    // Also where an older flow of the same client port is known at another backend.
    moved(&mut d, ON_C2, [3, 0, 0]);
    d.arrives(client(H1, SYN)).packet(at(C2, SYN));
}

#[test]
fn four_hops_and_no_more() {
    let mut d = Datapath::load();
    for astray in [handed(H3, 4, [2, 3, 4], ACK), handed(H3, 127, [2, 3, 4], ACK), back(handed(H3, 5, [2, 3, 4], ACK))]
    {
        d.arrives(astray.bytes()).dropped(DropReason::TunnelAstray);
    }
}

#[test]
fn previous_owners_that_are_nobody_or_this_host_are_passed_over() {
    let mut d = Datapath::load();
    let kept =
        [Counter::Popped, Counter::UnknownFlowKept, Counter::FlowsCreated, Counter::PublishedLocal, Counter::Delivered];
    d.arrives(handed(H2, 0, [900, 1, 0xffff], ACK).bytes()).packet(at(C1, ACK)).counters(kept);
    let mut d = Datapath::load();
    let packet = handed(H2, 0, [900, 1, 3], ACK);
    let expected = sent_on(&packet, H3, 3, [1, 1, 3]);
    d.arrives(packet.bytes()).packet(expected.bytes()).counters([Counter::HandedOn]);
    // With nobody to hand it back to, it was made by none of us.
    for owner in [0, 900] {
        d.arrives(handed(H2, 1, [owner, 0, 0], ACK).bytes()).dropped(DropReason::TunnelAstray);
    }
}

#[test]
fn an_owner_that_is_asked_as_a_previous_one_is_the_owner_still() {
    let mut d = Datapath::load();
    let packet = handed(H2, 2, [1, 1, 3], ACK);
    let expected = sent_on(&packet, H3, 3, [1, 1, 3]);
    d.arrives(packet.bytes()).packet(expected.bytes()).counters([Counter::HandedOn]);
    d.arrives(handed(H2, 2, [1, 1, 0], ACK).bytes()).packet(at(C1, ACK));
}

#[test]
fn an_ingress_that_is_the_owner_itself_asks_the_others_too() {
    let mut d = Datapath::load();
    moved(&mut d, ON_C1, [2, 3, 0]);
    let sent = client(H1, ACK);
    let expected = Tunnel {
        ingress: 1,
        label: Label { hops: 1, ..Label::new(Kind::Ingress, C1_ID) },
        previous: [1, 3, 0],
        source_port: source_port(OUTSIDE, CLIENT_PORT, H1, AT_C1),
        outer_dst_mac: sent.dst_mac,
        outer_src_mac: sent.src_mac,
        ..tunnel(H1, H2, Kind::Ingress, sent.ip())
    };
    d.arrives(sent).verdict(REDIRECTED).packet(expected.bytes()).mark(TUNNEL_MARK).counters([
        Counter::HandedOn,
        Counter::Pushed,
        Counter::PublishedPushed,
    ]);
    // It comes back to its ingress: our own name on another's packet.
    let returned = back(Tunnel { src: H2, dst: H1, label: Label { hops: 2, ..expected.label }, ..expected });
    d.arrives(returned.bytes()).verdict(REDIRECTED).packet(at(C1, ACK)).counters([
        Counter::Popped,
        Counter::UnknownFlowKept,
        Counter::FlowsCreated,
        Counter::PublishedLocal,
        Counter::Delivered,
    ]);
}

#[test]
fn nobody_borrows_our_name_on_the_first_hop() {
    let mut d = Datapath::load();
    let forged = Tunnel { ingress: 1, ..handed(H2, 0, [0; 3], ACK) };
    d.arrives(forged.bytes()).dropped(DropReason::TunnelForeignIngress);
}

#[test]
fn an_ingress_writes_the_previous_owners_into_what_it_hands_to_the_owner() {
    let mut d = Datapath::load();
    moved(&mut d, BACKEND_ON_H2, [1, 3, 0]);
    let sent = client(H1, ACK);
    let expected = Tunnel {
        ingress: 1,
        label: Label::new(Kind::Ingress, ON_H2_ID),
        previous: [1, 3, 0],
        source_port: source_port(OUTSIDE, CLIENT_PORT, H1, AT_C1),
        outer_dst_mac: sent.dst_mac,
        outer_src_mac: sent.src_mac,
        ..tunnel(H1, H2, Kind::Ingress, sent.ip())
    };
    d.arrives(sent).packet(expected.bytes()).counters([Counter::Pushed, Counter::PublishedPushed]);
}

#[test]
fn while_all_drain_flows_go_on_and_none_begins() {
    let mut d = Datapath::load();
    d.arrives(client(H1, SYN));
    moved(&mut d, 0, [2, 0, 0]);
    d.arrives(client(H1, ACK)).packet(at(C1, ACK));
    let stranger = |flags| Frame { ports: (CLIENT_PORT + 1, AT_C1), ..client(H1, flags) };
    d.arrives(stranger(SYN)).dropped(DropReason::NoBackend);
    let case = d.arrives(stranger(ACK)).verdict(REDIRECTED);
    let bytes = case.counters([Counter::HandedOn, Counter::Pushed, Counter::PublishedPushed]).bytes();
    assert_eq!(bytes[30..34], H2);
    moved(&mut d, 0, [0; 3]);
    d.arrives(stranger(ACK)).dropped(DropReason::NoBackend);
}

#[test]
fn a_closed_flow_proves_nothing_after_a_minute() {
    let mut d = Datapath::load();
    d.arrives(handed(H2, 0, [0; 3], SYN).bytes());
    d.arrives(handed(H2, 0, [0; 3], 0x11).bytes());
    d.age(PROVES_TICKS + 1).expect("entries are rewritten");
    let packet = handed(H2, 0, [3, 0, 0], ACK);
    d.arrives(packet.bytes()).verdict(REDIRECTED).counters([Counter::HandedOn]);
    d.arrives(back(Tunnel { src: H3, label: Label { hops: 2, ..packet.label }, ..packet }).bytes())
        .packet(at(C1, ACK))
        .counters([Counter::Popped, Counter::PublishedLocal, Counter::Delivered]);
}

#[test]
fn the_checks_of_kind_ingress_are_the_same_on_every_hop() {
    let mut d = Datapath::load();
    for (hops, is_final) in [(0, false), (1, false), (2, true)] {
        let label = Label { hops, is_final, ..Label::new(Kind::Ingress, C1_ID) };
        let t = |inner: Frame| Tunnel { label, inner: inner.ip(), ..handed(H2, 0, [3, 2, 0], ACK) };
        d.arrives(t(tcp(ON_H2, 1, H2, AT_C1)).bytes()).dropped(DropReason::TunnelInsideSource);
        d.arrives(t(tcp(OUTSIDE, 1, H2, 22)).bytes()).dropped(DropReason::TunnelNoFrontend);
        d.arrives(t(icmp(OUTSIDE, H2)).bytes()).dropped(DropReason::NoPorts);
        d.arrives(Tunnel { ingress: 900, ..t(client(H2, ACK)) }.bytes()).dropped(DropReason::TunnelForeignIngress);
    }
}
