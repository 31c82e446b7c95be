//! From evidence to verdict: starts, timeouts, commands, restarts of the server.

use super::*;

#[test]
fn without_a_check_running_is_healthy() {
    let fleet = Fleet::of(2, service(1));
    assert!(fleet.container("s-web-1").is_serving());
    assert_eq!(fleet.events("container-healthy"), [""; 0], "that it runs is said already");
    assert!(assignment(&fleet.state, &Shared::of(&fleet.state), 1).checks.is_empty());
}

#[test]
fn a_new_container_enters_names_when_the_first_checker_passes() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::Recreate));
    assert_eq!(fleet.health("s-web-1"), Health::Initializing);
    assert_eq!(fleet.reason("s-web-1"), "none of 3 checkers has passed it yet");
    let asked = fleet.checkers("s-web-1");
    fleet.say(asked[0], "s-web-1", CheckOutcome::Failing, REFUSED);
    fleet.say(asked[1], "s-web-1", CheckOutcome::Failing, REFUSED);
    assert_eq!(fleet.health("s-web-1"), Health::Initializing, "it has its time");
    assert_eq!(fleet.reason("s-web-1"), "2 of 3 checkers: connect: connection refused");
    fleet.say(asked[2], "s-web-1", CheckOutcome::Passing, "");
    assert!(fleet.container("s-web-1").is_serving());
    assert_eq!(fleet.reason("s-web-1"), "");
    assert_eq!(fleet.events("container-healthy"), ["s-web-1: its checks pass"]);
}

#[test]
fn another_start_begins_afresh_and_an_early_word_counts_when_it_would_have_changed() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::None));
    fleet.all_pass();
    fleet.wait_ms(1_000);
    fleet.restart("s-web-1");
    let restart_ms = fleet.now_ms;
    assert_eq!(fleet.health("s-web-1"), Health::Initializing, "they may not have noticed");
    // Three checks every 2 s, 2 s for the answer, 0.5 s for the report.
    assert_eq!(next_deadline_ms(&fleet.state), Some(restart_ms + 8_500));
    fleet.wait_ms(8_499);
    assert_eq!(fleet.health("s-web-1"), Health::Initializing);
    fleet.wait_ms(1);
    assert!(fleet.container("s-web-1").is_serving());
}

#[test]
fn after_a_restart_a_word_that_is_new_counts_at_once() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::None));
    fleet.all_pass();
    fleet.wait_ms(1_000);
    fleet.restart("s-web-1");
    let asked = fleet.checkers("s-web-1");
    fleet.say(asked[0], "s-web-1", CheckOutcome::Failing, REFUSED);
    assert_eq!(fleet.health("s-web-1"), Health::Initializing);
    fleet.say(asked[0], "s-web-1", CheckOutcome::Passing, "");
    assert!(fleet.container("s-web-1").is_serving());
}

#[test]
fn a_restarted_container_has_the_reinitializing_timeout() {
    let mut spec = checked(1, Strategy::None);
    spec.health_check.as_mut().expect("one").reinitializing_timeout_ms = 20_000;
    let mut fleet = Fleet::of(4, spec);
    fleet.all_pass();
    fleet.wait_ms(1_000);
    fleet.restart("s-web-1");
    fleet.all_say("s-web-1", CheckOutcome::Failing, REFUSED);
    fleet.wait_ms(20_000);
    let why = "not healthy within 20 s of its start: 3 of 3 checkers: connect: connection refused";
    assert_eq!(fleet.reason("s-web-1"), why);
}

#[test]
fn when_nobody_votes_the_verdict_stays_and_no_time_runs_out() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::Recreate));
    fleet.all_pass();
    fleet.declare("new", checked(1, Strategy::Recreate));
    (1..=4).for_each(|node_id| fleet.host(node_id, HostState::Suspect));
    (1..=4).for_each(|node_id| fleet.host(node_id, HostState::Dead));
    fleet.wait_ms(600_000);
    assert_eq!((fleet.health("s-web-1"), fleet.health("s-new-1")), (Health::Healthy, Health::Initializing));
}

