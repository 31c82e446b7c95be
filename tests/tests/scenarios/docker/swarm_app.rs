//! Stacks of a Swarm user's, unedited.

use super::{corpus, end, fleet, ours_everywhere, pages};
use remuda_tests::stack::{Fleet, running_by_host};
use std::collections::BTreeSet;

const IMAGES: [(&str, u16); 3] =
    [("edtasixm11/k19:hello", 80), ("portainer/portainer", 9000), ("dockersamples/examplevotingapp_worker", 80)];

#[test]
fn a_swarm_stack_deploys_as_it_is_written_and_answers_on_every_host() {
    let Some(fleet) = fleet("swarm-app", &IMAGES) else { return };
    let said = fleet.remuda_in(&corpus("swarm-app"), &["stack", "deploy", "-c", "docker-compose.yml", "app"]).unwrap();
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains("docker.sock")).collect();
    assert_eq!(warnings.len(), 1, "one line for the one use of docker.sock: {said}");
    let running = |all: &[serde_json::Value]| {
        let count = |service: &str| all.iter().filter(|c| c["service"] == service && c["state"] == "running").count();
        (count("hello") == 3 && count("portainer") == 1).then_some(())
    };
    fleet.wait("hello runs three times, portainer once", running).unwrap();
    pages(&fleet, 80);
    assert_eq!(answering(&fleet, 80).len(), 3, "each of three replicas answers somewhere");
    for page in pages(&fleet, 9000) {
        assert!(page.contains("engine  there"), "portainer was not given its host's engine: {page}");
    }
    one_on_each_host(&fleet);
    fleet.remuda(&["down", "app"]).unwrap();
    fleet.remuda(&["down", "votes"]).unwrap();
    assert_eq!(ours_everywhere(&fleet), Vec::<String>::new());
    end(fleet);
}

fn one_on_each_host(fleet: &Fleet) {
    fleet.remuda_in(&corpus("swarm-app"), &["stack", "deploy", "-c", "global.yml", "votes"]).unwrap();
    let spread = fleet
        .wait("a worker runs on every host", |all| {
            let workers: Vec<_> = all.iter().filter(|c| c["service"] == "worker").cloned().collect();
            let spread = running_by_host(&workers);
            (spread.len() == 3).then_some(spread)
        })
        .unwrap();
    assert!(spread.values().all(|count| *count == 1), "{spread:?}");
}

/// Who answers at a published port, asked often enough that all have their turn.
fn answering(fleet: &Fleet, port: u16) -> BTreeSet<String> {
    let line = |page: String| page.lines().next().unwrap_or_default().to_owned();
    (0..30).flat_map(|_| pages(fleet, port)).map(line).collect()
}
