//! E16 to E20 of SCENARIOS.md.

use super::*;

#[test]
fn e16_a_container_answering_500_leaves_with_its_last_checkers_word_and_is_replaced() {
    let mut fleet = Fleet::of(4, checked(3, Strategy::Recreate));
    fleet.all_pass();
    let asked = fleet.checkers("s-web-2");
    fleet.say(asked[0], "s-web-2", CheckOutcome::Failing, "answered 500");
    fleet.say(asked[1], "s-web-2", CheckOutcome::Failing, "answered 500");
    assert!(fleet.container("s-web-2").is_serving());
    fleet.say(asked[2], "s-web-2", CheckOutcome::Failing, "answered 500");
    let gone = fleet.container("s-web-2");
    assert!(!gone.is_wanted() && gone.drains, "out of names, and its flows are drained, as it served");
    assert_eq!(fleet.wanted(), ["s-web-1", "s-web-3", "s-web-4"], "another one takes its place in the same change");
    let name = |id: u32| fleet.state.nodes[&id].name.clone();
    let each: Vec<String> = asked.iter().map(|id| format!("{}: answered 500", name(*id))).collect();
    let why = format!("3 of 3 checkers fail: {}", each.join(", "));
    assert_eq!(fleet.events("container-unhealthy"), [format!("s-web-2: {why}")]);
    assert_eq!(fleet.events("container-recreated"), [format!("s-web-2: another one takes its place: {why}")]);
}

#[test]
fn e16_with_strategy_none_it_is_left_alone_and_is_back_when_it_passes_again() {
    let mut fleet = Fleet::of(4, checked(3, Strategy::None));
    fleet.all_pass();
    fleet.all_say("s-web-2", CheckOutcome::Failing, "answered 500");
    assert_eq!((fleet.health("s-web-2"), fleet.container("s-web-2").is_serving()), (Health::Unhealthy, false));
    assert!(fleet.reason("s-web-2").starts_with("3 of 3 checkers fail: h"), "{}", fleet.reason("s-web-2"));
    fleet.wait_ms(3_600_000);
    assert_eq!(fleet.wanted(), ["s-web-1", "s-web-2", "s-web-3"]);
    let asked = fleet.checkers("s-web-2");
    fleet.say(asked[0], "s-web-2", CheckOutcome::Passing, "");
    assert!(fleet.container("s-web-2").is_serving());
}

#[test]
fn e17_two_of_three_unhealthy_are_not_replaced_when_the_quorum_is_two_and_one_is() {
    let mut fleet = Fleet::of(4, checked(3, Strategy::RecreateOnQuorum { quorum: 2 }));
    fleet.all_pass();
    fleet.all_say("s-web-1", CheckOutcome::Failing, "answered 500");
    fleet.wait_ms(8_499);
    assert_eq!(fleet.wanted().len(), 3, "another one may have failed at the same time: nobody knows yet");
    fleet.wait_ms(1);
    assert_eq!(fleet.wanted(), ["s-web-2", "s-web-3", "s-web-4"], "two healthy ones: it is replaced");
    let mut fleet = Fleet::of(4, checked(3, Strategy::RecreateOnQuorum { quorum: 2 }));
    fleet.all_pass();
    fleet.all_say("s-web-1", CheckOutcome::Failing, "answered 500");
    fleet.wait_ms(7_000);
    fleet.all_say("s-web-2", CheckOutcome::Failing, "answered 500");
    fleet.wait_ms(600_000);
    assert_eq!((fleet.health("s-web-1"), fleet.health("s-web-2")), (Health::Unhealthy, Health::Unhealthy));
    assert_eq!(fleet.wanted(), ["s-web-1", "s-web-2", "s-web-3"], "one healthy one is less than two");
    // One recovers: now there are two healthy ones, and the other is replaced.
    fleet.all_say("s-web-2", CheckOutcome::Passing, "");
    assert_eq!(fleet.wanted(), ["s-web-2", "s-web-3", "s-web-4"]);
}

#[test]
fn e18_while_one_checker_passes_the_others_change_nothing() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::Recreate));
    fleet.all_pass();
    let asked = fleet.checkers("s-web-1");
    let before = fleet.state.containers.clone();
    fleet.say(asked[0], "s-web-1", CheckOutcome::Failing, "connect: timed out");
    fleet.say(asked[1], "s-web-1", CheckOutcome::Failing, "connect: timed out");
    assert!(fleet.container("s-web-1").is_serving());
    assert_eq!(before, fleet.state.containers);
}

#[test]
fn e19_a_new_container_that_never_passes_is_unhealthy_when_its_time_is_over() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::None));
    let start_ms = fleet.now_ms;
    fleet.wait_ms(8_000);
    fleet.all_say("s-web-1", CheckOutcome::Failing, REFUSED);
    assert_eq!(next_deadline_ms(&fleet.state), Some(start_ms + 60_000));
    fleet.wait_ms(51_999);
    assert_eq!(fleet.health("s-web-1"), Health::Initializing);
    fleet.wait_ms(1);
    assert_eq!(fleet.health("s-web-1"), Health::Unhealthy);
    let why = "not healthy within 60 s of its start: 3 of 3 checkers: connect: connection refused";
    assert_eq!(fleet.reason("s-web-1"), why);
    assert_eq!(next_deadline_ms(&fleet.state), None);
}

#[test]
fn e19_also_when_no_checker_has_come_to_a_decision() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::Recreate));
    fleet.wait_ms(60_000);
    assert_eq!(fleet.wanted(), ["s-web-2"]);
    assert_eq!(fleet.container("s-web-1").stage, Stage::Stopping, "it never served: nothing to drain");
}

#[test]
fn e20_when_all_replicas_are_unhealthy_no_host_is_told_of_one_that_serves() {
    let mut fleet = Fleet::of(4, checked(3, Strategy::None));
    fleet.all_pass();
    let serving = |fleet: &Fleet, node_id| {
        let told = assignment(&fleet.state, &Shared::of(&fleet.state), node_id);
        told.endpoints.iter().filter(|endpoint| endpoint.serving).count()
    };
    assert_eq!([1, 2, 3, 4].map(|node_id| serving(&fleet, node_id)), [3; 4]);
    for name in ["s-web-1", "s-web-2", "s-web-3"] {
        fleet.all_say(name, CheckOutcome::Failing, "answered 500");
    }
    assert_eq!([1, 2, 3, 4].map(|node_id| serving(&fleet, node_id)), [0; 4]);
}