#[test]
fn containers_of_a_control_lost_host_are_judged_by_their_checkers_but_not_replaced() {
    let mut fleet = Fleet::of(4, checked(4, Strategy::Recreate));
    fleet.all_pass();
    let lost = fleet.container("s-web-1").node_id;
    fleet.host(lost, HostState::ControlLost);
    assert!(fleet.container("s-web-1").is_serving());
    fleet.all_say("s-web-1", CheckOutcome::Failing, REFUSED);
    fleet.wait_ms(60_000);
    assert_eq!(fleet.health("s-web-1"), Health::Unhealthy);
    assert_eq!(fleet.wanted().len(), 4, "what becomes of it is decided with its host");
    fleet.host(lost, HostState::Ready);
    assert!(!fleet.wanted().contains(&"s-web-1"), "now it is its own affair");
}

#[test]
fn with_a_command_too_both_must_pass() {
    let mut fleet = Fleet::of(4, commanded(checked(1, Strategy::None)));
    fleet.inside.insert("s-web-1".into(), "initializing");
    fleet.run_all();
    fleet.restart("s-web-1");
    fleet.now_ms += 1;
    fleet.all_say("s-web-1", CheckOutcome::Failing, REFUSED);
    fleet.all_say("s-web-1", CheckOutcome::Passing, "");
    assert_eq!(fleet.reason("s-web-1"), "its health command has not passed yet");
    fleet.inside.insert("s-web-1".into(), "healthy");
    fleet.run_all();
    assert!(fleet.container("s-web-1").is_serving());
    fleet.inside.insert("s-web-1".into(), "unhealthy");
    fleet.run_all();
    assert_eq!(fleet.reason("s-web-1"), "its health command fails");
    fleet.all_say("s-web-1", CheckOutcome::Failing, REFUSED);
    fleet.inside.insert("s-web-1".into(), "healthy");
    fleet.run_all();
    assert_eq!(fleet.health("s-web-1"), Health::Unhealthy);
}

#[test]
fn with_a_command_alone_its_host_judges() {
    let mut fleet = Fleet::empty(1);
    fleet.inside.insert("s-web-1".into(), "initializing");
    fleet.declare("web", commanded(service(1)));
    fleet.run_all();
    assert_eq!((fleet.health("s-web-1"), next_deadline_ms(&fleet.state)), (Health::Initializing, None));
    fleet.inside.insert("s-web-1".into(), "healthy");
    fleet.run_all();
    assert!(fleet.container("s-web-1").is_serving());
    fleet.inside.insert("s-web-1".into(), "unhealthy");
    fleet.run_all();
    assert_eq!(fleet.wanted(), ["s-web-2"], "another one takes its place, as in Swarm");
}

#[test]
fn a_container_whose_image_checks_itself_is_as_its_host_says_although_its_service_has_no_health_command() {
    let mut fleet = Fleet::empty(1);
    fleet.inside.insert("s-web-1".into(), "initializing");
    fleet.declare("web", service(1));
    fleet.run_all();
    assert_eq!((fleet.health("s-web-1"), next_deadline_ms(&fleet.state)), (Health::Initializing, None));
    fleet.inside.insert("s-web-1".into(), "healthy");
    fleet.run_all();
    assert!(fleet.container("s-web-1").is_serving());
    fleet.inside.insert("s-web-1".into(), "unhealthy");
    fleet.run_all();
    assert_eq!(fleet.wanted(), ["s-web-2"], "another one takes its place, as in Swarm");
}

#[test]
fn with_a_command_alone_what_shall_not_come_back_is_left_alone() {
    let mut fleet = Fleet::empty(1);
    fleet.declare("web", ServiceSpec { restart: RestartPolicy::Never, ..commanded(service(1)) });
    fleet.run_all();
    fleet.inside.insert("s-web-1".into(), "unhealthy");
    fleet.run_all();
    fleet.wait_ms(600_000);
    assert_eq!((fleet.health("s-web-1"), fleet.wanted()), (Health::Unhealthy, vec!["s-web-1"]));
}

