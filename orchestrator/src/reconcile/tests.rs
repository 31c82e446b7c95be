//! Properties of the whole: declare, place, report, leave, in any order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use remuda_api::link::{ContainerStatus, HostFacts, Report};
use remuda_api::resource::{Availability, ContainerState, HostState};
use remuda_api::spec::{PortSpec, Protocol, PublishMode, Resources, ServiceMode, ServiceSpec, StackSpec};

mod avoided;
mod data;
mod heir;

use super::reconcile;
use crate::state::{Container, FleetRecord, Live, Node, Stage, State};
use crate::{declare, join, report, view};

const GIB: u64 = 1 << 30;

fn fleet() -> State {
    let record = FleetRecord {
        overlay_pools: vec!["10.42.0.0/16".parse().expect("a pool")],
        vip_pools: vec!["10.43.0.0/16".parse().expect("a pool")],
        ..FleetRecord::default()
    };
    State { revision: 1, fleet: Arc::new(record), ..State::default() }
}

fn add_host(state: &mut State, n: u32) {
    let facts = HostFacts {
        name: format!("h{n}"),
        underlay_ip: format!("192.0.2.{n}"),
        protocol_version: 1,
        cpu_milli: 4000,
        memory_bytes: 4 * GIB,
        ..HostFacts::default()
    };
    let id = join::join(state, &facts, 0).expect("joins");
    state.live.insert(id, Live { state: HostState::Ready, generation: u64::MAX, ..Live::default() });
}

fn declare_service(state: &mut State, name: &str, spec: ServiceSpec) {
    let stack =
        StackSpec { name: "s".into(), services: BTreeMap::from([(name.to_owned(), spec)]), ..StackSpec::default() };
    declare::stack(state, &stack, false).expect("room");
}

fn service(replicas: u32, memory_bytes: u64, host_port: Option<u16>) -> ServiceSpec {
    let port = |published| PortSpec {
        target: 80,
        published: Some(published),
        protocol: Protocol::Tcp,
        mode: PublishMode::Host,
    };
    ServiceSpec {
        mode: ServiceMode::Replicated { replicas: Some(replicas) },
        command: Some(vec!["x".into()]),
        resources: Resources { reserve_memory_bytes: memory_bytes, ..Resources::default() },
        ports: host_port.map(port).into_iter().collect(),
        ..ServiceSpec::default()
    }
}

/// Every host says that it does what it is told.
fn everyone_reports(state: &mut State) {
    for node_id in state.nodes.keys().copied().collect::<Vec<_>>() {
        let mine = state.containers.values().filter(|container| container.node_id == node_id);
        let containers = mine.map(|container| ContainerStatus {
            name: container.name.clone(),
            state: if container.stage == Stage::Stopping { "stopped".into() } else { "running".into() },
            spec_revision: container.spec_revision,
            ..ContainerStatus::default()
        });
        let said = Report { generation: u64::MAX, containers: containers.collect(), ..Report::default() };
        report::apply(state, node_id, &said, 0);
    }
}

fn settle(state: &mut State) {
    for _ in 0..4 {
        step(state);
        everyone_reports(state);
    }
    step(state);
}

fn step(state: &mut State) {
    state.revision += 1;
    reconcile(state, 0);
}

/// Nothing is two containers' at once.
fn check_ids(state: &State) {
    let mut ids: Vec<u32> = state.containers.values().map(|c| c.endpoint_id).filter(|id| *id != 0).collect();
    ids.extend(state.nodes.values().map(|node| node.host_endpoint_id));
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "endpoint ids are unique");
    let ips: Vec<_> = state.containers.values().filter_map(|c| c.ip).collect();
    assert_eq!(ips.iter().collect::<BTreeSet<_>>().len(), ips.len(), "addresses are unique");
}

/// What must hold whatever happened.
fn check(state: &State) {
    check_ids(state);
    for node in state.nodes.values() {
        let here: Vec<_> = state.containers.values().filter(|c| c.node_id == node.id).collect();
        assert!(here.iter().map(|c| c.claim.memory_bytes).sum::<u64>() <= node.facts.memory_bytes, "memory");
        let ports: Vec<_> = here.iter().flat_map(|c| &c.claim.host_ports).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len(), "host ports");
        for container in here.iter().filter_map(|c| c.ip) {
            assert!(node.blocks.iter().any(|block| block.contains(container)), "inside its host's blocks");
        }
    }
}

#[test]
fn reconciling_again_changes_nothing() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(7, GIB, None));
    settle(&mut state);
    let before = state.containers.clone();
    step(&mut state);
    assert!(before.iter().zip(&state.containers).all(|(a, b)| Arc::ptr_eq(a.1, b.1)), "not even copied");
}

