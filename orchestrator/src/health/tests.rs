//! Scenarios E16 to E20 and every rule of the verdict, on the state.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use remuda_api::health::{HealthCheck, HealthCommand, Strategy};
use remuda_api::link::{CheckOutcome, CheckResult, ContainerStatus, HostFacts, Report};
use remuda_api::resource::{Availability, Health, HostState};
use remuda_api::spec::{DependsOn, ServiceMode, ServiceSpec, StackSpec};

use super::{checkers::Checkers, hear, next_deadline_ms};
use crate::publish::{Shared, assignment};
use crate::reconcile::{self, reconcile};
use crate::state::{Container, FleetRecord, Live, Stage, State};
use crate::{declare, health, join, persist, report, view};

const REFUSED: &str = "connect: connection refused";
const SOME_DAY_MS: u64 = 1_700_000_000_000;

/// A fleet whose hosts do what they are told, and whose clock is ours.
struct Fleet {
    state: State,
    now_ms: u64,
    /// What hosts say of the health command, by container; absent = `healthy`.
    inside: BTreeMap<String, &'static str>,
    /// The start each container is in; absent = the first.
    starts: BTreeMap<String, u32>,
}

impl Fleet {
    fn of(hosts: u32, spec: ServiceSpec) -> Fleet {
        let mut fleet = Fleet::empty(hosts);
        fleet.declare("web", spec);
        fleet.run_all();
        fleet
    }

    fn empty(hosts: u32) -> Fleet {
        let record = FleetRecord {
            overlay_pools: vec!["10.42.0.0/16".parse().expect("a pool")],
            vip_pools: vec!["10.43.0.0/16".parse().expect("a pool")],
            ..FleetRecord::default()
        };
        let state = State { revision: 1, fleet: Arc::new(record), ..State::default() };
        let mut fleet = Fleet { state, now_ms: SOME_DAY_MS, inside: BTreeMap::new(), starts: BTreeMap::new() };
        (1..=hosts).for_each(|n| fleet.join(n));
        fleet
    }

    fn join(&mut self, n: u32) {
        let facts = HostFacts {
            name: format!("h{n}"),
            underlay_ip: format!("192.0.2.{n}"),
            protocol_version: 1,
            cpu_milli: 64_000,
            memory_bytes: 64 << 30,
            ..HostFacts::default()
        };
        self.change(|state, now_ms| {
            let id = join::join(state, &facts, now_ms).expect("joins");
            state.live.insert(id, Live { state: HostState::Ready, generation: u64::MAX, ..Live::default() });
        });
    }

    fn declare(&mut self, name: &str, spec: ServiceSpec) {
        let services = BTreeMap::from([(name.to_owned(), spec)]);
        let stack = StackSpec { name: "s".into(), services, ..StackSpec::default() };
        self.change(|state, _| drop(declare::stack(state, &stack, false).expect("room")));
    }

    /// What a change of the server does.
    fn change(&mut self, edit: impl FnOnce(&mut State, u64)) {
        self.state.revision += 1;
        edit(&mut self.state, self.now_ms);
        reconcile(&mut self.state, self.now_ms);
    }

    /// Every ready host says that it does what it is told.
    fn run_all(&mut self) {
        let is_ready = |id: &u32| self.state.host_state(*id) == HostState::Ready;
        for node_id in self.state.nodes.keys().copied().filter(is_ready).collect::<Vec<_>>() {
            let mine = self.state.containers.values().filter(|container| container.node_id == node_id);
            let containers = mine.map(|container| ContainerStatus {
                name: container.name.clone(),
                state: if container.stage == Stage::Stopping { "stopped".into() } else { "running".into() },
                health: (*self.inside.get(&container.name).unwrap_or(&"healthy")).into(),
                started: format!("start {}", self.starts.get(&container.name).unwrap_or(&1)),
                spec_revision: container.spec_revision,
                ..ContainerStatus::default()
            });
            let said = Report { generation: u64::MAX, containers: containers.collect(), ..Report::default() };
            self.change(|state, now_ms| report::apply(state, node_id, &said, now_ms));
        }
    }

