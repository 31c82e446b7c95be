//! Agents and engines die and come back: the same containers run on, nobody's connection notices.

use super::{LIMIT, end, fleet, name};
use remuda_lab::wait_for;
use remuda_tests::probe::{Connects, Flows, Tally};
use remuda_tests::stack::{Fleet, text};
use std::collections::BTreeMap;
use std::net::SocketAddr;

const WEB: &str = "services:
  web:
    image: some/web
    ports: ['8080:80']
    deploy: {replicas: 6}
";
const HOST: &str = "h2";

/// What must not change: container to address, process, restarts and the engine's own id of it.
type Kept = BTreeMap<String, (String, u64, u64, String)>;

fn kept(fleet: &Fleet) -> Kept {
    let hosts = fleet.lab.host_names();
    let engines = hosts.iter().flat_map(|host| fleet.lab.engine(host).unwrap().containers().unwrap());
    let ids: BTreeMap<String, String> = engines.map(|c| (name(&c), text(&c, "Id").to_owned())).collect();
    let all = fleet.containers().unwrap();
    let kept = all.iter().filter(|c| c["state"] == "running").map(|c| {
        let unit = text(c, "name").to_owned();
        let (pid, restarts) = (c["pid"].as_u64().unwrap_or(0), c["restarts"].as_u64().unwrap_or(0));
        let id = ids.get(&unit).cloned().unwrap_or_default();
        (unit, (text(c, "ip").to_owned(), pid, restarts, id))
    });
    kept.collect()
}

/// Until every host is ready and all that runs is what ran.
fn settle(fleet: &Fleet, what: &str, before: &Kept) {
    let is_ready = || Ok(fleet.list(&["hosts"])?.iter().all(|host| host["state"] == "ready"));
    wait_for("every host is ready", LIMIT, || is_ready().map(|ready| ready.then_some(()))).unwrap();
    let limit = wait_for("everything runs", LIMIT, || Ok((kept(fleet).len() == before.len()).then_some(())));
    limit.unwrap_or_else(|error| panic!("{what}: {error:#}\n{:#?}", fleet.containers().unwrap()));
    assert_eq!(&kept(fleet), before, "{what}");
}

#[test]
fn agents_and_engines_come_back_to_the_same_containers_and_nobody_notices() {
    let Some(mut fleet) = fleet("adopt", &[("some/web", 80)]) else { return };
    fleet.deploy("app", WEB).unwrap();
    super::pages(&fleet, 8080);
    let before = kept(&fleet);
    assert!(before.len() == 6 && before.values().all(|(_, pid, _, id)| *pid > 0 && !id.is_empty()), "{before:#?}");
    let outside = fleet.lab.netns("client").unwrap();
    let ip: std::net::Ipv4Addr = fleet.lab.host(HOST).unwrap().underlay_ip.parse().unwrap();
    let published = SocketAddr::from((ip, 8080));
    let flows = Flows::open("to the published port", &outside, published, 12).unwrap();
    let connects = Connects::start("to the published port", &outside, &published.to_string(), 40).unwrap();
    let engine = fleet.lab.engine(HOST).unwrap();

    fleet.lab.kill(HOST).unwrap();
    fleet.lab.start(HOST).unwrap();
    settle(&fleet, "the agent was killed", &before);

    engine.stop().unwrap();
    engine.start().unwrap();
    settle(&fleet, "the engine was stopped and started", &before);

    engine.kill();
    engine.start().unwrap();
    settle(&fleet, "the engine was killed and started", &before);

    engine.kill();
    fleet.lab.kill(HOST).unwrap();
    engine.start().unwrap();
    fleet.lab.start(HOST).unwrap();
    settle(&fleet, "both were killed, the engine came first", &before);

    engine.kill();
    fleet.lab.kill(HOST).unwrap();
    fleet.lab.spawn(HOST).unwrap();
    engine.start().unwrap();
    settle(&fleet, "both were killed, the agent came first", &before);

    for tally in [flows.stop(), connects.stop()] {
        println!("{tally}");
        Tally::assert_clean(&tally);
    }
    fleet.remuda(&["scale", "app/web=9"]).unwrap();
    assert_eq!(kept(&fleet).len(), 9, "what was adopted can still be changed");
    fleet.remuda(&["down", "app"]).unwrap();
    assert_eq!(super::ours_everywhere(&fleet), Vec::<String>::new());
    end(fleet);
}
