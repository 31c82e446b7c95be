//! `bench overlay`: one TCP stream and one ping-pong between containers of two hosts, beside the hosts themselves and
//! the kernel's VXLAN, under the three conditions of ANCHORS.md, all interleaved in one run.

use anyhow::{Context, Result};
use remuda_lab::netns;
use std::process::{Child, Stdio};

use super::fleet::Fleet;
use super::peers::KernelVxlan;
use super::report::Report;
use super::xdp_pass;

/// Interleaved rounds: the median of seven ignores three disturbed ones.
const ROUNDS: usize = 7;
const STREAM_SECONDS: &str = "2";
const PING_SECONDS: &str = "1";
const SOCKPERF_PORT: &str = "11111";

/// Where a path begins and ends: namespaces of client and server, address dialled.
struct Path {
    name: &'static str,
    client: String,
    server: String,
    address: String,
    _servers: [Servers; 1],
}

pub fn run() -> Result<()> {
    let fleet = Fleet::two_containers()?;
    let hosts = [fleet.hosts[0].netns.as_str(), fleet.hosts[1].netns.as_str()];
    let underlay = [fleet.hosts[0].ip.as_str(), fleet.hosts[1].ip.as_str()];
    let kernel = KernelVxlan::build(hosts, underlay)?;
    let paths = [
        path("host to host", hosts[0], hosts[1], underlay[1])?,
        path("kernel vxlan", &kernel.netns(0), &kernel.netns(1), KernelVxlan::address(1))?,
        path("remuda", &fleet.containers[0].netns, &fleet.containers[1].netns, &fleet.containers[1].ip)?,
    ];
    let mut report = Report::new("overlay");
    plain(&paths, &mut report)?;
    mtu_frames(&fleet, &paths, &mut report)?;
    xdp_attached(&fleet, &paths, &mut report)?;
    report.print();
    report.save()
}

fn plain(paths: &[Path], report: &mut Report) -> Result<()> {
    streams("plain", paths, report)?;
    for round in 0..ROUNDS {
        eprintln!("request/response, round {} of {ROUNDS}", round + 1);
        for path in paths {
            report.sample(&format!("plain, ping-pong, {}", path.name), "us", ping(path)?);
        }
    }
    ratios("plain", 1.0, report);
    report.ratio(
        "plain: request/response, host-to-host : remuda",
        "plain, ping-pong, host to host",
        "plain, ping-pong, remuda",
        Some(0.95),
    );
    Ok(())
}

fn mtu_frames(fleet: &Fleet, paths: &[Path], report: &mut Report) -> Result<()> {
    for host in &fleet.hosts {
        netns::output(&host.netns, &["ethtool", "-K", "eth0", "tso", "off", "gro", "on"])?;
        netns::output(&host.link_netns, &["ethtool", "-K", &host.link, "tso", "off"])?;
    }
    streams("mtu frames", paths, report)?;
    for host in &fleet.hosts {
        netns::output(&host.netns, &["ethtool", "-K", "eth0", "tso", "on"])?;
        netns::output(&host.link_netns, &["ethtool", "-K", &host.link, "tso", "on"])?;
    }
    ratios("mtu frames", 1.0, report);
    Ok(())
}

fn xdp_attached(fleet: &Fleet, paths: &[Path], report: &mut Report) -> Result<()> {
    let mut attached = Vec::new();
    for host in &fleet.hosts {
        let link = netns::inside(&host.netns, || {
            let index = nix::net::if_::if_nametoindex("eth0").context("eth0 of the host")?;
            xdp_pass::attach(index)
        });
        attached.push(
            link.and_then(|attached| attached).with_context(|| format!("attaching XDP natively on {}", host.name))?,
        );
    }
    streams("xdp", paths, report)?;
    ratios("xdp", 1.0, report);
    drop(attached);
    Ok(())
}

