//! What the agent's kernel part leaves in the kernel, and that it outlives the agent.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use remuda_agent::action::{Action, Backend, Frontend, FrontendKey};
use remuda_lab::netns;
use remuda_tests::talk::{Mirror, ask_tcp, ask_udp};

use crate::pair::{Pair, VIP, address, all_backends, backend_id, frontend, underlay};

const PORT: u16 = 80;
const PUBLISHED: FrontendKey = FrontendKey::Published { protocol: 6, port: 8080 };

fn mirror(namespace: &str, name: &str) -> Result<Mirror> {
    Mirror::start(namespace, name, ([0, 0, 0, 0], PORT).into())
}

/// A mirror in every container, named as it.
fn mirrors(pair: &Pair) -> Result<Vec<Mirror>> {
    let all = [(1, 1), (1, 2), (2, 1), (2, 2)];
    all.into_iter().map(|(host, n)| mirror(&pair.container(host, n), &format!("h{host}c{n}"))).collect()
}

#[test]
fn traffic_goes_on_without_an_agent_and_the_next_agent_finds_everything() -> Result<()> {
    let pair = Pair::new(1)?;
    pair.up()?;
    let _mirrors = mirrors(&pair)?;
    let client = pair.container(1, 1);
    // No agent lives now: Pair::up dropped each.
    let answer = ask_tcp(&client, &format!("{}:{PORT}", address(2, 1)))?;
    assert_eq!((answer.server.as_str(), answer.client.ip()), ("h2c1", address(1, 1).into()));
    let answer = ask_tcp(&client, &format!("{VIP}:{PORT}"))?;
    assert_eq!(answer.peer.to_string(), format!("{VIP}:{PORT}"));
    let answer = ask_udp(&client, &format!("{VIP}:{PORT}"))?;
    assert_eq!(answer.peer.to_string(), format!("{VIP}:{PORT}"));

    let first = pair.apply(1, &[])?;
    assert_eq!(first.host, Some(pair.config(1)));
    assert_eq!(first.endpoints.keys().copied().collect::<Vec<_>>(), [address(1, 1), address(1, 2)]);
    assert_eq!(first.backends.keys().copied().collect::<Vec<_>>(), all_backends());
    let again = pair.apply(1, &pair.everything(1))?;
    assert_eq!(again, first, "doing everything twice changes nothing");
    Ok(())
}

#[test]
fn a_deleted_interface_is_missed_and_plugged_again() -> Result<()> {
    let pair = Pair::new(2)?;
    pair.up()?;
    let _mirrors = mirrors(&pair)?;
    let device = format!("rm{:x}", backend_id(1, 1));
    netns::ip(&["-n", &pair.host(1), "link", "delete", &device])?;
    let observed = pair.apply(1, &[])?;
    assert!(!observed.endpoints.contains_key(&address(1, 1)), "{observed:?}");
    assert!(observed.host.is_some(), "the host's own part is whole");

    let observed = pair.apply(1, &[pair.plug(1, 1)])?;
    assert!(observed.endpoints.contains_key(&address(1, 1)));
    let answer = ask_tcp(&pair.container(2, 1), &format!("{}:{PORT}", address(1, 1)))?;
    assert_eq!(answer.server, "h1c1");
    Ok(())
}

#[test]
fn whatever_the_host_loses_is_missed_and_set_again() -> Result<()> {
    let pair = Pair::new(3)?;
    pair.up()?;
    let host = pair.host(1);
    let losses: [&[&str]; 5] = [
        &["ip", "link", "delete", "remuda0"],
        &["ip", "link", "delete", "remuda-gro"],
        &["ip", "route", "delete", "10.43.0.0/16"],
        &["nft", "flush", "ruleset"],
        &["ip", "address", "delete", "169.254.169.250/32", "dev", "remuda0"],
    ];
    for loss in losses {
        netns::output(&host, loss)?;
        let observed = pair.apply(1, &[])?;
        assert_eq!(observed.host, None, "not missed: {loss:?}");
        let observed = pair.apply(1, &[Action::SetHost(pair.config(1))])?;
        assert_eq!(observed.host, Some(pair.config(1)), "not repaired: {loss:?}");
    }
    let _mirrors = mirrors(&pair)?;
    ask_tcp(&host, &format!("{}:{PORT}", address(2, 1)))?;
    Ok(())
}

#[test]
fn leaving_gives_the_host_back_as_it_was() -> Result<()> {
    let pair = Pair::new(4)?;
    let before = outside_view(&pair)?;
    pair.up()?;
    assert_ne!(outside_view(&pair)?, before);
    pair.agent(1, async |kernel| kernel.remove_all().await)??;
    assert_eq!(outside_view(&pair)?, before);
    assert!(!pair.pins(1).exists());
    Ok(())
}

/// What an administrator would compare.
fn outside_view(pair: &Pair) -> Result<Vec<String>> {
    let looks: [&[&str]; 7] = [
        &["ip", "-br", "link"],
        &["ip", "-4", "-br", "address"],
        &["ip", "-4", "route", "show", "table", "all"],
        &["nft", "list", "ruleset"],
        &["cat", "/proc/sys/net/ipv4/ip_forward"],
        &["cat", "/proc/sys/net/ipv4/ip_local_reserved_ports"],
        &["ip", "-4", "neighbour", "show", "nud", "permanent"],
    ];
    looks.into_iter().map(|look| netns::output(&pair.host(1), look)).collect()
}