#[test]
fn a_drained_host_is_emptied_and_the_others_take_over() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(6, 0, None));
    settle(&mut state);
    let first: u32 = *state.nodes.keys().next().expect("a host");
    let drained: &mut Node = Arc::make_mut(state.nodes.get_mut(&first).expect("known"));
    drained.availability = Availability::Drain;
    settle(&mut state);
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    state.containers.values().for_each(|container| *counts.entry(container.node_id).or_default() += 1);
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [3, 3]);
}

/// What the detector says of a host whose containers shall go elsewhere.
fn lose(state: &mut State, node_id: u32) {
    let live = Live { state: HostState::Dead, is_lost: true, is_avoided: true, ..Live::default() };
    state.live.insert(node_id, live);
}

fn serving(state: &State) -> usize {
    state.containers.values().filter(|c| c.is_serving() && !state.is_lost(c.node_id)).count()
}

fn on_host(state: &State, node_id: u32) -> Vec<Arc<Container>> {
    state.containers.values().filter(|c| c.node_id == node_id).cloned().collect()
}

fn first_host(state: &State) -> u32 {
    *state.nodes.keys().next().expect("a host")
}

#[test]
fn a_host_is_drained_without_one_container_fewer_in_service_at_any_step() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(9, 0, None));
    declare_service(&mut state, "single", service(1, 0, None));
    settle(&mut state);
    let first = first_host(&state);
    Arc::make_mut(state.nodes.get_mut(&first).expect("known")).availability = Availability::Drain;
    for _ in 0..6 {
        step(&mut state);
        assert!(serving(&state) >= 10, "{} serve", serving(&state));
        everyone_reports(&mut state);
    }
    assert!(on_host(&state, first).is_empty());
    assert_eq!(state.containers.len(), 10);
}

#[test]
fn a_drain_of_the_only_host_does_not_wait_for_room_that_is_nowhere() {
    let mut state = fleet();
    add_host(&mut state, 1);
    declare_service(&mut state, "web", service(2, 0, None));
    settle(&mut state);
    let first = first_host(&state);
    Arc::make_mut(state.nodes.get_mut(&first).expect("known")).availability = Availability::Drain;
    settle(&mut state);
    assert!(on_host(&state, first).is_empty());
    assert!(state.containers.values().all(|c| c.pending_reason.contains("not active (drain)")));
}

#[test]
fn a_drain_waits_for_a_host_that_is_away_for_a_moment() {
    let mut state = fleet();
    (1..3).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(1, 0, None));
    settle(&mut state);
    let here = state.containers["s-web-1"].node_id;
    let other = *state.nodes.keys().find(|id| **id != here).expect("two hosts");
    state.live.insert(other, Live { state: HostState::Suspect, ..Live::default() });
    Arc::make_mut(state.nodes.get_mut(&here).expect("known")).availability = Availability::Drain;
    step(&mut state);
    assert!(state.containers["s-web-1"].is_serving(), "there may be room in a second");
    settle(&mut state);
    assert!(on_host(&state, here).is_empty());
    assert_eq!(serving(&state), 1);
}

#[test]
fn what_left_its_host_wakes_nobody_any_more() {
    let mut state = fleet();
    add_host(&mut state, 1);
    declare_service(&mut state, "web", service(1, 0, None));
    settle(&mut state);
    let first = first_host(&state);
    Arc::make_mut(state.nodes.get_mut(&first).expect("known")).availability = Availability::Drain;
    step(&mut state);
    step(&mut state);
    assert_eq!(state.containers["s-web-1"].stage, Stage::Stopping);
    assert_eq!(super::next_deadline_ms(&state), None);
}

#[test]
fn a_scale_down_gives_up_what_does_not_run_first() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(4, 2 * GIB, None));
    settle(&mut state);
    let sole = state.nodes.keys().copied().find(|id| on_host(&state, *id).len() == 1).expect("4 on 3 hosts");
    // No room elsewhere: it stays with its lost host.
    declare_service(&mut state, "filler", service(2, 2 * GIB, None));
    settle(&mut state);
    lose(&mut state, sole);
    step(&mut state);
    let id = state.service("s", "web").expect("known").id;
    declare::scale(&mut state, id, 3);
    step(&mut state);
    let left: Vec<u32> = state.containers_of(id).filter(|c| c.is_wanted()).map(|c| c.node_id).collect();
    assert_eq!((left.len(), left.contains(&sole)), (3, false));
}

#[test]
fn a_host_made_active_again_keeps_what_has_not_left() {
    let mut state = fleet();
    (1..3).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(4, 0, None));
    settle(&mut state);
    let first = first_host(&state);
    let availability = |state: &mut State, to| {
        Arc::make_mut(state.nodes.get_mut(&first).expect("known")).availability = to;
        step(state);
    };
    availability(&mut state, Availability::Drain);
    availability(&mut state, Availability::Active);
    settle(&mut state);
    assert_eq!((on_host(&state, first).len(), state.containers.len()), (2, 4));
    assert!(state.containers.values().all(|c| c.moving_since_ms.is_none()));
}

