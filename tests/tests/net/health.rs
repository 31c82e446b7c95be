//! Health as a host finds it out by itself: checks of others' containers, commands in its own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use remuda_api::assignment::Check;
use remuda_api::health::HealthCommand;
use remuda_lab::{Lab, netns, process, wait_for, wait_until};
use remuda_tests::fleet::{Fleet, Wanted, service};
use remuda_tests::talk::{Mirror, ask_tcp};

use std::io::{Read, Write};

const WEB: &str = "test-web-1";
const CLIENT: &str = "test-client-1";
const VIP: &str = "10.43.0.10";
const PORT: u32 = 7000;
const INTERVAL_MS: u64 = 200;
const TIMEOUT_MS: u64 = 300;
const FALL: u32 = 3;
/// A changed outcome takes the interval times the failures in a row, a timeout, and what a loaded machine adds.
const LIMIT: Duration = Duration::from_secs(5);

/// h1 runs WEB, h2 runs CLIENT.
fn fleet(name: &str) -> Result<Fleet> {
    let mut fleet = Fleet::up(name, 2)?;
    let wanted = [
        Wanted { name: WEB, host: 0, service_id: 50, ..Wanted::default() },
        Wanted { name: CLIENT, host: 1, ..Wanted::default() },
    ];
    fleet.assign(&[service(50, "web", VIP)], &wanted)?;
    Ok(fleet)
}

/// Changes what one host is told.
fn tell(lab: &Lab, host: &str, change: impl FnOnce(&mut remuda_api::assignment::Assignment)) -> Result<()> {
    let mut told = lab.assignment(host)?;
    told.generation += 1;
    change(&mut told);
    lab.assign(host, &told)
}

/// Answers every HTTP request in the namespace with the status in `code`; 0 = closes without a word. Ends with the
/// test's process.
fn serve_http(namespace: &str, code: Arc<AtomicU16>) -> Result<()> {
    let at = SocketAddr::from(([0, 0, 0, 0], PORT as u16));
    let listener = netns::inside(namespace, || TcpListener::bind(at))??;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            match code.load(Ordering::Relaxed) {
                0 => {}
                code => {
                    let _ = stream.write_all(format!("HTTP/1.0 {code} As Told\r\nX: y\r\n\r\nbody").as_bytes());
                }
            }
        }
    });
    Ok(())
}

fn wait_outcome(lab: &Lab, host: &str, outcome: &str, reason: &str) -> Result<()> {
    wait_for(&format!("the check of {host} is {outcome}: {reason:?}"), LIMIT, || {
        let status = lab.ask(host, "status")?;
        let check = &status["checks"][0];
        let is_so = check["outcome"] == outcome && check["reason"] == reason;
        if is_so { Ok(Some(())) } else { bail!("{status}") }
    })
}

#[test]
fn a_check_over_the_overlay_passes_fails_and_says_why() -> Result<()> {
    let fleet = fleet("checks")?;
    let code = Arc::new(AtomicU16::new(200));
    serve_http(&fleet.netns(WEB)?, code.clone())?;
    let check = Check {
        endpoint_id: 1000,
        container: WEB.into(),
        ip: fleet.ip(WEB)?,
        port: PORT,
        request_line: "GET /ping HTTP/1.0".into(),
        interval_ms: INTERVAL_MS,
        timeout_ms: TIMEOUT_MS,
        rise: 2,
        fall: FALL,
    };
    // From the other host, and from the container's own: the one that is alone checks itself.
    for host in ["h1", "h2"] {
        tell(&fleet.lab, host, |told| told.checks = vec![check.clone()])?;
        wait_outcome(&fleet.lab, host, "passing", "")?;
    }
    for (answer, reason) in [(500, "answered 500 As Told"), (0, "closed the connection without an answer")] {
        code.store(answer, Ordering::Relaxed);
        wait_outcome(&fleet.lab, "h2", "failing", reason)?;
    }
    code.store(302, Ordering::Relaxed);
    wait_outcome(&fleet.lab, "h2", "passing", "")?;
    tell(&fleet.lab, "h2", |told| told.checks = vec![Check { port: PORT + 1, ..check.clone() }])?;
    wait_outcome(&fleet.lab, "h2", "failing", "connect: connection refused")?;
    tell(&fleet.lab, "h2", |told| told.checks = vec![check.clone()])?;
    wait_outcome(&fleet.lab, "h2", "passing", "")?;
    fleet.lab.cut("h1")?;
    wait_outcome(&fleet.lab, "h2", "failing", &format!("no answer within {TIMEOUT_MS} ms"))?;
    tell(&fleet.lab, "h2", |told| told.checks = vec![])?;
    wait_for("the check ends", LIMIT, || {
        Ok((fleet.lab.ask("h2", "status")?["checks"] == serde_json::json!([])).then_some(()))
    })
}

