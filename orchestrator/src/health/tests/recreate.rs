//! When another container takes the place of an unhealthy one.

use super::*;

#[test]
fn replacements_that_do_not_help_come_slower_and_slower() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::Recreate));
    let mut times = Vec::new();
    for _ in 0..9 {
        fleet.run_all();
        let before = fleet.events("container-recreated").len();
        // Each fails as soon as it runs, by its command say: the initializing timeout is not what slows it.
        let name = fleet.wanted()[0].to_owned();
        fleet.change(|state, now_ms| {
            state.edit_container(&name, |c| {
                (c.verdict.health, c.verdict.since_ms, c.verdict.reason) = (Health::Unhealthy, now_ms, "x".into());
            })
        });
        while fleet.events("container-recreated").len() == before {
            fleet.wait_ms(100);
        }
        times.push(fleet.now_ms);
        fleet.run_all();
    }
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let expected = [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000];
    assert!(gaps.iter().zip(expected).all(|(gap, wanted)| gap.abs_diff(wanted) <= 200), "{gaps:?}");
}

#[test]
fn a_global_services_container_on_a_paused_host_is_kept_as_there_will_be_no_other() {
    let spec = ServiceSpec { mode: ServiceMode::Global, ..checked(1, Strategy::Recreate) };
    let mut fleet = Fleet::of(3, spec);
    fleet.all_pass();
    let name = fleet.wanted()[0].to_owned();
    let node_id = fleet.container(&name).node_id;
    let set = |state: &mut State, availability| {
        Arc::make_mut(state.nodes.get_mut(&node_id).expect("known")).availability = availability;
    };
    fleet.change(|state, _| set(state, Availability::Pause));
    fleet.all_say(&name, CheckOutcome::Failing, REFUSED);
    fleet.wait_ms(60_000);
    assert!(fleet.wanted().contains(&name.as_str()));
    fleet.change(|state, _| set(state, Availability::Active));
    assert!(!fleet.wanted().contains(&name.as_str()));
    assert_eq!(fleet.wanted().len(), 3, "and the host has another one");
}

#[test]
fn of_many_that_fail_at_once_one_a_second_is_replaced() {
    let mut fleet = Fleet::of(4, checked(5, Strategy::Recreate));
    fleet.all_pass();
    fleet.wait_ms(60_000);
    let names: Vec<String> = fleet.state.containers.keys().cloned().collect();
    names.iter().for_each(|name| fleet.all_say(name, CheckOutcome::Failing, REFUSED));
    let replaced = |fleet: &Fleet| fleet.events("container-recreated").len();
    assert_eq!(replaced(&fleet), 1);
    for expected in 2..=5 {
        fleet.wait_ms(1_000);
        assert_eq!(replaced(&fleet), expected);
    }
}