    fn restart(&mut self, name: &str) {
        *self.starts.entry(name.into()).or_insert(1) += 1;
        self.run_all();
    }

    fn host(&mut self, node_id: u32, host: HostState) {
        let standing = report::Standing { state: host, ..report::Standing::READY };
        self.change(|state, now_ms| report::host_state(state, node_id, standing, now_ms));
    }

    /// One checker's report about one container.
    fn say(&mut self, node_id: u32, name: &str, outcome: CheckOutcome, reason: &str) {
        let endpoint_id = self.container(name).endpoint_id;
        self.send(node_id, vec![CheckResult { endpoint_id, outcome: outcome.into(), reason: reason.into() }]);
    }

    fn send(&mut self, node_id: u32, checks: Vec<CheckResult>) {
        let said = Report { generation: u64::MAX, checks, ..Report::default() };
        self.change(|state, now_ms| report::apply(state, node_id, &said, now_ms));
    }

    /// All that are asked say the same.
    fn all_say(&mut self, name: &str, outcome: CheckOutcome, reason: &str) {
        self.checkers(name).into_iter().for_each(|node_id| self.say(node_id, name, outcome, reason));
    }

    /// Every container passes everywhere.
    fn all_pass(&mut self) {
        let names: Vec<String> = self.state.containers.keys().cloned().collect();
        names.iter().for_each(|name| self.all_say(name, CheckOutcome::Passing, ""));
    }

    /// Lets time pass as the server does: what is due is done when it is due.
    fn wait_ms(&mut self, ms: u64) {
        let end_ms = self.now_ms + ms;
        while let Some(due_ms) = reconcile::next_deadline_ms(&self.state).filter(|due_ms| *due_ms <= end_ms) {
            self.now_ms = self.now_ms.max(due_ms);
            self.change(|_, _| ());
            let next_ms = reconcile::next_deadline_ms(&self.state);
            assert!(next_ms.is_none_or(|next_ms| next_ms > self.now_ms), "a deadline that has passed is over");
        }
        self.now_ms = end_ms;
    }

    fn container(&self, name: &str) -> &Container {
        self.state.containers.get(name).unwrap_or_else(|| panic!("no container {name}: {:?}", self.state.containers))
    }

    fn checkers(&self, name: &str) -> Vec<u32> {
        self.state.checkers.of(self.container(name).endpoint_id).collect()
    }

    fn health(&self, name: &str) -> Health {
        self.container(name).health()
    }

    /// As users see it.
    fn reason(&self, name: &str) -> String {
        view::container(&self.state, self.container(name)).reason.unwrap_or_default()
    }

    fn wanted(&self) -> Vec<&str> {
        self.state.containers.values().filter(|c| c.is_wanted()).map(|c| c.name.as_str()).collect()
    }

    fn events(&self, kind: &str) -> Vec<String> {
        let of_kind = self.state.events.iter().filter(|event| event.kind == kind);
        of_kind.map(|event| format!("{}: {}", event.object, event.message)).collect()
    }
}

fn service(replicas: u32) -> ServiceSpec {
    ServiceSpec {
        mode: ServiceMode::Replicated { replicas: Some(replicas) },
        command: Some(vec!["x".into()]),
        ..ServiceSpec::default()
    }
}

fn checked(replicas: u32, strategy: Strategy) -> ServiceSpec {
    let check = HealthCheck { port: 80, strategy, ..HealthCheck::default() };
    ServiceSpec { health_check: Some(check), ..service(replicas) }
}

fn commanded(spec: ServiceSpec) -> ServiceSpec {
    ServiceSpec { healthcheck: Some(HealthCommand::new(vec!["true".into()])), ..spec }
}

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

