//! E24 to E26: what cannot be placed says why, and is placed when the reason goes away.

use remuda_tests::stack::{Fleet, text};

fn reason_of(fleet: &Fleet, container: &str) -> String {
    let found = fleet.wait(&format!("{container} is pending with a reason"), |all| {
        let c = all.iter().find(|c| c["name"] == container && c["state"] == "pending")?;
        Some(text(c, "reason").to_owned()).filter(|reason| !reason.is_empty())
    });
    found.unwrap()
}

#[test]
fn e24_a_constraint_nobody_meets_is_explained_and_met_after_a_label() {
    let fleet = Fleet::up("e24", 3).unwrap();
    let file = "services:
  web:
    command: [sleep, '86400']
    deploy: {placement: {constraints: ['node.labels.zone == b']}}
";
    let path = fleet.file("app.yml", file).unwrap();
    fleet.remuda(&["up", "-d", "-f", &path.display().to_string(), "-s", "app"]).unwrap();
    let reason = reason_of(&fleet, "app-web-1");
    assert!(reason.contains("zone"), "the reason does not name the label: {reason}");
    assert!(reason.contains("0/3"), "the reason does not count hosts: {reason}");
    fleet.remuda(&["host", "label", "h2", "zone=b"]).unwrap();
    let host = fleet
        .wait("it is placed", |all| all.iter().find(|c| c["state"] == "running").map(|c| text(c, "host").to_owned()));
    assert_eq!(host.unwrap(), "h2");
}

#[test]
fn e25_reservations_are_never_oversubscribed_and_the_rest_waits_with_a_reason() {
    let fleet = Fleet::with_args("e25", 3, &["--memory", "2G"]).unwrap();
    let file = "services:
  web:
    command: [sleep, '86400']
    deploy: {replicas: 7, resources: {reservations: {memory: 1G}}}
";
    let path = fleet.file("app.yml", file).unwrap();
    fleet.remuda(&["up", "-d", "-f", &path.display().to_string(), "-s", "app"]).unwrap();
    let pending = fleet.wait("6 run and 1 waits", |all| {
        let running = all.iter().filter(|c| c["state"] == "running").count();
        let pending: Vec<_> = all.iter().filter(|c| c["state"] == "pending").collect();
        (running == 6 && pending.len() == 1).then(|| text(pending[0], "reason").to_owned())
    });
    let reason = pending.unwrap();
    assert!(reason.contains("memory"), "the reason does not name memory: {reason}");
    fleet.remuda(&["scale", "app/web=6"]).unwrap();
    assert_eq!(fleet.containers().unwrap().len(), 6);
}

#[test]
fn e26_a_host_mode_port_is_given_once_per_host() {
    let fleet = Fleet::up("e26", 3).unwrap();
    let file = "services:
  web:
    command: [sleep, '86400']
    ports: [{target: 80, published: 8080, mode: host}]
    deploy: {replicas: 4}
";
    let path = fleet.file("app.yml", file).unwrap();
    fleet.remuda(&["up", "-d", "-f", &path.display().to_string(), "-s", "app"]).unwrap();
    let reason = fleet.wait("3 run and 1 waits", |all| {
        let running = all.iter().filter(|c| c["state"] == "running").count();
        let pending: Vec<_> = all.iter().filter(|c| c["state"] == "pending").collect();
        (running == 3 && pending.len() == 1).then(|| text(pending[0], "reason").to_owned())
    });
    let reason = reason.unwrap();
    assert!(reason.contains("8080"), "the reason does not name the port: {reason}");
}