#[test]
fn a_published_port_answers_on_both_hosts_and_shows_the_clients_own_address() -> Result<()> {
    let pair = Pair::new(5)?;
    pair.up()?;
    let _mirrors = mirrors(&pair)?;
    // Only host 2 serves it.
    let backends = [backend_id(2, 1), backend_id(2, 2)];
    for host in [1, 2] {
        pair.apply(host, &[frontend(PUBLISHED, 8, PORT, &backends)])?;
    }
    for host in [1, 2] {
        let mut servers = BTreeSet::new();
        for _ in 0..40 {
            let answer = ask_tcp(&pair.client(), &format!("{}:8080", underlay(host)))?;
            assert_eq!(answer.client.ip().to_string(), "192.0.2.100");
            servers.insert(answer.server);
        }
        assert_eq!(servers.into_iter().collect::<Vec<_>>(), ["h2c1", "h2c2"]);
    }
    let answer = ask_tcp(&pair.host(1), "127.0.0.1:8080")?;
    assert_eq!(answer.client.ip().to_string(), "10.42.1.1");

    pair.apply(1, &[Action::RemoveFrontend(PUBLISHED)])?;
    assert!(ask_tcp(&pair.client(), &format!("{}:8080", underlay(1))).is_err());
    Ok(())
}

#[test]
fn new_udp_flows_do_not_wait_for_a_dead_host_whose_draining_backend_is_remembered() -> Result<()> {
    let pair = Pair::new(12)?;
    pair.up()?;
    let _mirrors = mirrors(&pair)?;
    let key = FrontendKey::Published { protocol: 17, port: 8080 };
    let (lives, drains) = (backend_id(1, 1), backend_id(2, 1));
    pair.apply(1, &[frontend(key, 8, PORT, &[lives, drains])])?;
    let Action::PutFrontend(told) = frontend(key, 8, PORT, &[lives]) else { unreachable!("it puts") };
    let told = Frontend { draining: vec![drains], ..told };
    let backend = Backend { draining: true, ..pair.backend(2, 1) };
    pair.apply(1, &[Action::PutBackend(backend), Action::PutFrontend(told.clone())])?;
    netns::ip(&["-n", &pair.host(2), "link", "set", "up0", "down"])?;

    let silent = Frontend { silent: vec![drains], ..told.clone() };
    pair.apply(1, &[Action::PutFrontend(silent.clone())])?;
    let observed = pair.apply(1, &[])?;
    assert_eq!(observed.frontends.get(&key), Some(&silent), "the next agent knows who is silent");
    for _ in 0..20 {
        assert_eq!(ask_udp(&pair.client(), &format!("{}:8080", underlay(1)))?.server, "h1c1");
    }
    let observed = pair.apply(1, &[Action::PutFrontend(told.clone())])?;
    assert_eq!(observed.frontends.get(&key), Some(&told), "its host is back");
    Ok(())
}

#[test]
fn a_backend_in_the_hosts_own_namespace_is_reached_from_everywhere() -> Result<()> {
    let pair = Pair::new(6)?;
    pair.up()?;
    let _mirror = Mirror::start(&pair.host(2), "h2", "0.0.0.0:9000".parse()?)?;
    let backend = Backend { id: 300, ip: underlay(2), host_network: true, ..pair.backend(2, 1) };
    let key = FrontendKey::Published { protocol: 6, port: 9090 };
    for host in [1, 2] {
        pair.apply(host, &[Action::PutBackend(backend.clone()), frontend(key, 9, 9000, &[300])])?;
    }
    for host in [1, 2] {
        let answer = ask_tcp(&pair.client(), &format!("{}:9090", underlay(host)))?;
        assert_eq!((answer.server.as_str(), answer.client.ip().to_string().as_str()), ("h2", "192.0.2.100"));
    }
    let answer = ask_tcp(&pair.container(1, 1), &format!("{}:9090", underlay(1)))?;
    assert_eq!(answer.server, "h2");
    Ok(())
}

#[test]
fn connections_to_a_backend_that_is_gone_end_at_once() -> Result<()> {
    let pair = Pair::new(7)?;
    pair.up()?;
    let silent = netns::inside(&pair.container(2, 1), || std::net::TcpListener::bind("0.0.0.0:81"))??;
    let connect = || TcpStream::connect(format!("{}:81", address(2, 1)));
    let mut stream = netns::inside(&pair.container(1, 1), connect)?.context("connect")?;
    let _accepted = silent.accept()?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let begin = Instant::now();
    pair.apply(1, &[Action::BreakFlows { ips: vec![address(2, 1)] }])?;
    let error = stream.read(&mut [0]).expect_err("the connection should have been broken");
    ensure!(error.kind() == std::io::ErrorKind::ConnectionAborted, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(2));
    Ok(())
}

#[test]
fn a_frontend_without_backends_refuses_at_once() -> Result<()> {
    let pair = Pair::new(8)?;
    pair.up()?;
    pair.apply(1, &[frontend(FrontendKey::Vip(VIP.parse()?), 7, 0, &[])])?;
    let begin = Instant::now();
    let error = ask_tcp(&pair.container(1, 1), &format!("{VIP}:{PORT}")).expect_err("nobody serves it");
    let refused = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused), "{error:#}");
    assert!(begin.elapsed() < Duration::from_millis(500));
    Ok(())
}
