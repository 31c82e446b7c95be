//! ARP at an endpoint's veth.

use crate::{datapath::*, frame::Ip, world::*};
use remuda_abi::{
    addr::*,
    counter::{Counter, DropReason},
};

const BROADCAST: [u8; 6] = [0xff; 6];

fn arp(operation: u8, sender: ([u8; 6], Ip), target: ([u8; 6], Ip), to: [u8; 6]) -> Vec<u8> {
    let head: [u8; 10] = [8, 6, 0, 1, 8, 0, 6, 4, 0, operation];
    [&to[..], &sender.0, &head, &sender.0, &sender.1, &target.0, &target.1].concat()
}
fn mac(ip: Ip) -> [u8; 6] {
    endpoint_mac(ip_be(ip)).bytes()
}
pub fn who_has(sender: Ip, target: Ip) -> Vec<u8> {
    arp(1, (mac(sender), sender), ([0; 6], target), BROADCAST)
}

#[test]
fn the_gateway_and_every_other_address_answer_with_the_gateways_mac() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    for target in [GATEWAY_OCTETS, C2, OUTSIDE] {
        let reply = arp(2, (GATEWAY_MAC.bytes(), target), (mac(C1), C1), mac(C1));
        d.from(c1, who_has(C1, target)).verdict(REDIRECTED).packet(reply).counters([Counter::ArpAnswered]);
    }
}

#[test]
fn nobody_hears_that_his_own_address_is_taken() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.from(c1, who_has(C1, C1)).dropped(DropReason::ArpForItself);
}

#[test]
fn nobody_asks_in_anothers_name() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.from(c1, arp(1, (mac(C1), C2), ([0; 6], GATEWAY_OCTETS), BROADCAST)).dropped(DropReason::ArpSpoofed);
    let mut inner_mac = arp(1, (mac(C2), C1), ([0; 6], GATEWAY_OCTETS), BROADCAST);
    inner_mac[6..12].copy_from_slice(&mac(C1));
    d.from(c1, inner_mac).dropped(DropReason::ArpSpoofed);
}

#[test]
fn the_host_may_ask_with_any_of_its_addresses() {
    let mut d = Datapath::load();
    let peer = d.at.remuda0_peer;
    let ask = arp(1, (mac(HOST), H1), ([0; 6], C1), BROADCAST);
    let reply = arp(2, (GATEWAY_MAC.bytes(), C1), (mac(HOST), H1), mac(HOST));
    d.from(peer, ask).verdict(REDIRECTED).packet(reply).counters([Counter::ArpAnswered]);
}

#[test]
fn replies_and_other_hardware_are_malformed() {
    let mut d = Datapath::load();
    let c1 = d.at.c1;
    d.from(c1, arp(2, (mac(C1), C1), (mac(C2), C2), BROADCAST)).dropped(DropReason::ArpMalformed);
    let mut other = who_has(C1, C2);
    other[15] = 6;
    d.from(c1, other).dropped(DropReason::ArpMalformed);
    d.from(c1, who_has(C1, C2)[..30].to_vec()).dropped(DropReason::Truncated);
}
