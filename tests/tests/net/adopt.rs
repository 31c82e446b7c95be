//! A new agent goes on from what the one before left: also from the middle of a change, also without an orchestrator.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use remuda_api::assignment::{Assignment, ServicePort};
use remuda_lab::{Lab, netns, process, wait_for};
use remuda_tests::fleet::{self, Wanted};
use remuda_tests::stack;
use remuda_tests::{pins, talk};

const LIMIT: Duration = Duration::from_secs(20);
const NAMES: [&str; 6] = ["test-a-1", "test-a-2", "test-b-1", "test-b-2", "test-c-1", "test-c-2"];
/// Changes, each of which costs the agent its life.
const CHANGES: u64 = 14;

/// Six containers of three services on one host: what is there in the end.
fn final_state(name: &str) -> Result<fleet::Fleet> {
    let mut fleet = fleet::Fleet::up(name, 1)?;
    let service = |n: u32| {
        let mut service = fleet::service(50 + n, ["a", "b", "c"][n as usize], &format!("10.43.0.1{n}"));
        let (protocol, mode) = ("tcp".into(), "ingress".into());
        service.ports = vec![ServicePort {
            protocol,
            published: 8080 + n,
            target: 7000,
            mode,
            frontend_id: 60 + n,
            ..ServicePort::default()
        }];
        service
    };
    let wanted = |at: usize| Wanted { name: NAMES[at], service_id: 50 + at as u32 / 2, ..Wanted::default() };
    fleet.assign(&[service(0), service(1), service(2)], &[0, 1, 2, 3, 4, 5].map(wanted))?;
    Ok(fleet)
}

/// A part of the whole, another one for every seed.
fn part(whole: &Assignment, generation: u64) -> Assignment {
    let bit = |n: usize| generation.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (n * 3 + 7) & 1 == 1;
    let mut part = Assignment { generation, ..whole.clone() };
    for (n, name) in NAMES.iter().enumerate() {
        if bit(n) {
            part.endpoints.retain(|endpoint| endpoint.name != *name);
            part.containers.retain(|container| container.name != *name);
        } else if bit(n + 6) {
            part.endpoints.iter_mut().filter(|e| e.name == *name).for_each(|e| e.serving = false);
            part.containers.iter_mut().filter(|c| c.name == *name).for_each(|c| c.spec_revision = 1 + generation);
        }
    }
    if bit(12) {
        part.services.remove(0);
        part.endpoints.retain(|endpoint| endpoint.service_id != 50);
    }
    part
}

/// What the agent observes of the kernel, in words, and how many entries each map has.
fn held(lab: &Lab, generation: u64) -> Result<(String, BTreeMap<String, usize>)> {
    lab.wait_synced("h1", generation, LIMIT)?;
    let observed = lab.ask("h1", "observed")?;
    let text = observed["observed"].as_str().context("no observation")?;
    let kernel = text.split("\n    units:").next().unwrap_or_default().to_owned();
    Ok((kernel, pins::entries(lab, "h1")?))
}

#[test]
fn a_host_whose_agent_was_killed_in_the_middle_of_every_change_holds_what_a_fresh_one_holds() -> Result<()> {
    let mut tried = final_state("tried")?;
    let whole = tried.lab.assignment("h1")?;
    let fresh_pids: Vec<u32> = NAMES.iter().map(|name| tried.pid(name)).collect::<Result<_>>()?;
    ensure!(fresh_pids.len() == NAMES.len());
    for change in 1..=CHANGES {
        tried.lab.assign("h1", &part(&whole, whole.generation + change))?;
        // Not a wait for something: the crash shall come at another moment of every change.
        std::thread::sleep(Duration::from_millis(change * change * 3));
        tried.lab.kill("h1")?;
        tried.lab.start("h1")?;
    }
    let last = whole.generation + CHANGES + 1;
    tried.lab.assign("h1", &Assignment { generation: last, ..whole.clone() })?;
    let after_crashes = held(&tried.lab, last)?;
    drop(tried);
    let fresh = final_state("fresh")?;
    let after_install = held(&fresh.lab, fresh.lab.assignment("h1")?.generation)?;
    assert_eq!(after_crashes.0, after_install.0);
    assert_eq!(after_crashes.1, after_install.1, "something was leaked or lost");
    Ok(())
}

