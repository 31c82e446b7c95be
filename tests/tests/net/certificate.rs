//! Certificates that expired while nobody could renew them: the host comes back by itself.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rcgen::{CertificateParams, KeyPair};
use remuda_lab::{Lab, netns, wait_for};
use remuda_orchestrator::pki::Ca;
use remuda_tests::stack::{Fleet, text};

const STACK: &str = "services:
  web:
    command: [sleep, '86400']
    deploy: {mode: global}
";
const LIMIT: Duration = Duration::from_secs(30);

/// Gives h2, whose agent does not run, a certificate over its own key that ends after `life`.
fn shorten(lab: &Lab, life: Duration) -> Result<()> {
    let server = lab.state.server.as_ref().context("this lab has a server")?;
    let host = lab.host("h2")?;
    let key = KeyPair::from_pem(&std::fs::read_to_string(host.data_dir.join("agent.key"))?)?;
    let request = CertificateParams::default().serialize_request(&key)?.pem()?;
    let node_id = std::fs::read_to_string(host.data_dir.join("agent.node"))?.trim().parse()?;
    let certificate = Ca::open(&server.data_dir)?.node_for(node_id, &request, life)?;
    Ok(std::fs::write(host.data_dir.join("agent.crt"), certificate.pem)?)
}

/// The agent of h2 alone, without waiting for a server to list it.
fn start_agent(lab: &Lab) -> Result<()> {
    let host = lab.host("h2")?;
    let root = host.bpf_dir.parent().context("pins have a folder")?.display().to_string();
    let environment = [("REMUDA_LAB", lab.name.clone()), ("REMUDA_BPF_ROOT", root)];
    netns::spawn_detached(&host.netns, &host.argv, &environment, Stdio::null(), &host.data_dir.join("remuda.log"))?;
    Ok(())
}

/// Waits until h2 has a good certificate again and the server hears what it runs, as before.
fn wait_back(fleet: &Fleet, before: &serde_json::Value) -> Result<()> {
    wait_for("the expired certificate was renewed", LIMIT, || {
        let events = fleet.list(&["events"])?;
        let is_it = |e: &&serde_json::Value| text(e, "kind") == "certificate-renewed" && text(e, "object") == "h2";
        let renewed = events.iter().rfind(is_it);
        Ok(renewed.filter(|event| text(event, "message") == "renewed an expired certificate").map(drop))
    })?;
    wait_for("h2 is ready and runs what it ran", LIMIT, || {
        let hosts = fleet.list(&["hosts"])?;
        let is_ready = hosts.iter().any(|host| text(host, "name") == "h2" && text(host, "state") == "ready");
        let now = fleet.containers()?;
        let is_same = now.iter().any(|c| c["name"] == before["name"] && c["pid"] == before["pid"]);
        if is_ready && is_same { Ok(Some(())) } else { bail!("{hosts:?} {now:?}") }
    })
}

#[test]
fn an_agent_started_with_an_expired_certificate_renews_it_and_goes_on() -> Result<()> {
    let mut fleet = Fleet::up("expired", 2)?;
    fleet.deploy("app", STACK)?;
    let before = fleet.containers()?.into_iter().find(|c| c["host"] == "h2").context("it runs on h2")?;
    fleet.lab.kill("h2")?;
    shorten(&fleet.lab, Duration::from_secs(1))?;
    // A certificate knows whole seconds only.
    std::thread::sleep(Duration::from_millis(2_100));
    start_agent(&fleet.lab)?;
    wait_back(&fleet, &before)
}

#[test]
fn a_certificate_that_expires_while_the_server_is_away_is_renewed_when_it_is_back() -> Result<()> {
    let mut fleet = Fleet::up("expires", 2)?;
    fleet.deploy("app", STACK)?;
    let before = fleet.containers()?.into_iter().find(|c| c["host"] == "h2").context("it runs on h2")?;
    fleet.lab.kill("server")?;
    fleet.lab.kill("h2")?;
    shorten(&fleet.lab, Duration::from_secs(3))?;
    start_agent(&fleet.lab)?;
    std::thread::sleep(Duration::from_millis(4_100));
    fleet.lab.start("server")?;
    wait_back(&fleet, &before)
}