#[test]
fn a_container_that_waits_for_health_is_placed_when_the_verdict_says_so() {
    let mut fleet = Fleet::of(3, checked(1, Strategy::None));
    let waiting = ServiceSpec { depends_on: BTreeMap::from([("web".into(), DependsOn::ServiceHealthy)]), ..service(1) };
    fleet.declare("api", waiting);
    assert_eq!(fleet.reason("s-api-1"), "waits for web to be healthy");
    fleet.all_pass();
    assert_ne!(fleet.container("s-api-1").node_id, 0);
}

#[test]
fn the_verdict_outlives_the_server_until_everybody_who_may_know_better_has_been_heard() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::Recreate));
    fleet.all_pass();
    let asked = fleet.checkers("s-web-1");
    let records = persist::writes(&State::default(), &fleet.state).expect("records");
    let put = |write| match write {
        crate::store::Write::Put(key, value) => Some((key, value)),
        crate::store::Write::Delete(_) => None,
    };
    let records = records.into_iter().filter_map(put).collect();
    fleet.state = persist::read(crate::store::Loaded { revision: fleet.state.revision, records }).expect("a state");
    let suspect = || Live { state: HostState::Suspect, ..Live::default() };
    fleet.state.live = fleet.state.nodes.keys().map(|id| (*id, suspect())).collect();
    health::ask(&mut fleet.state);
    assert_eq!(fleet.checkers("s-web-1"), asked, "the same are asked");
    fleet.wait_ms(600_000);
    assert!(fleet.container("s-web-1").is_serving());
    // The one checker whose path is broken is back first.
    fleet.say(asked[0], "s-web-1", CheckOutcome::Failing, REFUSED);
    assert!(fleet.container("s-web-1").is_serving(), "the others may say otherwise");
    fleet.say(asked[1], "s-web-1", CheckOutcome::Passing, "");
    fleet.say(asked[2], "s-web-1", CheckOutcome::Failing, REFUSED);
    assert!(fleet.container("s-web-1").is_serving());
    fleet.say(asked[1], "s-web-1", CheckOutcome::Failing, REFUSED);
    assert!(fleet.container("s-web-1").is_serving(), "what they have just seen is not known yet");
    fleet.wait_ms(8_500);
    assert_eq!(fleet.health("s-web-1"), Health::Unhealthy);
    assert!(fleet.container("s-web-1").is_wanted(), "its own host is not back yet");
    fleet.send(fleet.container("s-web-1").node_id, vec![]);
    fleet.wait_ms(8_499);
    assert!(fleet.container("s-web-1").is_wanted());
    fleet.wait_ms(1);
    assert!(!fleet.container("s-web-1").is_wanted());
}

#[test]
fn a_checker_that_begins_afresh_may_say_otherwise_before_the_rest_decides() {
    let mut fleet = Fleet::of(4, checked(1, Strategy::None));
    fleet.all_pass();
    let asked = fleet.checkers("s-web-1");
    let (broken, sound) = asked.split_first().expect("three");
    fleet.say(*broken, "s-web-1", CheckOutcome::Failing, REFUSED);
    // Its check was changed in place: each counts from nothing again.
    sound.iter().for_each(|node_id| fleet.say(*node_id, "s-web-1", CheckOutcome::Unknown, ""));
    assert_eq!(fleet.health("s-web-1"), Health::Healthy);
    fleet.wait_ms(1_000);
    fleet.say(sound[0], "s-web-1", CheckOutcome::Passing, "");
    fleet.wait_ms(600_000);
    assert_eq!(fleet.health("s-web-1"), Health::Healthy);
    fleet.say(sound[0], "s-web-1", CheckOutcome::Unknown, "");
    fleet.wait_ms(600_000);
    assert_eq!(fleet.health("s-web-1"), Health::Unhealthy, "who never decides holds up nothing");
}
