//! DESIGN.md section 3, "Who talks to whom": every row, with the source address the receiver saw.

use anyhow::Result;
use remuda_abi::counter::DropReason;
use remuda_lab::underlay::BEYOND;
use remuda_lab::{assignment, residue};
use remuda_tests::counters::dropped;
use remuda_tests::fleet::{Fleet, Wanted};
use remuda_tests::talk::{Mirror, ask_tcp, ask_udp};

const PORT: u16 = 7000;

fn at(ip: &str) -> String {
    format!("{ip}:{PORT}")
}

fn mirror(namespace: &str, name: &str) -> Result<Mirror> {
    mirror_at(namespace, name, "0.0.0.0")
}

/// Where there are several addresses, UDP answers come from the dialled one only if the server is bound to it.
fn mirror_at(namespace: &str, name: &str, ip: &str) -> Result<Mirror> {
    Mirror::start(namespace, name, at(ip).parse()?)
}

/// `a` and `near` on h1, `far` on h2, `inner` (internal networks only) on h1.
fn fleet(name: &str) -> Result<Fleet> {
    let mut fleet = Fleet::up(name, 2)?;
    fleet.assign(
        &[],
        &[
            Wanted { name: "a", host: 0, ..Wanted::default() },
            Wanted { name: "near", host: 0, ..Wanted::default() },
            Wanted { name: "far", host: 1, ..Wanted::default() },
            Wanted { name: "inner", host: 0, internal: true, ..Wanted::default() },
        ],
    )?;
    Ok(fleet)
}

/// Both protocols from `from` to `to` arrive with source `seen`.
fn expect_source(from: &str, to: &str, seen: &str) {
    for (protocol, answer) in [("tcp", ask_tcp(from, to)), ("udp", ask_udp(from, to))] {
        let answer = answer.unwrap_or_else(|error| panic!("{protocol} to {to}: {error:#}"));
        assert_eq!(answer.client.ip().to_string(), seen, "{protocol} to {to}: source the receiver saw");
        assert_eq!(answer.peer.to_string(), to, "{protocol} to {to}: peer the client sees");
    }
}

#[test]
fn a_container_reaches_containers_here_and_elsewhere_with_its_own_address() {
    let fleet = fleet("m1").unwrap();
    let from = fleet.netns("a").unwrap();
    for name in ["near", "far"] {
        let _mirror = mirror(&fleet.netns(name).unwrap(), name).unwrap();
        expect_source(&from, &at(&fleet.ip(name).unwrap()), &fleet.ip("a").unwrap());
    }
}

#[test]
fn a_container_reaches_its_own_host_with_its_own_address_but_not_its_infrastructure_ports() {
    let fleet = fleet("m2").unwrap();
    let (from, host) = (fleet.netns("a").unwrap(), fleet.host_netns("h1").unwrap());
    let underlay = fleet.lab.host("h1").unwrap().underlay_ip.clone();
    for ip in [assignment::address(0, 1), underlay.clone()] {
        let _mirror = mirror_at(&host, "h1", &ip).unwrap();
        expect_source(&from, &at(&ip), &fleet.ip("a").unwrap());
    }
    let closed = "0.0.0.0:8444".parse().unwrap();
    let _infrastructure = Mirror::start(&host, "metrics", closed).ok();
    assert!(ask_tcp(&from, &format!("{underlay}:8444")).is_err(), "an infrastructure port answered a container");
    for ip in [assignment::address(0, 1), underlay] {
        let gossip = format!("{ip}:8445");
        let _mirror = Mirror::start(&host, "gossip", gossip.parse().unwrap()).unwrap();
        assert!(ask_udp(&from, &gossip).is_err(), "{gossip} (UDP) answered a container");
    }
    assert!(dropped(&fleet.lab, "h1", DropReason::ClosedPort).unwrap() > 0);
}

