//! What comes and goes by the uplink beside tunnel packets.

use crate::{datapath::*, frame::*, world::*};
use remuda_abi::{addr::*, counter::DropReason, tunnel::TUNNEL_MARK};

#[test]
fn what_is_not_ours_is_left_to_the_next_program() {
    let mut d = Datapath::load();
    d.arrives(tcp(OUTSIDE, 1, H1, 22)).passed();
    d.arrives(tcp(OUTSIDE, 1, STRANGER, 22)).passed();
    d.arrives(udp(H2, 1, H1, GOSSIP_PORT)).passed();
    d.arrives(Frame { ether_type: 0x0806, ..udp(OUTSIDE, 1, H1, 2) }).passed();
    d.arrives(Frame { ether_type: 0x86dd, ..udp(OUTSIDE, 1, H1, 2).payload([0; 40]) }).passed();
    // The tunnel port of another address is somebody else's.
    d.arrives(udp(H2, 1, STRANGER, TUNNEL_PORT)).passed();
}

#[test]
fn malformed_packets_are_the_kernels_business() {
    let mut d = Datapath::load();
    let mut p = tcp(OUTSIDE, 1, C1, 2).bytes();
    p[14] = 0x44;
    d.arrives(p).passed();
    d.arrives(tcp(OUTSIDE, 1, C1, 2).bytes()[..40].to_vec()).passed();
}

#[test]
fn the_outside_does_not_reach_containers_vips_or_the_name_server() {
    let mut d = Datapath::load();
    for dst in [C1, ON_H2, NOBODYS, HOST, DNS_OCTETS] {
        d.arrives(tcp(OUTSIDE, 1, dst, 80)).dropped(DropReason::OutsideToOverlay);
    }
    d.arrives(tcp(OUTSIDE, 1, NO_VIP, 80)).dropped(DropReason::OutsideToVip);
}

#[test]
fn the_outside_may_not_claim_an_inside_source() {
    let mut d = Datapath::load();
    for src in [C1, ON_H2, NOBODYS, NO_VIP, DNS_OCTETS] {
        d.arrives(tcp(src, 1, H1, 80)).dropped(DropReason::OutsideForgedSource);
    }
}

#[test]
fn only_we_send_to_a_peers_tunnel_port() {
    let mut d = Datapath::load();
    let forged = udp(H1, 50_000, H2, TUNNEL_PORT);
    d.leaves(0, forged.clone()).dropped(DropReason::UnmarkedTunnel);
    d.leaves(0, forged.clone().options(3)).dropped(DropReason::UnmarkedTunnel);
    d.leaves(0, forged.clone().fragment(0x2000)).dropped(DropReason::UnmarkedTunnel);
    d.leaves(TUNNEL_MARK, forged).mark(TUNNEL_MARK).passed();
    d.leaves(0, udp(H1, 50_000, STRANGER, TUNNEL_PORT)).passed();
    d.leaves(0, udp(H1, 50_000, H2, 53)).passed();
    d.leaves(0, tcp(H1, 50_000, H2, TUNNEL_PORT)).passed();
}
