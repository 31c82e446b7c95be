//! Whose word counts.

use super::*;

#[test]
fn a_host_that_is_not_ready_does_not_vote() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::None));
    fleet.all_pass();
    let asked = fleet.checkers("s-web-1");
    fleet.say(asked[0], "s-web-1", CheckOutcome::Failing, REFUSED);
    fleet.host(asked[1], HostState::Suspect);
    fleet.host(asked[2], HostState::Suspect);
    assert_eq!(
        fleet.reason("s-web-1"),
        format!("1 of 3 checkers fail: {}: {REFUSED}", fleet.state.nodes[&asked[0]].name)
    );
    fleet.host(asked[2], HostState::Ready);
    assert!(fleet.container("s-web-1").is_serving(), "its word is still held");
}

#[test]
fn a_checker_for_which_all_fails_does_not_vote_while_another_passes_some_of_it() {
    let mut fleet = Fleet::of(4, checked(4, Strategy::None));
    fleet.all_pass();
    let liar = fleet.checkers("s-web-1")[0];
    let names: Vec<String> = fleet.state.containers.keys().cloned().collect();
    for name in names.iter().filter(|name| fleet.checkers(name).contains(&liar)).cloned().collect::<Vec<_>>() {
        fleet.say(liar, &name, CheckOutcome::Failing, "I say so");
    }
    // It alone is left to judge the first one, and still passes elsewhere contradict it.
    for other in fleet.checkers("s-web-1").into_iter().filter(|other| *other != liar) {
        fleet.say(other, "s-web-1", CheckOutcome::Unknown, "");
    }
    assert!(names.iter().all(|name| fleet.container(name).is_serving()), "its word counts for nothing");
    // When really everything is down, everybody votes.
    names.iter().for_each(|name| fleet.all_say(name, CheckOutcome::Failing, REFUSED));
    assert!(names.iter().all(|name| fleet.health(name) == Health::Unhealthy));
}

#[test]
fn a_word_nobody_asked_for_is_not_kept() {
    let mut fleet = Fleet::of(5, checked(1, Strategy::None));
    let container = fleet.container("s-web-1").clone();
    let asked = fleet.checkers("s-web-1");
    let other = (1..=5).find(|id| !asked.contains(id)).expect("five hosts");
    fleet.say(other, "s-web-1", CheckOutcome::Passing, "");
    let result = |endpoint_id, outcome, reason| CheckResult { endpoint_id, outcome, reason };
    fleet.send(asked[0], vec![result(0, 1, String::new()), result(u32::MAX, 2, String::new())]);
    fleet.send(
        asked[0],
        vec![result(container.endpoint_id, 7, String::new()), result(container.endpoint_id, -1, String::new())],
    );
    assert_eq!(fleet.health("s-web-1"), Health::Initializing);
    assert!(fleet.state.live.values().all(|live| live.checks.is_empty()));
    fleet.send(asked[0], vec![result(container.endpoint_id, 2, "\u{1b}[31mü".repeat(1 << 18))]);
    let kept = &fleet.state.live[&asked[0]].checks[&container.endpoint_id].reason;
    assert!(kept.len() <= 200 && !kept.contains('\u{1b}'), "{kept}");
    let mut ghost = fleet.state.clone();
    hear(
        &mut ghost,
        99,
        &Report { checks: vec![result(container.endpoint_id, 1, String::new())], ..Report::default() },
        0,
    );
    assert_eq!(ghost.live, fleet.state.live);
}

#[test]
fn a_host_that_never_learned_that_it_was_not_asked_for_a_moment_still_votes() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::None));
    fleet.all_pass();
    fleet.wait_ms(1_000);
    let set = |state: &mut State, word: &str| {
        state.edit_container("s-web-1", |c| c.status.as_mut().expect("one").state = word.into());
    };
    fleet.change(|state, _| set(state, "failed"));
    assert!(fleet.checkers("s-web-1").is_empty());
    fleet.starts.insert("s-web-1".into(), 2);
    fleet.run_all();
    fleet.wait_ms(8_500);
    assert!(fleet.container("s-web-1").is_serving(), "nobody has said anything since, because nothing changed");
}

