//! What the demo shows, in order; each step checks what it says and returns it in words.

use super::death;
use super::fleet::{Fleet, counts, rate};
use crate::cargo;
use anyhow::{Context, Result, bail, ensure};
use remuda_lab::wait_for;
use std::time::{Duration, Instant};

type Step = fn(&Fleet) -> Result<String>;

pub const ALL: [(&str, Step); 10] = [
    ("stack up", stack_up),
    ("VIP", vip_balances),
    ("names", names_are_shuffled),
    ("published port", published_everywhere),
    ("published UDP", udp_everywhere),
    ("page", page_from_outside),
    ("host processes", host_reaches_all),
    ("a host dies", death::host_dies),
    ("it comes back", death::host_returns),
    ("maintenance", death::host_drained),
];

const CONNECTIONS: &str = "1000";
const REPLICAS: usize = 6;
/// nginx listens a moment after it runs; a loaded machine takes longer.
const FIRST_PAGE_LIMIT: Duration = Duration::from_secs(20);

fn stack_up(fleet: &Fleet) -> Result<String> {
    let file = cargo::at("examples/shop/compose.yaml").display().to_string();
    let started = Instant::now();
    fleet.remuda(&["up", "-f", &file, "-s", "shop"])?;
    let took = started.elapsed();
    let containers = fleet.list(&["ps"])?;
    let mut lines = format!("{} containers run after {:.1} s", containers.len(), took.as_secs_f32());
    let (_, first) = fleet.hosts().first().cloned().context("a lab has hosts")?;
    wait_for("a first page", FIRST_PAGE_LIMIT, || fetch(fleet, &format!("http://{first}:8080/")).map(Some))?;
    lines.push_str(&format!(", a first page from the outside after {:.1} s", started.elapsed().as_secs_f32()));
    for (host, _) in fleet.hosts() {
        let names = containers.iter().filter(|container| container["host"] == host.as_str());
        let names: Vec<&str> = names.filter_map(|container| container["name"].as_str()).collect();
        lines.push_str(&format!("\n{host}: {}", names.join(" ")));
    }
    Ok(lines)
}

pub fn fetch(fleet: &Fleet, url: &str) -> Result<String> {
    fleet.command("client", &["curl", "--silent", "--show-error", "--fail", "--max-time", "5", url])
}

fn vip_balances(fleet: &Fleet) -> Result<String> {
    let text = fleet.inside(&["visit", "vip.web.shop:80", CONNECTIONS])?;
    let backends = counts(&text, "backend");
    ensure!(backends.len() == REPLICAS, "{} of {REPLICAS} replicas answered: {text}", backends.len());
    let shares: Vec<String> =
        backends.iter().map(|(name, times)| format!("{} {times}", name.trim_start_matches("shop-"))).collect();
    Ok(format!("{CONNECTIONS} connections from a container, {} per second: {}", rate(&text), shares.join(", ")))
}

fn names_are_shuffled(fleet: &Fleet) -> Result<String> {
    let text = fleet.inside(&["look-up", "web.shop", "1000"])?;
    let firsts = counts(&text, "first");
    ensure!(firsts.len() == REPLICAS, "{} of {REPLICAS} addresses came first: {text}", firsts.len());
    let shares: Vec<f64> = firsts.iter().map(|(_, times)| f64::from(*times) / 10.0).collect();
    let (least, most) =
        shares.iter().fold((100.0f64, 0.0f64), |(least, most), share| (least.min(*share), most.max(*share)));
    Ok(format!(
        "1000 look-ups of web.shop from a container: each of {REPLICAS} addresses first in {least:.1} to {most:.1} %, {} per second",
        rate(&text)
    ))
}

fn published_everywhere(fleet: &Fleet) -> Result<String> {
    let client = fleet.lab.state.client.ip.clone();
    let mut parts = Vec::new();
    for (host, ip) in fleet.hosts() {
        let text = fetch(fleet, &format!("http://{ip}:8080/whoami"))?;
        let (backend, seen) = text.trim().split_once(' ').with_context(|| format!("{host} answered {text:?}"))?;
        if seen != client {
            bail!("{backend} behind {host} saw {seen}, not the client's own {client}");
        }
        parts.push(format!("{host}:8080 by {}", backend.trim_start_matches("shop-")));
    }
    Ok(format!("{}; each saw the client's own {client}", parts.join(", ")))
}

fn udp_everywhere(fleet: &Fleet) -> Result<String> {
    let client = fleet.lab.state.client.ip.clone();
    let (name, home, _) = fleet.containers("echo")?.into_iter().next().context("no container of service echo")?;
    for (host, ip) in fleet.hosts() {
        let text = fleet.on("client", &["say", &format!("{ip}:7000"), "hello"])?;
        ensure!(
            text.starts_with(&format!("{name} saw {client}: hello")),
            "{host} answered {text:?}, expected {name} to see {client}"
        );
    }
    let others: Vec<String> = fleet.hosts().into_iter().map(|(host, _)| host).filter(|host| *host != home).collect();
    Ok(format!(
        "{name} on {home} answers at {home}:7000 and at {}, which run none of it; it saw {client}",
        others.join(", ")
    ))
}

fn page_from_outside(fleet: &Fleet) -> Result<String> {
    let (host, ip) = fleet.hosts().pop().context("a lab has hosts")?;
    let started = Instant::now();
    let page = fetch(fleet, &format!("http://{ip}:8080/"))?;
    let took = started.elapsed();
    let line = page.lines().find_map(|line| line.strip_prefix("<p>")?.strip_suffix("</p>"));
    Ok(format!(
        "from {host} in {} ms: {}",
        took.as_millis(),
        line.with_context(|| format!("not the shop's page: {page:?}"))?
    ))
}

fn host_reaches_all(fleet: &Fleet) -> Result<String> {
    let (host, _) = fleet.hosts().pop().context("a lab has hosts")?;
    let containers = fleet.containers("web")?;
    let (name, _, ip) = containers.iter().find(|(_, on, _)| *on != host).context("every replica is on one host")?;
    let services = fleet.list(&["services"])?;
    let web = services.iter().find(|service| service["stack"] == "shop" && service["name"] == "web");
    let vip = web.and_then(|web| web["vip"].as_str()).context("remuda services lists no VIP for shop web")?;
    let mut parts = Vec::new();
    for (what, to) in
        [(name.as_str(), format!("{ip}:80")), ("VIP", format!("{vip}:80")), ("published", "127.0.0.1:8080".into())]
    {
        let text =
            fleet.on(&host, &["visit", &to, "1"]).with_context(|| format!("a process on {host} to {what} {to}"))?;
        let (seen, _) = *counts(&text, "seen").first().with_context(|| format!("{to} answered {text:?}"))?;
        parts.push(format!("{what} {to} as {seen}"));
    }
    Ok(format!("on {host} reach {}", parts.join(", ")))
}
