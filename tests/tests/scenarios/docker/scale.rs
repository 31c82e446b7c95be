//! E6, E7 with images: a service grows, shrinks and goes, and nothing of it stays in any engine.

use super::{end, fleet, ours, ours_everywhere};
use remuda_tests::figure;
use remuda_tests::stack::running_by_host;
use std::time::Instant;

const WEB: &str = "services:
  web:
    image: some/web
    ports: ['8080:80']
    deploy: {replicas: 6}
";

#[test]
fn e6_e7_thirty_containers_are_spread_evenly_and_leave_nothing() {
    let Some(fleet) = fleet("scale", &[("some/web", 80)]) else { return };
    let h1 = fleet.lab.engine("h1").unwrap();
    h1.docker(&["run", "--detach", "--network=none", "--name=by-hand", "some/web"]).unwrap();
    figure::seconds("E6 6 running with docker", fleet.deploy("app", WEB).unwrap());
    assert_eq!(ours_everywhere(&fleet).len(), 12, "six containers and their holders");
    let begin = Instant::now();
    fleet.remuda(&["scale", "app/web=30"]).unwrap();
    figure::seconds("E7 30 running with docker", begin.elapsed());
    let counts = running_by_host(&fleet.containers().unwrap());
    assert_eq!(counts.values().sum::<usize>(), 30);
    assert!(counts.values().max().unwrap() - counts.values().min().unwrap() <= 1, "uneven: {counts:?}");
    assert_eq!(ours_everywhere(&fleet).len(), 60);
    fleet.remuda(&["scale", "app/web=3"]).unwrap();
    let left = ours_everywhere(&fleet);
    assert_eq!(left.len(), 6, "scaled down, yet in the engines: {left:?}");
    fleet.remuda(&["down", "app"]).unwrap();
    assert_eq!(ours_everywhere(&fleet), Vec::<String>::new(), "`down` was done before its containers were");
    let by_hand = h1.docker(&["inspect", "--format", "{{.State.Running}} {{.RestartCount}}", "by-hand"]).unwrap();
    assert_eq!(by_hand.trim(), "true 0", "a container that is none of ours was touched");
    end(fleet);
}

#[test]
fn a_host_that_leaves_keeps_what_was_made_by_hand_and_nothing_of_ours() {
    let Some(fleet) = fleet("d-leave", &[("some/web", 80)]) else { return };
    let h3 = fleet.lab.host("h3").unwrap().clone();
    let engine = fleet.lab.engine("h3").unwrap();
    engine.docker(&["run", "--detach", "--network=none", "--name=by-hand", "some/web"]).unwrap();
    fleet.deploy("app", WEB).unwrap();
    assert_eq!(ours(&fleet, "h3").len(), 4, "two of six and their holders");
    let data_dir = h3.data_dir.display().to_string();
    fleet.lab.output("h3", &[&h3.argv[0], "leave", "--data-dir", &data_dir]).unwrap();
    assert_eq!(ours(&fleet, "h3"), Vec::<String>::new());
    assert_eq!(engine.docker(&["ps", "--format", "{{.Names}}"]).unwrap().trim(), "by-hand");
    fleet
        .wait("all six run on the others", |all| {
            let counts = running_by_host(all);
            (counts.values().sum::<usize>() == 6 && !counts.contains_key("h3")).then_some(())
        })
        .unwrap();
    end(fleet);
}