#[test]
fn a_complete_report_replaces_what_was_said_and_others_add_to_it() {
    let mut fleet = Fleet::of(2, checked(4, Strategy::None));
    let of_h1: Vec<u32> = fleet.state.containers.values().filter(|c| c.node_id == 1).map(|c| c.endpoint_id).collect();
    let result = |endpoint_id: u32| CheckResult { endpoint_id, outcome: 1, reason: String::new() };
    fleet.send(2, vec![result(of_h1[0])]);
    fleet.send(2, vec![result(of_h1[1])]);
    assert_eq!(fleet.state.live[&2].checks.len(), 2);
    let complete = Report { complete: true, checks: vec![result(of_h1[1])], ..Report::default() };
    let held = fleet.state.live[&2].clone();
    assert!(!health::is_news(&held, &Report { checks: vec![result(of_h1[0])], ..Report::default() }), "known");
    fleet.change(|state, now_ms| hear(state, 2, &complete, now_ms));
    assert_eq!(fleet.state.live[&2].checks.keys().copied().collect::<Vec<_>>(), [of_h1[1]]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_whatever_order_checkers_speak_the_verdict_is_the_same(
        passes in proptest::collection::vec(any::<bool>(), 6),
        one in proptest::collection::vec(any::<u32>(), 6),
        other in proptest::collection::vec(any::<u32>(), 6),
        was_healthy in any::<bool>(),
    ) {
        let verdicts = |order: &[u32]| {
            let mut fleet = Fleet::of(5, checked(2, Strategy::None));
            if was_healthy {
                fleet.all_pass();
            }
            let mut turns: Vec<usize> = (0..6).collect();
            turns.sort_by_key(|turn| order[*turn]);
            for turn in turns {
                let name = ["s-web-1", "s-web-2"][turn / 3];
                let node_id = fleet.checkers(name)[turn % 3];
                let outcome = if passes[turn] { CheckOutcome::Passing } else { CheckOutcome::Failing };
                fleet.say(node_id, name, outcome, if passes[turn] { "" } else { REFUSED });
            }
            ["s-web-1", "s-web-2"].map(|name| fleet.health(name))
        };
        prop_assert_eq!(verdicts(&one), verdicts(&other));
    }

    #[test]
    fn a_checker_that_fails_everything_changes_nothing_while_others_pass(
        liar in 1u32..=5, replicas in 1u32..8, silent in proptest::collection::btree_set(1u32..=5, 0..3),
    ) {
        let mut fleet = Fleet::of(5, checked(replicas, Strategy::Recreate));
        fleet.all_pass();
        let before = fleet.state.containers.clone();
        let names: Vec<String> = before.keys().cloned().collect();
        // Somebody must be there to contradict: else it is the only one who knows.
        let contradicts = |name: &String| fleet.checkers(name).iter().any(|id| *id != liar && !silent.contains(id));
        let lied_about: Vec<String> = names.iter().filter(|name| fleet.checkers(name).contains(&liar)).cloned().collect();
        prop_assume!(lied_about.iter().any(contradicts));
        // The last lie makes it one that fails everything: until then it passes some, and any that passes is enough.
        for name in &names {
            for node_id in fleet.checkers(name).into_iter().filter(|id| *id != liar && silent.contains(id)) {
                fleet.say(node_id, name, CheckOutcome::Unknown, "");
            }
        }
        let endpoint = |name: &String| fleet.container(name).endpoint_id;
        let lie = |name| CheckResult { endpoint_id: endpoint(name), outcome: 2, reason: "no".into() };
        let lies = lied_about.iter().map(lie).collect();
        fleet.send(liar, lies);
        fleet.wait_ms(120_000);
        prop_assert_eq!(before, fleet.state.containers);
    }
}
