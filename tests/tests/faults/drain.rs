//! A host that is emptied and a service that shrinks, under 200 requests a second: nobody notices.

use std::time::Instant;

use super::LIMIT;
use remuda_lab::wait_for;
use remuda_tests::crowd::Crowd;
use remuda_tests::figure;
use remuda_tests::probe::{Connects, Flows, Tally};

const REPLICAS: usize = 30;
const HOST: &str = "h3";

/// 200 a second in all: from outside through two hosts' published ports, by VIP and by name.
fn requests(crowd: &Crowd) -> Vec<Connects> {
    let (outside, h1, h2) = (crowd.outside().unwrap(), crowd.client("h1").unwrap(), crowd.client("h2").unwrap());
    let (near, far) = (crowd.published(HOST).unwrap().to_string(), crowd.published("h2").unwrap().to_string());
    vec![
        Connects::start("from outside by a port of the drained host", &outside, &near, 50).unwrap(),
        Connects::start("from outside by a port of another host", &outside, &far, 50).unwrap(),
        Connects::start("by VIP", &h1, &crowd.vip().to_string(), 50).unwrap(),
        Connects::start("by name", &h2, "web:7000", 50).unwrap(),
    ]
}

fn judge(what: &str, requests: Vec<Connects>) {
    let tallies: Vec<Tally> = requests.into_iter().map(Connects::stop).collect();
    figure::count(&format!("{what}: failed requests"), tallies.iter().map(|tally| tally.failures.len()).sum());
    figure::count(&format!("{what}: requests"), tallies.iter().map(|tally| tally.tries).sum());
    tallies.iter().for_each(Tally::assert_clean);
}

#[test]
fn a_drained_host_is_empty_and_no_request_fails() {
    let crowd = super::crowd("f-drain", 3, REPLICAS);
    for _ in 0..super::rounds() {
        let traffic = requests(&crowd);
        super::pass(std::time::Duration::from_secs(1));
        let begin = Instant::now();
        crowd.fleet.remuda(&["host", "drain", HOST]).unwrap();
        wait_for("the drained host is empty and 30 run", LIMIT, || {
            let members = crowd.members()?;
            let left = crowd.fleet.containers()?.iter().filter(|c| c["host"] == HOST && c["service"] == "web").count();
            Ok((left == 0 && members.len() == REPLICAS).then_some(()))
        })
        .unwrap();
        figure::seconds("E31 host drain of 10 containers until it is empty", begin.elapsed());
        super::pass(std::time::Duration::from_secs(1));
        judge("host drain at 200 requests/s", traffic);
        crowd.fleet.remuda(&["host", "activate", HOST]).unwrap();
        fill(&crowd);
    }
    shrink(&crowd);
    super::end(crowd);
}

/// Ten containers on the host again.
fn fill(crowd: &Crowd) {
    crowd.fleet.remuda(&["scale", "app/web=15"]).unwrap();
    crowd.fleet.remuda(&["scale", &format!("app/web={REPLICAS}")]).unwrap();
}

fn shrink(crowd: &Crowd) {
    let traffic = requests(crowd);
    super::pass(std::time::Duration::from_secs(1));
    let begin = Instant::now();
    crowd.fleet.remuda(&["scale", "app/web=10"]).unwrap();
    wait_for("10 are left", LIMIT, || {
        let all = crowd.fleet.containers()?;
        Ok((all.iter().filter(|c| c["service"] == "web").count() == 10).then_some(()))
    })
    .unwrap();
    figure::seconds("scale 30 -> 10 until 20 are gone", begin.elapsed());
    super::pass(std::time::Duration::from_secs(1));
    judge("scale-down at 200 requests/s", traffic);
}

/// Longer than this test lets connections be open.
const PATIENT: &str = "    x-remuda: {drain_timeout_ms: 30000}";

#[test]
fn connections_to_a_host_that_drains_are_finished_by_their_users_and_then_it_is_empty() {
    let crowd = super::crowd_with("f-finish", 3, 9, PATIENT);
    let (outside, h1) = (crowd.outside().unwrap(), crowd.client("h1").unwrap());
    let published = crowd.published("h2").unwrap();
    let flows = [
        Flows::open("from outside by a published port", &outside, published, 20).unwrap(),
        Flows::open("by VIP", &h1, crowd.vip(), 20).unwrap(),
    ];
    crowd.fleet.remuda(&["host", "drain", HOST, "--detach"]).unwrap();
    wait_for("others serve in place of those that drain", LIMIT, || {
        let serving = crowd.look_up("h1", "web")?.addresses;
        let leaving = crowd.members_on(HOST)?;
        Ok((serving.len() == 9 && leaving.iter().all(|member| !serving.contains(&member.ip))).then_some(()))
    })
    .unwrap();
    // Twice the time in which connections without a second chance would be reset.
    super::pass(std::time::Duration::from_secs(3));
    let begin = Instant::now();
    flows.map(Flows::stop).iter().for_each(Tally::assert_clean);
    wait_for("the host is empty", LIMIT, || {
        let left = crowd.fleet.containers()?.iter().filter(|c| c["host"] == HOST && c["service"] == "web").count();
        Ok((left == 0).then_some(()))
    })
    .unwrap();
    figure::seconds("drain: last connection closed until the host is empty", begin.elapsed());
    super::end(crowd);
}