#[test]
fn checks_are_told_to_the_hosts_that_are_asked_while_the_container_runs_and_shall_run() {
    let mut fleet = Fleet::of(4, checked(2, Strategy::Recreate));
    let told = |fleet: &Fleet| -> Vec<(u32, u32)> {
        let shared = Shared::of(&fleet.state);
        let of = |node_id| assignment(&fleet.state, &shared, node_id).checks.into_iter();
        (1..=4).flat_map(|node_id| of(node_id).map(move |check| (node_id, check.endpoint_id))).collect()
    };
    let all = told(&fleet);
    assert_eq!(all.len(), 6, "three for each");
    for name in ["s-web-1", "s-web-2"] {
        let container = fleet.container(name);
        assert!(
            all.iter().all(|(host, id)| *id != container.endpoint_id || *host != container.node_id),
            "none its own"
        );
    }
    let one = assignment(&fleet.state, &Shared::of(&fleet.state), all[0].0).checks.remove(0);
    assert_eq!((one.port, one.interval_ms, one.timeout_ms, one.rise, one.fall), (80, 2_000, 2_000, 2, 3));
    assert_eq!(one.ip, fleet.container(&one.container).ip.expect("an address").to_string());
    fleet.change(|state, _| {
        state.edit_container("s-web-1", |c| c.status.as_mut().expect("one").state = "failed".into())
    });
    assert_eq!(told(&fleet).len(), 3, "one that does not run is not checked");
    fleet.change(|state, _| drop(declare::remove_stack(state, "s")));
    assert!(told(&fleet).is_empty());
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
    fleet.wait_ms(600_000);
    assert_eq!((fleet.health("s-web-1"), fleet.wanted()), (Health::Unhealthy, vec!["s-web-1"]), "left alone");
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
    assert_eq!(fleet.health("s-web-1"), Health::Unhealthy);
    assert!(fleet.container("s-web-1").is_wanted(), "its own host is not back yet");
    fleet.send(fleet.container("s-web-1").node_id, vec![]);
    assert!(!fleet.container("s-web-1").is_wanted());
}

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

#[test]
fn alone_a_host_checks_its_own_until_another_one_comes() {
    let mut fleet = Fleet::of(1, checked(1, Strategy::None));
    assert_eq!(fleet.checkers("s-web-1"), [1]);
    fleet.join(2);
    assert_eq!(fleet.checkers("s-web-1"), [2]);
}

/// A table for `hosts`, made from `before`; endpoint `n` runs on host `n % 7 + 1`.
fn table(before: &Checkers, hosts: &[u32], endpoints: u32) -> Checkers {
    let checked: Vec<(u32, u32)> = (1..=endpoints).map(|id| (id, id % 7 + 1)).collect();
    before.next(hosts.to_vec(), &checked)
}

#[test]
fn checks_are_spread_evenly_and_few_move_when_a_host_goes() {
    let hosts: Vec<u32> = (1..=20).collect();
    let before = table(&Checkers::default(), &hosts, 2_000);
    let mut loads: BTreeMap<u32, u32> = BTreeMap::new();
    (1..=2_000).flat_map(|id| before.of(id)).for_each(|host| *loads.entry(host).or_default() += 1);
    assert!(loads.values().all(|load| (200..400).contains(load)), "300 each on average: {loads:?}");
    let after = table(&before, &hosts[..19], 2_000);
    for id in 1..=2_000 {
        let stays = before.of(id).filter(|host| *host != 20).all(|host| after.of(id).any(|other| other == host));
        assert!(stays, "only what host 20 checked moves");
    }
}

