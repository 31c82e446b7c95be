//! Health from what hosts find to what every host is told.

use std::time::Duration;

use remuda_api::assignment::Assignment;
use remuda_api::link::CheckOutcome;
use remuda_api::resource::{Container, Health};
use serde_json::json;
use tokio::time::timeout;

use crate::common::{Api, Fleet, Host};

const SOON: Duration = Duration::from_secs(5);

/// The first generation in which this host is told that the endpoint serves, or no longer does.
async fn told(host: &Host, name: &str, serving: bool) -> u64 {
    let is_told = |held: &Assignment| held.endpoints.iter().any(|e| e.name == name && e.serving == serving);
    let mut held = host.held.clone();
    let waited = timeout(SOON, held.wait_for(|held| held.as_ref().is_some_and(is_told))).await;
    waited.expect("told in time").expect("the host lives").as_ref().expect("an assignment").generation
}

/// What the hosts that are asked find of this container from now on.
fn find(hosts: &[Host], name: &str, outcome: CheckOutcome, reason: &str) -> usize {
    let checks = |host: &Host| host.assignment().checks.into_iter().find(|check| check.container == name);
    let asked = hosts.iter().filter_map(|host| Some((host, checks(host)?.endpoint_id)));
    asked.map(|(host, id)| host.finds.send_modify(|finds| drop(finds.insert(id, (outcome, reason.into()))))).count()
}

async fn until_health(api: &Api, name: &str, health: Health) -> Container {
    let path = format!("/v1/containers/{name}");
    api.until(&format!("{name} {health:?}"), async |api: &Api| api.get::<Container>(&path).await.health == health)
        .await;
    api.get(&path).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_checkers_find_changes_health_and_what_every_host_is_told_in_one_generation() {
    let fleet = Fleet::start().await;
    let hosts = [fleet.host("h1").await, fleet.host("h2").await, fleet.host("h3").await];
    fleet.api.until_ready(3).await;
    let check = json!({"port": 80, "strategy": {"kind": "none"}});
    let web = json!({"command": ["x"], "health_check": check, "mode": {"kind": "replicated", "replicas": 1}});
    fleet.api.up("shop", json!({"web": web})).await;
    fleet.api.until_running(1).await;
    let name = "shop-web-1";
    let fresh = until_health(&fleet.api, name, Health::Initializing).await;
    assert_eq!(fresh.reason.as_deref(), Some("none of 2 checkers has passed it yet"));
    for host in &hosts {
        let is_asked = |held: &Assignment| held.checks.len() == usize::from(held.containers.is_empty());
        let mut held = host.held.clone();
        let asked = timeout(SOON, held.wait_for(|held| held.as_ref().is_some_and(is_asked))).await;
        asked.expect("asked in time").expect("the host lives");
    }
    assert_eq!(find(&hosts, name, CheckOutcome::Passing, ""), 2, "the two other hosts check it");
    until_health(&fleet.api, name, Health::Healthy).await;
    for host in &hosts {
        told(host, name, true).await;
    }
    let since = std::time::Instant::now();
    find(&hosts, name, CheckOutcome::Failing, "answered 500");
    let mut generations = Vec::new();
    for host in &hosts {
        generations.push(told(host, name, false).await);
    }
    println!("E16: from the report to every host's lists in {:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    assert!(generations.iter().all(|generation| *generation == generations[0]), "in one step: {generations:?}");
    let sick = until_health(&fleet.api, name, Health::Unhealthy).await;
    let reason = sick.reason.expect("a reason");
    assert!(reason.starts_with("2 of 2 checkers fail: h"), "{reason}");
    assert!(reason.contains(": answered 500"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_takes_nothing_checked_out_of_names() {
    let mut fleet = Fleet::start().await;
    let hosts = [fleet.host("h1").await, fleet.host("h2").await, fleet.host("h3").await];
    fleet.api.until_ready(3).await;
    let web = json!({"command": ["x"], "health_check": {"port": 80}, "mode": {"kind": "replicated", "replicas": 3}});
    fleet.api.up("shop", json!({"web": web})).await;
    fleet.api.until_running(3).await;
    let names = ["shop-web-1", "shop-web-2", "shop-web-3"];
    for host in &hosts {
        let mut held = host.held.clone();
        let asked = held.wait_for(|held| held.as_ref().is_some_and(|held| held.checks.len() == 2));
        timeout(SOON, asked).await.expect("asked in time").expect("the host lives");
    }
    for name in names {
        find(&hosts, name, CheckOutcome::Passing, "");
        until_health(&fleet.api, name, Health::Healthy).await;
    }
    let before = hosts.each_ref().map(|host| host.assignment().checks);
    fleet.restart().await;
    assert!(fleet.api.containers().await.iter().all(|container| container.health == Health::Healthy));
    fleet.api.until_ready(3).await;
    for (host, before) in hosts.iter().zip(before) {
        assert!(host.assignment().endpoints.iter().all(|endpoint| endpoint.serving));
        assert_eq!(host.assignment().checks, before, "and everybody goes on checking the same");
    }
}
