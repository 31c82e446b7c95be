//! E27: a published port answers on every host, and the container sees the client's own address.

use remuda_tests::stack::{Fleet, text};
use remuda_tests::talk::{Mirror, ask_tcp, ask_udp};

const STACK: &str = "services:
  web:
    command: [sleep, '86400']
    ports: ['8080:7000', '8080:7000/udp']
    deploy: {placement: {constraints: ['node.hostname == h2']}}
  client:
    command: [sleep, '86400']
    deploy: {mode: global}
";

/// A stack whose one replica runs on h2, with a server in it that says whom it saw.
fn published(name: &str) -> (Fleet, Mirror) {
    let fleet = Fleet::up(name, 3).unwrap();
    fleet.deploy("app", STACK).unwrap();
    let netns = fleet.netns("app-web-1").unwrap();
    let mirror = Mirror::start(&netns, "web", "0.0.0.0:7000".parse().unwrap()).unwrap();
    (fleet, mirror)
}

#[test]
fn e27_an_outside_client_keeps_its_address_on_every_host() {
    let (fleet, _mirror) = published("e27");
    let client = fleet.lab.netns("client").unwrap();
    for host in fleet.lab.state.hosts.clone() {
        let to = format!("{}:8080", host.underlay_ip);
        for answer in [ask_tcp(&client, &to), ask_udp(&client, &to)] {
            let answer = answer.unwrap_or_else(|error| panic!("{}: {error:#}", host.name));
            assert_eq!(answer.client.ip().to_string(), fleet.lab.state.client.ip, "through {}", host.name);
            assert_eq!(answer.peer.to_string(), to);
        }
    }
}

#[test]
fn containers_reach_vip_and_published_ports_of_any_host_with_their_own_address() {
    let (fleet, _mirror) = published("vip");
    let services = fleet.list(&["services"]).unwrap();
    let vip = services.iter().find(|s| s["name"] == "web").map(|s| text(s, "vip").to_owned()).unwrap();
    let mut targets = vec![format!("{vip}:7000")];
    targets.extend(fleet.lab.state.hosts.iter().map(|h| format!("{}:8080", h.underlay_ip)));
    for container in fleet.containers().unwrap().iter().filter(|c| c["service"] == "client") {
        let from = fleet.netns(text(container, "name")).unwrap();
        for to in &targets {
            for (protocol, answer) in [("tcp", ask_tcp(&from, to)), ("udp", ask_udp(&from, to))] {
                let answer = answer.unwrap_or_else(|e| panic!("{protocol} from {}: {e:#}", text(container, "host")));
                assert_eq!(answer.client.ip().to_string(), text(container, "ip"), "{protocol} {to}");
                assert_eq!(&answer.peer.to_string(), to, "{protocol}: the dialled address is shown");
            }
        }
    }
}

#[test]
fn a_host_process_reaches_vip_published_port_and_localhost_with_the_hosts_overlay_address() {
    let (fleet, _mirror) = published("hostproc");
    let services = fleet.list(&["services"]).unwrap();
    let vip = services.iter().find(|s| s["name"] == "web").map(|s| text(s, "vip").to_owned()).unwrap();
    for host in fleet.lab.state.hosts.clone() {
        let shown = fleet.lab.output(&host.name, &["ip", "-4", "-o", "addr", "show", "dev", "remuda0"]).unwrap();
        for to in [format!("{vip}:7000"), "127.0.0.1:8080".into(), format!("{}:8080", host.underlay_ip)] {
            for (protocol, answer) in [("tcp", ask_tcp(&host.netns, &to)), ("udp", ask_udp(&host.netns, &to))] {
                let answer = answer.unwrap_or_else(|e| panic!("{protocol} on {} to {to}: {e:#}", host.name));
                let seen = format!("{}/", answer.client.ip());
                assert!(shown.contains(&seen), "{protocol} to {to}: receiver saw {seen} but remuda0 has {shown}");
            }
        }
    }
}
