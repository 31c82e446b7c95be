//! A container that is to stop keeps its flows until they end, or until its deadline.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remuda_lab::{netns, wait_for, wait_until};
use remuda_tests::fleet::{Fleet, Wanted, service};

const WEB: &str = "test-web-1";
const CLIENT: &str = "test-client-1";
const VIP: &str = "10.43.0.10";
const PORT: u16 = 7000;
/// What the agent waits at least; a flow that begins before is served.
const LEAST: Duration = Duration::from_millis(1_500);
const LIMIT: Duration = Duration::from_secs(10);

/// h1 runs WEB, which answers each byte with the same byte; h2 runs CLIENT.
fn fleet(name: &str) -> Result<Fleet> {
    let mut fleet = Fleet::up(name, 2)?;
    let wanted = [
        Wanted { name: WEB, host: 0, service_id: 50, ..Wanted::default() },
        Wanted { name: CLIENT, host: 1, ..Wanted::default() },
    ];
    fleet.assign(&[service(50, "web", VIP)], &wanted)?;
    let at = SocketAddr::from(([0, 0, 0, 0], PORT));
    let listener = netns::inside(&fleet.netns(WEB)?, || TcpListener::bind(at))??;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
    Ok(fleet)
}

/// Both hosts hear that WEB is to stop: out of lists and names, and on its own host with this time for its flows.
fn stop(fleet: &Fleet, drain_ms: u64) -> Result<()> {
    for host in ["h2", "h1"] {
        let mut told = fleet.lab.assignment(host)?;
        told.generation += 1;
        for endpoint in told.endpoints.iter_mut().filter(|e| e.name == WEB) {
            (endpoint.serving, endpoint.draining) = (false, true);
        }
        for container in told.containers.iter_mut().filter(|c| c.name == WEB) {
            (container.stop, container.drain_ms) = (true, drain_ms);
        }
        fleet.lab.assign(host, &told)?;
    }
    Ok(())
}

fn state(fleet: &Fleet) -> Result<String> {
    let status = fleet.lab.ask("h1", "status")?;
    let web = status["containers"].as_array().and_then(|all| all.iter().find(|c| c["name"] == WEB).cloned());
    Ok(web.map_or_else(|| "stopped".into(), |web| web["state"].as_str().unwrap_or_default().to_owned()))
}

fn wait_state(fleet: &Fleet, wanted: &str) -> Result<()> {
    wait_for(&format!("{WEB} is {wanted}"), LIMIT, || {
        let seen = state(fleet)?;
        if seen == wanted { Ok(Some(())) } else { anyhow::bail!("{seen}") }
    })
}

fn connect(fleet: &Fleet) -> Result<TcpStream> {
    let to: SocketAddr = format!("{VIP}:{PORT}").parse()?;
    let stream = netns::inside(&fleet.netns(CLIENT)?, move || TcpStream::connect_timeout(&to, LIMIT))??;
    stream.set_read_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn ping(stream: &mut TcpStream) -> Result<()> {
    let mut byte = [0];
    stream.write_all(b"x")?;
    stream.read_exact(&mut byte).context("the flow was broken")
}

#[test]
fn a_flow_goes_on_while_its_container_drains_and_its_end_ends_the_drain() -> Result<()> {
    let fleet = fleet("drain")?;
    let mut stream = connect(&fleet)?;
    ping(&mut stream)?;
    let begun = Instant::now();
    stop(&fleet, 60_000)?;
    wait_state(&fleet, "draining")?;
    wait_until("nobody new gets in", LIMIT, || connect(&fleet).is_err())?;
    while begun.elapsed() < 2 * LEAST {
        ping(&mut stream)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(state(&fleet)?, "draining");
    let ended = Instant::now();
    drop(stream);
    wait_state(&fleet, "stopped")?;
    ensure!(ended.elapsed() < Duration::from_secs(2), "it took {:?} to notice", ended.elapsed());
    Ok(())
}

#[test]
fn without_flows_a_drain_is_short() -> Result<()> {
    let fleet = fleet("short")?;
    let begun = Instant::now();
    stop(&fleet, 60_000)?;
    wait_state(&fleet, "stopped")?;
    let took = begun.elapsed();
    ensure!(took >= LEAST && took < LEAST + Duration::from_secs(2), "it took {took:?}");
    Ok(())
}

#[test]
fn a_flow_that_does_not_end_has_until_the_deadline() -> Result<()> {
    const DRAIN: Duration = Duration::from_secs(3);
    let fleet = fleet("endless")?;
    let mut stream = connect(&fleet)?;
    let begun = Instant::now();
    stop(&fleet, DRAIN.as_millis() as u64)?;
    while begun.elapsed() < DRAIN - Duration::from_millis(200) {
        ping(&mut stream)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    wait_state(&fleet, "stopped")?;
    let took = begun.elapsed();
    ensure!(took >= DRAIN && took < DRAIN + Duration::from_secs(2), "it took {took:?}");
    Ok(())
}