fn health_of(lab: &Lab) -> Result<(String, String)> {
    let status = lab.ask("h1", "status")?;
    let containers = status["containers"].as_array().context("no containers")?;
    let web = containers.iter().find(|c| c["name"] == WEB).with_context(|| format!("no {WEB}: {status}"))?;
    let word = |name: &str| web[name].as_str().unwrap_or_default().to_owned();
    Ok((word("health"), word("reason")))
}

fn wait_health(lab: &Lab, health: &str, reason: &str) -> Result<()> {
    wait_for(&format!("{WEB} is {health}: {reason:?}"), LIMIT, || {
        let seen = health_of(lab)?;
        if seen == (health.to_owned(), reason.to_owned()) { Ok(Some(())) } else { bail!("{seen:?}") }
    })
}

#[test]
fn a_container_whose_command_does_not_pass_takes_no_new_flows_on_its_host_and_an_agent_restart_changes_nothing()
-> Result<()> {
    let mut fleet = fleet("command")?;
    let mirror = Mirror::start(&fleet.netns(WEB)?, "web", SocketAddr::from(([0, 0, 0, 0], PORT as u16)))?;
    let (host, to) = (fleet.host_netns("h1")?, format!("{VIP}:{PORT}"));
    ask_tcp(&host, &to).context("without a command, running is healthy")?;
    let flag = fleet.lab.dir().join("well");
    let script = format!("echo looking; test -e {} || {{ echo not well >&2; exit 3; }}", flag.display());
    let command = HealthCommand {
        interval_ms: INTERVAL_MS,
        retries: FALL,
        ..HealthCommand::new(vec!["/bin/sh".into(), "-c".into(), script])
    };
    // In place, as a service whose healthcheck changed: what was healthy stays so until it fails.
    tell(&fleet.lab, "h1", |told| told.containers[0].health_command = Some(command.clone()))?;
    wait_health(&fleet.lab, "unhealthy", "exited with code 3: not well")?;
    wait_until("the VIP refuses", LIMIT, || ask_tcp(&host, &to).is_err())?;
    std::fs::write(&flag, "")?;
    wait_health(&fleet.lab, "healthy", "")?;
    wait_until("the VIP leads to it", LIMIT, || ask_tcp(&host, &to).is_ok())?;

    fleet.lab.kill("h1")?;
    fleet.lab.start("h1")?;
    for _ in 0..20 {
        ask_tcp(&host, &to).context("the new agent took it out of the list")?;
        assert_eq!(health_of(&fleet.lab)?.0, "healthy");
    }
    drop(mirror);
    // A new start of it has proved nothing yet.
    std::fs::remove_file(&flag)?;
    tell(&fleet.lab, "h1", |told| told.containers[0].spec_revision += 1)?;
    wait_health(&fleet.lab, "initializing", "")?;
    wait_health(&fleet.lab, "unhealthy", "exited with code 3: not well")
}

#[test]
fn a_command_that_does_not_end_in_time_is_killed_with_what_it_started() -> Result<()> {
    let fleet = fleet("slow")?;
    let mark = format!("8{:07}11", std::process::id());
    let script = format!("trap '' HUP TERM; sleep {mark} & sleep {mark}");
    let command = HealthCommand {
        interval_ms: INTERVAL_MS,
        timeout_ms: TIMEOUT_MS,
        retries: 1,
        ..HealthCommand::new(vec!["/bin/sh".into(), "-c".into(), script])
    };
    tell(&fleet.lab, "h1", |told| told.containers[0].health_command = Some(command))?;
    wait_health(&fleet.lab, "unhealthy", &format!("no answer within {TIMEOUT_MS} ms"))?;
    let sleeping = || process::all().into_iter().filter(|pid| process::argv(*pid).last() == Some(&mark)).count();
    tell(&fleet.lab, "h1", |told| told.containers[0].health_command = None)?;
    wait_until("nothing of it is left", LIMIT, || sleeping() == 0)
}
