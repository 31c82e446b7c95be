//! What looks like a death and is none: a bad cable, an agent that stands still for a moment.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::LIMIT;
use remuda_lab::wait_for;
use remuda_tests::crowd::Crowd;
use remuda_tests::figure;
use remuda_tests::stack::text;

const HOST: &str = "h3";

#[test]
fn neither_30_percent_loss_for_10_s_nor_a_pause_of_1500_ms_is_a_death() {
    let crowd = super::crowd("f-loss", 3, 9);
    let before = crowd.pids().unwrap();
    let loss = crowd.fleet.lab.loss(HOST, 30).unwrap();
    never_dead(&crowd, Duration::from_secs(10));
    loss.heal().unwrap();
    for _ in 0..3 {
        let frozen = crowd.fleet.lab.freeze(HOST).unwrap();
        never_dead(&crowd, Duration::from_millis(1500));
        frozen.thaw().unwrap();
        never_dead(&crowd, Duration::from_millis(1500));
    }
    wait_for("every host is ready", LIMIT, || {
        Ok(crowd.host_states()?.values().all(|state| state == "ready").then_some(()))
    })
    .unwrap();
    let kinds = kinds(&crowd);
    figure::count(
        "false deaths under 30 % loss for 10 s and pauses of 1.5 s",
        kinds.get("host-dead").copied().unwrap_or(0),
    );
    assert_eq!(kinds.get("host-dead"), None, "a death that was none: {kinds:?}");
    assert_eq!(kinds.get("container-moved"), None, "something was moved: {kinds:?}");
    assert_eq!(crowd.pids().unwrap(), before, "something was restarted");
    super::end(crowd);
}

fn never_dead(crowd: &Crowd, time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        assert_ne!(crowd.host_states().unwrap()[HOST], "dead");
        super::pass(Duration::from_millis(100));
    }
}

/// How often each kind of event happened.
fn kinds(crowd: &Crowd) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for event in crowd.fleet.list(&["events"]).unwrap() {
        *counts.entry(text(&event, "kind").to_owned()).or_default() += 1;
    }
    counts
}