const STACK: &str = "services:
  web:
    command: [sleep, '86400']
    restart: always
    deploy: {mode: global}
";

/// The agent alone, without waiting for a server to list it.
fn start_agent(lab: &Lab, host: &str) -> Result<()> {
    let host = lab.host(host)?;
    let root = host.bpf_dir.parent().context("pins have a folder")?.display().to_string();
    let environment = [("REMUDA_LAB", lab.name.clone()), ("REMUDA_BPF_ROOT", root)];
    netns::spawn_detached(&host.netns, &host.argv, &environment, Stdio::null(), &host.data_dir.join("remuda.log"))?;
    Ok(())
}

fn containers(lab: &Lab, host: &str) -> Result<Vec<serde_json::Value>> {
    let status = lab.ask(host, "status")?;
    status["containers"].as_array().cloned().with_context(|| format!("no containers: {status}"))
}

#[test]
fn an_agent_started_without_a_server_goes_on_from_what_it_stored() -> Result<()> {
    let mut fleet = stack::Fleet::up("alone", 2)?;
    fleet.deploy("app", STACK)?;
    let before = fleet.containers()?;
    let on = |host: &str| before.iter().find(|c| c["host"] == host).cloned().context("global: one on each host");
    let (near, far) = (on("h2")?, on("h1")?);
    let pid = near["pid"].as_u64().context("it runs")? as u32;
    let mirror = talk::Mirror::start(&fleet.netns(stack::text(&far, "name"))?, "far", "0.0.0.0:7000".parse()?)?;

    fleet.lab.kill("server")?;
    fleet.lab.kill("h2")?;
    start_agent(&fleet.lab, "h2")?;
    wait_for("the agent has adopted its container as it was", LIMIT, || {
        let now = containers(&fleet.lab, "h2")?;
        let is_same = now.iter().any(|c| c["pid"] == pid && c["state"] == "running" && c["restarts"] == 0);
        if is_same { Ok(Some(())) } else { bail!("{now:?}") }
    })?;
    let namespace = format!("/proc/{pid}/ns/net");
    let to = format!("{}:7000", stack::text(&far, "ip"));
    assert_eq!(talk::ask_tcp(&namespace, &to)?.server, "far");
    let names = netns::output(&namespace, &["dig", "+short", "+time=2", "@169.254.169.250", "web.app"])?;
    assert_eq!(names.lines().count(), 2, "{names}");

    process::kill_all(&[pid]);
    let restarted = wait_for("its agent restarts what crashed", LIMIT, || {
        let now = containers(&fleet.lab, "h2")?;
        Ok(now.iter().find(|c| c["state"] == "running" && c["restarts"] == 1).and_then(|c| c["pid"].as_u64()))
    })?;
    drop(mirror);
    fleet.lab.start("server")?;
    fleet.wait("the server hears of it and changes nothing", |all| {
        all.iter().find(|c| c["host"] == "h2" && c["pid"] == restarted && c["restarts"] == 1).map(drop)
    })?;
    let pids: Vec<_> = fleet.containers()?.iter().map(|c| c["pid"].as_u64()).collect();
    assert!(pids.contains(&far["pid"].as_u64()), "the server's own container was restarted: {pids:?}");
    Ok(())
}

#[test]
fn an_interface_deleted_by_hand_is_mended_within_a_second() -> Result<()> {
    let fleet = final_state("mended")?;
    let namespace = fleet.netns(NAMES[0])?;
    let addresses = || netns::output(&namespace, &["ip", "-4", "-o", "addr", "show", "scope", "global"]);
    let before = addresses()?;
    ensure!(before.contains(&fleet.ip(NAMES[0])?), "{before}");
    netns::output(&namespace, &["ip", "link", "del", "eth0"])?;
    wait_for("its address is back", Duration::from_secs(1), || {
        let now = addresses()?;
        if now.contains(&fleet.ip(NAMES[0])?) { Ok(Some(())) } else { bail!("{now:?}") }
    })
}
