//! `bench vip`: connections to a backend by its address, through its VIP, and through iptables DNAT, round by round.

use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::time::Duration;

use super::connect::{Rate, measure, serve};
use super::fleet::Fleet;
use super::peers::IptablesDnat;
use super::report::Report;

const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(1500);
const PORT: u16 = 7000;
/// An address nobody has: iptables alone answers for it.
const IPTABLES_VIP: &str = "10.98.0.1";

pub fn run() -> Result<()> {
    let fleet = Fleet::two_containers()?;
    let [client, server] = &fleet.containers;
    let direct: SocketAddr = format!("{}:{PORT}", server.ip).parse().context("the container's address")?;
    let vip: SocketAddr = format!("{}:{PORT}", server.vip).parse().context("the service's VIP")?;
    serve(&server.netns, direct)?;
    let mut report = Report::new("vip");
    for round in 0..ROUNDS {
        eprintln!("round {} of {ROUNDS}", round + 1);
        note(&mut report, "direct", &measure(&client.netns, direct, ROUND)?);
        note(&mut report, "remuda VIP", &measure(&client.netns, vip, ROUND)?);
        let rules = IptablesDnat::install(&client.netns, IPTABLES_VIP, PORT, &server.ip)?;
        let peer: SocketAddr = format!("{IPTABLES_VIP}:{PORT}").parse()?;
        note(&mut report, "iptables DNAT", &measure(&client.netns, peer, ROUND)?);
        drop(rules);
    }
    for (path, floor) in [("remuda VIP", Some(0.95)), ("iptables DNAT", None)] {
        let name = format!("connections/s, {path} : direct");
        report.ratio(&name, &format!("connections, {path}"), "connections, direct", floor);
        let name = format!("connect + 1 byte each way, direct : {path}");
        report.ratio(&name, "round trip, direct", &format!("round trip, {path}"), None);
    }
    report.print();
    report.save()
}

fn note(report: &mut Report, path: &str, rate: &Rate) {
    report.sample(&format!("connections, {path}"), "1/s", rate.per_second);
    report.sample(&format!("round trip, {path}"), "us", rate.round_trip_us);
}