#[test]
fn what_ran_on_a_lost_host_is_placed_elsewhere_under_its_name_with_another_address() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(9, 0, None));
    settle(&mut state);
    let first = first_host(&state);
    let before = on_host(&state, first);
    lose(&mut state, first);
    step(&mut state);
    assert!(on_host(&state, first).is_empty());
    for old in &before {
        let new = &state.containers[&old.name];
        assert_ne!((new.ip, new.endpoint_id), (old.ip, old.endpoint_id));
    }
    check(&state);
    assert_eq!(state.nodes[&first].leftovers.len(), 3);
}

#[test]
fn a_host_that_comes_back_is_asked_for_nothing_it_had_and_its_addresses_rest_until_it_let_go() {
    let mut state = fleet();
    (1..3).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(4, 0, None));
    settle(&mut state);
    let first = first_host(&state);
    let old: BTreeSet<_> = on_host(&state, first).iter().filter_map(|c| c.ip).collect();
    lose(&mut state, first);
    step(&mut state);
    state.live.insert(first, Live { state: HostState::Ready, generation: u64::MAX, ..Live::default() });
    declare_service(&mut state, "more", service(120, 0, None));
    step(&mut state);
    assert!(on_host(&state, first).iter().all(|c| c.ip.is_none_or(|ip| !old.contains(&ip))), "addresses rest");
    let nothing_of_it = Report { generation: u64::MAX, complete: true, ..Report::default() };
    report::apply(&mut state, first, &nothing_of_it, 0);
    assert!(state.nodes[&first].leftovers.is_empty());
}

#[test]
fn what_fits_nowhere_else_stays_with_its_lost_host_and_says_why() {
    let mut state = fleet();
    (1..3).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(2, 3 * GIB, None));
    settle(&mut state);
    let first = first_host(&state);
    lose(&mut state, first);
    step(&mut state);
    let stranded = on_host(&state, first);
    assert_eq!(stranded.len(), 1);
    let shown = view::container(&state, &stranded[0]);
    assert_eq!(shown.state, ContainerState::Failed);
    let reason = shown.reason.expect("a reason");
    assert!(reason.starts_with("its host h1 is dead: 0/2 hosts: 1 not ready (dead), 1 memory"), "{reason}");
}

#[test]
fn a_dead_host_that_the_brake_holds_keeps_its_containers() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(6, 0, None));
    settle(&mut state);
    let first = first_host(&state);
    let held = Live { state: HostState::Dead, is_avoided: true, reason: "held".into(), ..Live::default() };
    state.live.insert(first, held);
    step(&mut state);
    assert_eq!(on_host(&state, first).len(), 2);
    assert_eq!(view::service(&state, state.service("s", "web").expect("known")).running, 4);
}

#[test]
fn a_spec_that_no_longer_fits_where_it_runs_moves_and_waits_rather_than_oversubscribing() {
    let mut state = fleet();
    (1..3).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(4, 2 * GIB, None));
    settle(&mut state);
    declare_service(&mut state, "web", service(4, 3 * GIB, None));
    settle(&mut state);
    check(&state);
    let placed = state.containers.values().filter(|container| container.node_id != 0).count();
    assert_eq!((placed, state.containers.len()), (2, 4));
    let reason = state.containers.values().map(|c| c.pending_reason.as_str()).max().expect("one");
    assert_eq!(reason, "memory: needs 3 GiB, best host has 1 GiB free");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_is_declared_in_whatever_order_nothing_is_given_twice(
        steps in proptest::collection::vec((0u8..6, 0u32..5, 0u32..12, 0u64..4, 0u16..3), 1..40)
    ) {
        let mut state = fleet();
        add_host(&mut state, 1);
        for (what, which, count, gib, port) in steps {
            let name = format!("w{which}");
            match what {
                0 => declare_service(&mut state, &name, service(count, gib * GIB, (port > 0).then_some(8000 + port))),
                1 => { if let Some(id) = state.service("s", &name).map(|s| s.id) { declare::scale(&mut state, id, count); } }
                2 => { declare::remove_stack(&mut state, "s"); }
                3 if !state.nodes.values().any(|node| node.name == format!("h{}", which + 1)) => add_host(&mut state, which + 1),
                4 => { state.nodes.retain(|_, node| node.name != format!("h{}", which + 1)); let State { live, nodes, .. } = &mut state; live.retain(|id, _| nodes.contains_key(id)); }
                _ => everyone_reports(&mut state),
            }
            step(&mut state);
            check(&state);
        }
        settle(&mut state);
        check(&state);
        for service in state.services.values() {
            let wanted = state.containers_of(service.id).filter(|c| c.is_wanted()).count();
            prop_assert_eq!(wanted as u32, if service.removing { 0 } else { service.scale });
        }
    }
}