fn ratios(condition: &str, floor: f64, report: &mut Report) {
    let stream = |path: &str| format!("{condition}, stream, {path}");
    let name = format!("{condition}: stream, remuda : kernel vxlan");
    report.ratio(&name, &stream("remuda"), &stream("kernel vxlan"), Some(floor));
    let name = format!("{condition}: stream, remuda : host-to-host");
    report.ratio(&name, &stream("remuda"), &stream("host to host"), None);
}

fn streams(condition: &str, paths: &[Path], report: &mut Report) -> Result<()> {
    for round in 0..ROUNDS {
        eprintln!("stream, {condition}, round {} of {ROUNDS}", round + 1);
        for path in paths {
            let before = received(&path.server)?;
            let gbits = stream(path)?;
            let after = received(&path.server)?;
            report.sample(&format!("{condition}, stream, {}", path.name), "Gb/s", gbits);
            if path.name == "remuda" {
                let mean = (after.0 - before.0) / (after.1 - before.1).max(1.0) / 1024.0;
                report.sample(&format!("{condition}, mean packet at the container"), "KiB", mean);
            }
        }
    }
    Ok(())
}

fn stream(path: &Path) -> Result<f64> {
    let text = netns::output(&path.client, &["iperf3", "-J", "-t", STREAM_SECONDS, "-c", &path.address])?;
    let json: serde_json::Value = serde_json::from_str(&text).context("iperf3's JSON")?;
    let bits = json["end"]["sum_received"]["bits_per_second"].as_f64();
    bits.map(|b| b / 1e9).with_context(|| format!("iperf3 over {} gave no result: {}", path.name, json["error"]))
}

/// Average latency as sockperf prints it: half a round trip, microseconds.
fn ping(path: &Path) -> Result<f64> {
    let text = netns::output(
        &path.client,
        &["sockperf", "ping-pong", "--tcp", "-i", &path.address, "-p", SOCKPERF_PORT, "-t", PING_SECONDS, "-m", "64"],
    )?;
    let line = text.lines().find(|l| l.contains("avg-lat=") || l.contains("avg-latency="));
    let value =
        line.and_then(|l| l.split("avg-lat").nth(1)).map(|l| l.trim_start_matches("ency").trim_start_matches('='));
    let number = value.and_then(|v| v.trim().split([' ', '(']).next()?.parse().ok());
    number.with_context(|| format!("sockperf over {} gave no average: {text}", path.name))
}

/// Bytes and packets that interface `eth0` of this namespace has received.
fn received(netns: &str) -> Result<(f64, f64)> {
    let text = netns::output(netns, &["cat", "/proc/net/dev"])?;
    let line = text.lines().find_map(|l| l.trim().strip_prefix("eth0:")).context("no eth0 there")?;
    let numbers: Vec<f64> = line.split_whitespace().take(2).filter_map(|n| n.parse().ok()).collect();
    Ok((numbers[0], numbers[1]))
}

fn path(name: &'static str, client: &str, server: &str, address: &str) -> Result<Path> {
    let servers = Servers::start(server, address).with_context(|| format!("measuring servers of {name}"))?;
    Ok(Path { name, client: client.into(), server: server.into(), address: address.into(), _servers: [servers] })
}

/// iperf3 and sockperf listening in one namespace; ended when dropped.
struct Servers(Vec<Child>);

impl Servers {
    fn start(netns: &str, address: &str) -> Result<Self> {
        let mut children = Vec::new();
        for argv in [
            vec!["iperf3", "-s", "-B", address],
            vec!["sockperf", "server", "--tcp", "-i", address, "-p", SOCKPERF_PORT],
        ] {
            let child =
                netns::command(netns, argv[0])?.args(&argv[1..]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            children.push(child.with_context(|| format!("starting {}", argv[0]))?);
        }
        let servers = Self(children);
        for port in ["5201", SOCKPERF_PORT] {
            super::wait_listening(netns, port)?;
        }
        Ok(servers)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
