//! The examples do what their comments say.

use remuda_tests::stack::{Fleet, text};

const HEALTH: &str = include_str!("../../../examples/health.yaml");

#[test]
fn a_page_that_is_gone_takes_its_container_out_and_another_one_takes_its_place() {
    let fleet = Fleet::up("health", 3).unwrap();
    fleet.deploy("health", HEALTH).unwrap();
    fleet.remuda(&["exec", "health-web-1", "--", "rm", "/dev/shm/html/ping"]).unwrap();
    let events = || fleet.list(&["events"]).unwrap();
    let replaced = |_: &[serde_json::Value]| {
        let events = events();
        let of = |kind: &str| {
            let mut found = events.iter().filter(|e| text(e, "kind") == kind && text(e, "object") == "health-web-1");
            found.next().map(|event| text(event, "message").to_owned())
        };
        Some((of("container-unhealthy")?, of("container-recreated")?))
    };
    let (why, _) = fleet.wait("the container is replaced", replaced).unwrap();
    assert!(why.contains("404"), "{why}");
    let again = |all: &[serde_json::Value]| {
        let healthy = all.iter().filter(|c| c["service"] == "web" && c["health"] == "healthy").count();
        (healthy == 3 && all.len() == 4).then_some(())
    };
    fleet.wait("three are healthy again, and the old one is gone", again).unwrap();
}

#[test]
fn a_cache_that_ends_is_started_again_and_is_healthy_once_it_answers() {
    let fleet = Fleet::up("cache", 2).unwrap();
    fleet.deploy("health", HEALTH).unwrap();
    // Its end cuts the session too, so how that ends says nothing.
    fleet.lab.remuda(&["exec", "health-cache-1", "--", "redis-cli", "shutdown"]).unwrap();
    fleet
        .wait("it was started again and is healthy", |all| {
            let cache = all.iter().find(|c| c["name"] == "health-cache-1")?;
            (cache["restarts"].as_u64() > Some(0) && cache["health"] == "healthy").then_some(())
        })
        .unwrap();
}

#[test]
fn a_host_is_emptied_and_used_again_with_what_its_user_reads() {
    let fleet = Fleet::up("empty", 2).unwrap();
    fleet.deploy("health", HEALTH).unwrap();
    let said = fleet.lab.remuda(&["host", "drain", "h1"]).unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("h1 is empty") && !said.contains("waits"), "{said}");
    let all = fleet.containers().unwrap();
    assert!(all.len() == 4 && all.iter().all(|c| c["host"] == "h2" && c["health"] == "healthy"), "{all:#?}");
    fleet.remuda(&["host", "activate", "h1"]).unwrap();
    fleet.remuda(&["scale", "health/web=8"]).unwrap();
    assert!(fleet.containers().unwrap().iter().any(|c| c["host"] == "h1"), "nothing is placed on it again");
    let refused = fleet.lab.remuda(&["host", "rm", "h1", "--dead"]).unwrap();
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("h1 is ready, not dead"), "{refused}");
}
