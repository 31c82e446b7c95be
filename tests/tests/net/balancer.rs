//! A service without containers: its published port and the ports of its VIP lead to the containers of others, at
//! another port, from outside and inside, on every host, while its targets come and go.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use remuda_api::assignment::{Service, ServicePort};
use remuda_tests::fleet::{Fleet, Wanted, service};
use remuda_tests::lasting::{Echo, Talkers};
use remuda_tests::talk::{Mirror, ask_tcp, ask_udp};

const WEB: u32 = 50;
const API: u32 = 51;
const PUBLISHED: u32 = 8080;
/// At the balancer's VIP, and where its targets listen.
const SOURCE: u32 = 80;
const TARGET: u32 = 7000;
/// At the VIP alone, and of one target alone.
const INSIDE: u32 = 81;
const VIP: &str = "10.43.0.60";
const HOSTS: [&str; 2] = ["h1", "h2"];
/// An agent that needs longer for an assignment is stuck.
const SYNC_LIMIT: Duration = Duration::from_secs(20);
/// Connections to each host's address, each time: all backends are met but once in a million times.
const EACH: usize = 12;

/// `web` and `api` are behind `lb`.
fn services() -> Vec<Service> {
    let port = |protocol: &str, source, backend_services: &[u32]| ServicePort {
        protocol: protocol.into(),
        target: TARGET,
        mode: "ingress".into(),
        backend_services: backend_services.to_vec(),
        source,
        ..ServicePort::default()
    };
    let published = ServicePort { published: PUBLISHED, frontend_id: 61, ..port("tcp", SOURCE, &[WEB, API]) };
    let ports = vec![published, port("udp", SOURCE, &[API]), port("tcp", INSIDE, &[API])];
    let lb = Service { kind: "balancer".into(), endpoint_mode: "vip".into(), ports, ..service(60, "lb", VIP) };
    vec![service(WEB, "web", "10.43.0.50"), service(API, "api", "10.43.0.51"), lb]
}

/// `web1` on h1, `web2` and `api1` on h2, and who asks on both; those named drain, those not born yet serve nothing.
fn wanted(draining: &[&str], unborn: &[&str]) -> Vec<Wanted> {
    let all = [("web1", 0, WEB), ("web2", 1, WEB), ("api1", 1, API), ("near", 0, 0), ("far", 1, 0)];
    let one = |(name, host, service_id): (&'static str, usize, u32)| Wanted {
        name,
        host,
        service_id: if unborn.contains(&name) { 0 } else { service_id },
        draining: draining.contains(&name),
        ..Wanted::default()
    };
    all.map(one).to_vec()
}

fn fleet(name: &str) -> Result<Fleet> {
    let mut fleet = Fleet::up(name, HOSTS.len())?;
    fleet.assign(&services(), &wanted(&[], &[]))?;
    fleet.synced(SYNC_LIMIT)?;
    Ok(fleet)
}

fn published_at(fleet: &Fleet) -> Result<Vec<SocketAddr>> {
    HOSTS.iter().map(|host| Ok(format!("{}:{PUBLISHED}", fleet.lab.host(host)?.underlay_ip).parse()?)).collect()
}

#[test]
fn outside_and_inside_reach_the_targets_at_their_own_port_and_are_seen_as_who_they_are() -> Result<()> {
    let fleet = fleet("lb")?;
    let at: SocketAddr = format!("0.0.0.0:{TARGET}").parse()?;
    let mirrors = ["web1", "web2", "api1"].map(|name| Mirror::start(&fleet.netns(name)?, name, at));
    let _mirrors = mirrors.into_iter().collect::<Result<Vec<_>>>()?;
    let (outside, client) = (fleet.host_netns("client")?, fleet.lab.state.client.ip.clone());
    for to in published_at(&fleet)? {
        let mut met = Vec::new();
        for _ in 0..3 * EACH {
            let answer = ask_tcp(&outside, &to.to_string())?;
            assert_eq!((answer.client.ip().to_string(), answer.peer), (client.clone(), to));
            met.push(answer.server);
        }
        met.sort();
        met.dedup();
        assert_eq!(met, ["api1", "web1", "web2"], "whom {to} leads to");
    }
    for name in ["near", "far"] {
        let (from, ip) = (fleet.netns(name)?, fleet.ip(name)?);
        let to = format!("{VIP}:{SOURCE}");
        let answer = ask_tcp(&from, &to)?;
        assert_eq!((answer.client.ip().to_string(), answer.peer.to_string()), (ip.clone(), to.clone()));
        let answer = ask_udp(&from, &to).context("UDP has a rule of its own")?;
        assert_eq!((answer.server.as_str(), answer.client.ip().to_string()), ("api1", ip));
        assert_eq!(answer.peer.to_string(), to);
        assert_eq!(ask_tcp(&from, &format!("{VIP}:{INSIDE}"))?.server, "api1", "a rule that is not published");
        for dead in [TARGET, 22] {
            let refused = ask_tcp(&from, &format!("{VIP}:{dead}")).unwrap_err();
            assert!(format!("{refused:#}").contains("refused"), "{dead} has no rule: {refused:#}");
        }
        let host = &published_at(&fleet)?[0];
        assert_eq!(ask_tcp(&from, &host.to_string())?.client.ip().to_string(), fleet.ip(name)?);
    }
    Ok(())
}

#[test]
fn connections_through_a_balancer_live_through_targets_that_come_drain_and_go() -> Result<()> {
    let mut fleet = fleet("lbscale")?;
    let at: SocketAddr = format!("0.0.0.0:{TARGET}").parse()?;
    let echoes = ["web1", "web2", "api1"].map(|name| Echo::start(&fleet.netns(name)?, name, at));
    let _echoes = echoes.into_iter().collect::<Result<Vec<_>>>()?;
    let to = published_at(&fleet)?;
    let talkers = Talkers::start(&fleet.host_netns("client")?);
    let met = talkers.open(&to, EACH)?;
    ensure!(["web1", "web2", "api1"].iter().all(|name| met.iter().any(|m| m == name)), "all serve: {met:?}");
    for (draining, unborn) in [(&["web2"][..], &[][..]), (&["web1"], &[]), (&[], &["api1"]), (&["web2"], &["api1"])] {
        // Who does not serve and does not drain is cut off by right.
        talkers.close(unborn);
        fleet.assign(&services(), &wanted(draining, unborn))?;
        fleet.synced(SYNC_LIMIT)?;
        let met = talkers.open(&to, EACH)?;
        let out = [draining, unborn].concat();
        ensure!(met.iter().all(|name| !out.contains(&name.as_str())), "{out:?} are out: {met:?}");
        let (open, broken) = talkers.heard();
        ensure!(open > 0 && broken.is_empty(), "with {draining:?} draining: {broken:#?}");
        println!("with {draining:?} draining and {unborn:?} gone: {open} connections, 0 broken");
    }
    talkers.close(&["web1", "web2", "api1"]);
    fleet.assign(&services(), &wanted(&[], &["web1", "web2", "api1"]))?;
    fleet.synced(SYNC_LIMIT)?;
    ensure!(talkers.open(&to[..1], 1).is_err(), "somebody is met though nobody serves");
    Ok(())
}
