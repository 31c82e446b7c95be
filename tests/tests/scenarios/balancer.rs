//! A balancer and a service outside of the fleet, from the file a user types to the packet.

use remuda_lab::{netns, wait_until};
use remuda_tests::stack::{Fleet, text};
use remuda_tests::talk::{Mirror, ask_tcp};
use std::time::Duration;

const STACK: &str = "services:
  web:
    command: [sleep, '86400']
    deploy: {replicas: 2}
  lb:
    image: rancher/lb-service-haproxy:v0.4.9
    ports: ['8080:80']
    x-remuda:
      health_check: {port: 42}
      lb_config:
        port_rules:
          - {source_port: 80, target_port: 7000, service: web, protocol: http}
  out:
    image: rancher/external-service
    x-remuda: {external_ips: [198.51.100.9]}
";
const LIMIT: Duration = Duration::from_secs(20);

fn service(fleet: &Fleet, name: &str) -> serde_json::Value {
    let text = fleet.remuda(&["inspect", &format!("app/{name}")]).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_balancer_leads_to_its_targets_from_everywhere_without_a_container_of_its_own() {
    let fleet = Fleet::up("balancer", 2).unwrap();
    fleet.deploy("app", STACK).unwrap();
    let lb = service(&fleet, "lb");
    assert_eq!((text(&lb, "kind"), text(&lb, "health")), ("balancer", "healthy"));
    assert_eq!((&lb["desired"], &lb["running"], &lb["healthy"]), (&1.into(), &1.into(), &1.into()));
    assert_eq!(text(&lb, "reason"), "its check on port 42 is answered by the dataplane");
    assert!(fleet.containers().unwrap().iter().all(|c| c["service"] == "web"), "nothing else runs");

    let _mirrors = ["app-web-1", "app-web-2"]
        .map(|name| Mirror::start(&fleet.netns(name).unwrap(), name, "0.0.0.0:7000".parse().unwrap()).unwrap());
    let client = fleet.lab.netns("client").unwrap();
    for host in &fleet.lab.state.hosts {
        let answer = ask_tcp(&client, &format!("{}:8080", host.underlay_ip)).unwrap();
        assert_eq!(answer.client.ip().to_string(), fleet.lab.state.client.ip, "through {}", host.name);
    }
    let web = fleet.netns("app-web-1").unwrap();
    let dig = |name: &str| netns::output(&web, &["dig", "+short", "@169.254.169.250", name]).unwrap();
    assert_eq!(dig("lb").trim(), text(&lb, "vip"));
    assert_eq!(dig("out.app").trim(), "198.51.100.9");
    let inside = format!("{}:80", text(&lb, "vip"));
    assert_eq!(ask_tcp(&web, &inside).unwrap().peer.to_string(), inside);

    let outside = format!("{}:8080", fleet.lab.state.hosts[0].underlay_ip);
    fleet.remuda(&["scale", "app/web=0"]).unwrap();
    wait_until("nobody serves behind it", LIMIT, || text(&service(&fleet, "lb"), "health") == "unhealthy").unwrap();
    assert_eq!(text(&service(&fleet, "lb"), "reason"), "no healthy target: web");
    wait_until("the port leads nowhere", LIMIT, || ask_tcp(&client, &outside).is_err()).unwrap();
    fleet.remuda(&["scale", "app/web=1"]).unwrap();
    fleet.remuda(&["wait", "app/lb"]).unwrap();
    let events = fleet.list(&["events"]).unwrap();
    let of_lb: Vec<&str> = events.iter().filter(|e| e["object"] == "app/lb").map(|e| text(e, "kind")).collect();
    assert_eq!(of_lb, ["service-healthy", "service-unhealthy", "service-healthy"]);
    let logs = fleet.lab.remuda(&["logs", "app/lb"]).unwrap();
    assert!(String::from_utf8_lossy(&logs.stderr).contains("no containers of its own"), "{logs:?}");

    fleet.remuda(&["down", "app"]).unwrap();
    assert!(fleet.list(&["services"]).unwrap().is_empty());
}
