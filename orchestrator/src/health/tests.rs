//! Scenarios and every rule, on the state: a fleet whose hosts do what they are told.

mod checkers;
mod recreate;
mod returns;
mod scenarios;
mod verdicts;
mod votes;

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use remuda_api::health::{HealthCheck, HealthCommand, Strategy};
use remuda_api::link::{CheckOutcome, CheckResult, ContainerStatus, HostFacts, Report};
use remuda_api::resource::{Availability, Health, HostState};
use remuda_api::spec::{DependsOn, RestartPolicy, ServiceMode, ServiceSpec, StackSpec};

use super::{hear, next_deadline_ms};
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