/// 1,000 hosts that pass all they are asked, 30,000 containers that run and are healthy.
fn large() -> State {
    let mut state = State::default();
    let service = crate::state::Service { id: 1, spec: checked(30_000, Strategy::Recreate), ..Default::default() };
    state.services.insert(1, Arc::new(service));
    for id in 1..=1_000 {
        state.nodes.insert(id, Arc::new(crate::state::Node { id, ..Default::default() }));
        state.live.insert(id, Live { state: HostState::Ready, generation: 1, ..Live::default() });
    }
    for id in 1..=30_000_u32 {
        let name = format!("s-web-{id}");
        let status = ContainerStatus { name: name.clone(), state: "running".into(), ..ContainerStatus::default() };
        let container = Container {
            name: name.clone(),
            service_id: 1,
            node_id: id % 1_000 + 1,
            endpoint_id: id,
            status: Some(status),
            ..Container::default()
        };
        state.containers.insert(name, Arc::new(container));
    }
    health::ask(&mut state);
    let mut reports: BTreeMap<u32, Report> = BTreeMap::new();
    for endpoint_id in 1..=30_000 {
        for node_id in state.checkers.of(endpoint_id) {
            let passes = CheckResult { endpoint_id, outcome: 1, reason: String::new() };
            reports.entry(node_id).or_default().checks.push(passes);
        }
    }
    reports.iter().for_each(|(node_id, said)| hear(&mut state, *node_id, said, 1));
    health::judge(&mut state, 1);
    state
}

/// What this thread has computed so far, milliseconds: other processes' work does not count.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    let ns: u64 = text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("nanoseconds first");
    ns as f64 / 1e6
}

#[test]
fn thirty_thousand_containers_and_a_thousand_hosts_are_a_matter_of_milliseconds() {
    let mut state = large();
    assert!(state.containers.values().all(|container| container.health() == Health::Healthy));
    let before = state.clone();
    let mut took_ms = BTreeMap::new();
    let mut time = |what: &'static str, work: &mut dyn FnMut(&mut State)| {
        let since_ms = cpu_ms();
        work(&mut state);
        took_ms.insert(what, (cpu_ms() - since_ms).round());
    };
    time("judge, nothing new", &mut |state| health::judge(state, 2));
    time("ask, nothing new", &mut health::ask);
    time("deadline", &mut |state| assert_eq!(next_deadline_ms(state), None));
    time("tell", &mut |state| assert_eq!(health::Checks::of(state).of_host(1).len(), before.live[&1].checks.len()));
    time("choose all", &mut |state| {
        state.checkers = Arc::default();
        health::ask(state);
    });
    time("one host less", &mut |state| {
        state.live.remove(&1);
        health::ask(state);
    });
    println!("milliseconds: {took_ms:?}");
    assert_ne!(state.checkers, before.checkers);
    assert_eq!(state.containers, before.containers);
    assert!(took_ms.values().all(|ms| *ms < 1_000.0), "{took_ms:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_table_made_from_an_older_one_is_the_table(
        steps in proptest::collection::vec(proptest::collection::btree_set(1u32..12, 0..12), 1..6)
    ) {
        let mut table_now = Checkers::default();
        for hosts in steps {
            let hosts: Vec<u32> = hosts.into_iter().collect();
            table_now = table(&table_now, &hosts, 30);
            prop_assert_eq!(&table_now, &table(&Checkers::default(), &hosts, 30));
            for id in 1..=30 {
                let asked: Vec<u32> = table_now.of(id).collect();
                let others = hosts.iter().filter(|host| **host != id % 7 + 1).count();
                let expected = if others == 0 { usize::from(!hosts.is_empty()) } else { others.min(3) };
                prop_assert_eq!(asked.len(), expected);
            }
        }
    }

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
        liar in 1u32..=5, replicas in 1u32..8, silent in 0u32..=5,
    ) {
        let mut fleet = Fleet::of(5, checked(replicas, Strategy::Recreate));
        fleet.all_pass();
        let before = fleet.state.containers.clone();
        let names: Vec<String> = before.keys().cloned().collect();
        for name in &names {
            if fleet.checkers(name).contains(&liar) {
                fleet.say(liar, name, CheckOutcome::Failing, "no");
            }
            if silent != liar && fleet.checkers(name).contains(&silent) {
                fleet.say(silent, name, CheckOutcome::Unknown, "");
            }
        }
        fleet.wait_ms(120_000);
        prop_assert_eq!(before, fleet.state.containers);
    }
}