#[test]
fn a_container_reaches_other_hosts_and_the_outside_with_the_hosts_address() {
    let fleet = fleet("m3").unwrap();
    let from = fleet.netns("a").unwrap();
    let own = fleet.lab.host("h1").unwrap().underlay_ip.clone();
    let there = fleet.lab.host("h2").unwrap().underlay_ip.clone();
    let _other = mirror_at(&fleet.host_netns("h2").unwrap(), "h2", &there).unwrap();
    expect_source(&from, &at(&there), &own);
    for outside in [fleet.lab.state.client.ip.as_str(), BEYOND] {
        let _outside = mirror_at(&fleet.host_netns("client").unwrap(), "client", outside).unwrap();
        expect_source(&from, &at(outside), &own);
    }
}

#[test]
fn a_container_on_internal_networks_does_not_leave_the_fleet() {
    let fleet = fleet("m4").unwrap();
    let from = fleet.netns("inner").unwrap();
    let _outside = mirror(&fleet.host_netns("client").unwrap(), "client").unwrap();
    assert!(ask_tcp(&from, &at(BEYOND)).is_err(), "an internal container reached the outside");
    assert!(dropped(&fleet.lab, "h1", DropReason::EgressForbidden).unwrap() > 0);
    let _far = mirror(&fleet.netns("far").unwrap(), "far").unwrap();
    expect_source(&from, &at(&fleet.ip("far").unwrap()), &fleet.ip("inner").unwrap());
}

#[test]
fn a_host_process_reaches_containers_everywhere_with_the_hosts_overlay_address() {
    let fleet = fleet("m5").unwrap();
    let from = fleet.host_netns("h1").unwrap();
    for name in ["near", "far"] {
        let _mirror = mirror(&fleet.netns(name).unwrap(), name).unwrap();
        expect_source(&from, &at(&fleet.ip(name).unwrap()), &assignment::address(0, 1));
    }
}

#[test]
fn the_host_endpoint_of_another_host_answers_through_the_overlay() {
    let fleet = fleet("m6").unwrap();
    let _mirror = mirror_at(&fleet.host_netns("h2").unwrap(), "h2", &assignment::address(1, 1)).unwrap();
    let far_endpoint = at(&assignment::address(1, 1));
    expect_source(&fleet.netns("a").unwrap(), &far_endpoint, &fleet.ip("a").unwrap());
    expect_source(&fleet.host_netns("h1").unwrap(), &far_endpoint, &assignment::address(0, 1));
    fleet.lab.output("h1", &["ping", "-c1", "-W2", &assignment::address(1, 1)]).unwrap();
}

#[test]
fn the_outside_does_not_reach_a_container_by_its_address() {
    let fleet = fleet("m7").unwrap();
    let _mirror = mirror(&fleet.netns("near").unwrap(), "near").unwrap();
    let via = fleet.lab.host("h1").unwrap().underlay_ip.clone();
    fleet.lab.output("client", &["ip", "route", "add", "10.42.0.0/16", "via", &via]).unwrap();
    let client = fleet.host_netns("client").unwrap();
    assert!(ask_tcp(&client, &at(&fleet.ip("near").unwrap())).is_err(), "the outside reached a container");
    assert!(dropped(&fleet.lab, "h1", DropReason::OutsideToOverlay).unwrap() > 0);
}

#[test]
fn a_container_cannot_speak_with_another_address_than_its_own() {
    let fleet = fleet("m8").unwrap();
    let pid = fleet.pid("a").unwrap().to_string();
    let net = format!("--net=/proc/{pid}/ns/net");
    let forged = fleet.ip("near").unwrap();
    fleet.lab.output("h1", &["nsenter", &net, "ip", "addr", "add", &format!("{forged}/32"), "dev", "eth0"]).unwrap();
    let far = fleet.ip("far").unwrap();
    let pinged = fleet.lab.run("h1", &["nsenter", &net, "ping", "-c1", "-W1", "-I", &forged, &far]).unwrap();
    assert!(!pinged.status.success(), "a forged source was answered");
    assert!(dropped(&fleet.lab, "h1", DropReason::SpoofedSource).unwrap() > 0);
}

#[test]
fn nothing_is_left_of_a_fleet_that_ended() {
    let fleet = fleet("m9").unwrap();
    let name = fleet.lab.name.clone();
    drop(fleet);
    assert_eq!(residue(&name), Vec::<String>::new());
}
