//! What a bare Debian 12 lacks for lab, demo, tests and benches: installed once, each with its reason.

use crate::apt::{self, Package};
use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use std::fs;

/// Hosts as namespaces: root, iproute2, nftables, bpffs.
pub fn lab() -> Result<()> {
    must_be_root()?;
    apt::install(&lab_packages())?;
    mount_bpffs()
}

/// The lab, and the real software of the example stack.
pub fn demo() -> Result<()> {
    lab()?;
    apt::install(&demo_packages())
}

/// The lab, and an engine for its hosts.
pub fn engine() -> Result<()> {
    lab()?;
    apt::install(&engine_packages())
}

/// The demo's software, and what the namespace tests look with.
pub fn tests() -> Result<()> {
    demo()?;
    apt::install(&test_packages())?;
    apt::install(&engine_packages())
}

/// The lab, and the peers and load generators of the benches.
pub fn bench() -> Result<()> {
    lab()?;
    apt::install(&bench_packages())
}

pub fn everything() -> Result<()> {
    tests()?;
    bench()
}

fn lab_packages() -> Vec<Package> {
    vec![
        Package::new("iproute2", "ip", "namespaces and links of the lab"),
        Package::new("nftables", "nft", "the agent's SNAT table"),
    ]
}

fn demo_packages() -> Vec<Package> {
    vec![
        Package::new("nginx-light", "nginx", "the example stack's web service"),
        Package::new("redis-server", "redis-server", "the example stack's store"),
        Package::new("curl", "curl", "fetching a page from the outside"),
    ]
}

fn engine_packages() -> Vec<Package> {
    vec![Package::new(
        "docker.io",
        "dockerd",
        "lab and tests with runtime docker: a dockerd per host, started by the lab",
    )]
}

fn test_packages() -> Vec<Package> {
    vec![
        Package::new("iputils-ping", "ping", "namespace tests"),
        Package::new("procps", "ps", "namespace tests"),
        Package::new("ethtool", "ethtool", "namespace tests"),
        Package::new("dnsutils", "dig", "DNS tests"),
        Package::new("netcat-openbsd", "nc.openbsd", "namespace tests"),
        Package::new("busybox-static", "/usr/share/doc/busybox-static", "engine tests: what their images are made of"),
        Package::new("faketime", "faketime", "fault tests: another time of day for one process"),
    ]
}

fn bench_packages() -> Vec<Package> {
    vec![
        Package::new("iperf3", "iperf3", "bench overlay: streams"),
        Package::new("sockperf", "sockperf", "bench overlay: request and response"),
        Package::new("ethtool", "ethtool", "bench overlay: frames of one MTU on the link"),
        Package::new("iptables", "iptables", "bench vip: the peer, DNAT as kube-proxy writes it"),
    ]
}

fn must_be_root() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!("this needs root: it makes network namespaces and loads kernel programs; run it with sudo");
    }
    Ok(())
}

const BPFFS: &str = "/sys/fs/bpf";

fn mount_bpffs() -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("reading /proc/self/mountinfo")?;
    if mounts.lines().any(|line| line.split(' ').nth(4) == Some(BPFFS) && line.contains(" - bpf ")) {
        return Ok(());
    }
    println!("mounting bpffs at {BPFFS}: maps and programs are pinned there");
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("cannot mount bpffs at {BPFFS}; is this kernel built with BPF?"))
}
