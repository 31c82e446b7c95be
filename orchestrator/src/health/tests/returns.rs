//! A cut is over: what was found while it lasted says nothing about containers. With the default check (2 s, 2 passes, 3
//! failures, 2 s for an answer) words against one count again 8.5 s later.

use super::*;

const AGAIN_MS: u64 = 8_500;

/// One container on each of two hosts, each checked by the other host alone, all serving.
fn pair() -> Fleet {
    let spec = ServiceSpec { mode: ServiceMode::Global, ..checked(1, Strategy::Recreate) };
    let mut fleet = Fleet::of(2, spec);
    fleet.all_pass();
    fleet.wait_ms(120_000);
    fleet
}

fn on(fleet: &Fleet, node_id: u32) -> String {
    let found = fleet.state.containers.values().find(|c| c.is_wanted() && c.node_id == node_id);
    found.expect("one on each").name.clone()
}

/// Away so long that everybody who checked its containers found them failing, and it found others so.
fn cut(fleet: &mut Fleet, node_id: u32) {
    fleet.host(node_id, HostState::Suspect);
    fleet.wait_ms(3_000);
    fleet.host(node_id, HostState::Dead);
    fleet.wait_ms(7_000);
}

#[test]
fn a_container_of_a_host_that_is_back_is_not_replaced_for_what_was_found_during_the_cut() {
    let mut fleet = pair();
    let name = on(&fleet, 1);
    cut(&mut fleet, 1);
    fleet.say(2, &name, CheckOutcome::Failing, "connect: timed out");
    assert_eq!(fleet.health(&name), Health::Unhealthy);
    fleet.run_all();
    fleet.host(1, HostState::Ready);
    assert!(fleet.container(&name).is_wanted(), "its checker cannot know yet");
    fleet.wait_ms(AGAIN_MS - 1);
    fleet.say(2, &name, CheckOutcome::Passing, "");
    fleet.wait_ms(60_000);
    assert!(fleet.container(&name).is_serving(), "the same container serves again");
    assert!(fleet.events("container-recreated").is_empty());
}

#[test]
fn a_container_that_is_still_unhealthy_when_its_checker_had_its_time_is_replaced() {
    let mut fleet = pair();
    let name = on(&fleet, 1);
    cut(&mut fleet, 1);
    fleet.say(2, &name, CheckOutcome::Failing, "connect: timed out");
    fleet.host(1, HostState::Ready);
    fleet.wait_ms(AGAIN_MS - 1);
    assert!(fleet.container(&name).is_wanted());
    fleet.wait_ms(1);
    assert!(!fleet.state.containers.get(&name).is_some_and(|c| c.is_wanted()));
}

#[test]
fn a_short_cut_of_an_ordinary_containers_host_replaces_nothing_either() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::Recreate));
    fleet.all_pass();
    fleet.wait_ms(120_000);
    let node_id = fleet.container("s-web-1").node_id;
    fleet.host(node_id, HostState::Suspect);
    fleet.wait_ms(2_000);
    fleet.all_say("s-web-1", CheckOutcome::Failing, "connect: timed out");
    fleet.host(node_id, HostState::Ready);
    assert_eq!(fleet.wanted(), ["s-web-1"]);
    fleet.wait_ms(4_000);
    fleet.all_pass();
    fleet.wait_ms(60_000);
    assert!(fleet.container("s-web-1").is_serving());
}

#[test]
fn a_checker_that_was_cut_off_talks_no_container_of_the_others_out_of_service() {
    let mut fleet = pair();
    let name = on(&fleet, 1);
    for way in [HostState::Suspect, HostState::Dead] {
        fleet.host(2, HostState::Suspect);
        fleet.wait_ms(2_000);
        fleet.host(2, way);
        fleet.wait_ms(2_000);
        fleet.host(2, HostState::Ready);
        fleet.say(2, &name, CheckOutcome::Failing, "connect: timed out");
        assert!(fleet.container(&name).is_serving(), "{way:?}: it was the checker that was cut off");
        fleet.wait_ms(AGAIN_MS - 1);
        assert!(fleet.container(&name).is_serving(), "{way:?}");
        fleet.say(2, &name, CheckOutcome::Passing, "");
        fleet.wait_ms(60_000);
        assert!(fleet.container(&name).is_serving(), "{way:?}");
    }
}

#[test]
fn a_checker_that_was_cut_off_is_believed_once_it_had_the_time_to_see_for_itself() {
    let mut fleet = pair();
    let name = on(&fleet, 1);
    fleet.host(2, HostState::Suspect);
    fleet.host(2, HostState::Ready);
    fleet.say(2, &name, CheckOutcome::Failing, "answered 500");
    fleet.wait_ms(AGAIN_MS - 1);
    assert!(fleet.container(&name).is_serving());
    fleet.wait_ms(1);
    assert!(!fleet.state.containers.get(&name).is_some_and(|c| c.is_wanted()), "nobody had to say anything more");
}

#[test]
fn a_host_that_is_seen_before_it_reports_is_back_from_then_on() {
    let mut fleet = pair();
    let name = on(&fleet, 1);
    cut(&mut fleet, 1);
    fleet.say(2, &name, CheckOutcome::Failing, "connect: timed out");
    fleet.host(1, HostState::ControlLost);
    fleet.wait_ms(AGAIN_MS);
    assert!(fleet.container(&name).is_wanted(), "on a host that is not ready nothing is replaced");
    fleet.host(1, HostState::Ready);
    assert!(!fleet.state.containers.get(&name).is_some_and(|c| c.is_wanted()), "there was time enough");
}

#[test]
fn a_new_container_whose_only_checker_was_away_when_its_time_was_over_waits_for_it() {
    let mut fleet = Fleet::of(2, checked(1, Strategy::Recreate));
    let checker = fleet.checkers("s-web-1")[0];
    fleet.wait_ms(58_000);
    fleet.host(checker, HostState::Suspect);
    fleet.wait_ms(4_000);
    fleet.host(checker, HostState::Ready);
    fleet.wait_ms(AGAIN_MS - 1);
    assert_eq!((fleet.health("s-web-1"), fleet.wanted().len()), (Health::Initializing, 1));
    fleet.say(checker, "s-web-1", CheckOutcome::Passing, "");
    assert!(fleet.container("s-web-1").is_serving());
}
