use std::collections::BTreeMap;

use proptest::prelude::*;
use remuda_api::assignment::Assignment;

use super::*;
use crate::desired::desired;
use crate::desired::tests::two_hosts;
use crate::observed::{Health, Unit, UnitState};

mod docker;

const WEB: &str = "shop-web-1";
const NOW_MS: u64 = 1_000_000;

/// A kernel and runtimes that do at once what they are told.
fn model(observed: &mut Observed, action: &Action) {
    let kernel = &mut observed.kernel;
    match action.clone() {
        Action::SetHost(host) => kernel.host = Some(host),
        Action::PutRoute(prefix, route) => drop(kernel.routes.insert(prefix, route)),
        Action::RemoveRoute(prefix) => drop(kernel.routes.remove(&prefix)),
        Action::PutNode(node) => drop(kernel.nodes.insert(node.id, node)),
        Action::RemoveNode(node) => drop(kernel.nodes.remove(&node.id)),
        Action::CreateUnit(spec) => {
            let unit = Unit {
                name: spec.name.clone(),
                spec_revision: spec.spec_revision,
                ip: spec.ip,
                state: UnitState::Created,
                restarts: 0,
                started_ms: 0,
                exited_ms: 0,
                can_start: true,
                plugged: false,
                health: Health::default(),
                image_health: None,
            };
            observed.units.insert(spec.name, unit);
        }
        Action::StartUnit(name) => state(observed, &name, UnitState::Running { pid: 9 }),
        Action::StopUnit { name, .. } => {
            state(observed, &name, UnitState::Exited { code: 143, reason: "".into(), lines: vec![] })
        }
        Action::RemoveUnit(name) => drop(observed.units.remove(&name)),
        Action::PlugEndpoint(plug) => {
            assert!(observed.units.contains_key(&plug.name), "{} is plugged before it exists", plug.name);
            kernel.endpoints.insert(plug.ip, units::plugged(&plug));
            observed.units.entry(plug.name).and_modify(|unit| unit.plugged = true);
        }
        Action::UnplugEndpoint { ip, .. } => drop(kernel.endpoints.remove(&ip)),
        Action::PutBackend(backend) => drop(kernel.backends.insert(backend.id, backend)),
        Action::RemoveBackend { id } => drop(kernel.backends.remove(&id)),
        Action::PutFrontend(frontend) => drop(kernel.frontends.insert(frontend.key, frontend)),
        Action::RemoveFrontend(key) => drop(kernel.frontends.remove(&key)),
        Action::BreakFlows { .. } => {}
        Action::PublishNames { generation } => observed.names_generation = generation,
    }
}

fn state(observed: &mut Observed, name: &str, state: UnitState) {
    let unit = observed.units.get_mut(name).unwrap_or_else(|| panic!("{name} does not exist"));
    unit.state = state;
}

/// More rounds than a replacement (stop, remove, create) ever takes.
const ROUNDS_MAX: usize = 6;

/// Plans and does until nothing is left.
fn settle(desired: &Desired, observed: &mut Observed) -> Vec<Action> {
    let mut done = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let plan = plan(desired, observed, &History::default(), true, NOW_MS);
        if plan.actions.is_empty() {
            return done;
        }
        plan.actions.iter().for_each(|action| model(observed, action));
        done.extend(plan.actions);
    }
    panic!("still not settled: {:#?}", plan(desired, observed, &History::default(), true, NOW_MS))
}

fn wanted(assignment: &Assignment) -> Desired {
    desired(assignment, &["eth0".into()]).expect("a valid assignment")
}

fn settled() -> (Desired, Observed) {
    let desired = wanted(&two_hosts());
    let mut observed = Observed::default();
    settle(&desired, &mut observed);
    (desired, observed)
}

fn lines(actions: &[Action]) -> Vec<String> {
    actions.iter().map(ToString::to_string).collect()
}

#[test]
fn adding_goes_from_the_route_to_the_name() {
    let desired = wanted(&two_hosts());
    let plan = plan(&desired, &Observed::default(), &History::default(), true, NOW_MS);
    let lines = lines(&plan.actions);
    let at = |start: &str| {
        let found = lines.iter().position(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("no `{start}` in {lines:#?}"))
    };
    let order = [
        "set host",
        "peer node 2",
        "route 10.42.2.0/26",
        "create unit shop-web-1",
        "plug shop-web-1",
        "start shop-web-1",
        "backend 11",
        "frontend 10.43.0.1",
        "publish names",
    ]
    .map(at);
    assert!(order.is_sorted(), "{lines:#?}");
}

#[test]
fn removing_begins_with_the_name_and_ends_with_the_unit() {
    let (_, mut observed) = settled();
    let mut less = two_hosts();
    less.generation += 1;
    (less.services, less.endpoints, less.containers) = (vec![], vec![], vec![]);
    let done = lines(&settle(&wanted(&less), &mut observed));
    let expected = [
        "set host: node 1 at 172.30.0.1, remuda0 10.42.1.1",
        "publish names of generation 8",
        "forget frontend 10.43.0.1",
        "forget frontend published tcp/8080",
        "forget backend 11",
        "forget backend 12",
        "break flows of 10.42.1.2, 10.42.2.2",
        "stop shop-web-1, 10000 ms grace",
        "unplug shop-web-1 from 10.42.1.2",
        "remove unit shop-web-1",
    ];
    assert_eq!(done, expected);
}

#[test]
fn a_list_that_only_shrinks_is_written_after_the_names() {
    let (_, mut observed) = settled();
    let mut less = two_hosts();
    less.generation += 1;
    less.endpoints[1].serving = false;
    let done = lines(&settle(&wanted(&less), &mut observed));
    assert_eq!(done[0], "publish names of generation 8");
    assert_eq!(done[1], "frontend 10.43.0.1 -> 1 backends");
}

#[test]
fn a_host_found_dead_costs_its_frontends_one_write_and_breaks_no_flow() {
    let (_, mut observed) = settled();
    let mut told = two_hosts();
    (told.endpoints[1].serving, told.endpoints[1].draining) = (false, true);
    settle(&wanted(&told), &mut observed);
    for silent in [true, false] {
        told.endpoints[1].silent = silent;
        let done = lines(&settle(&wanted(&told), &mut observed));
        assert_eq!(done, ["frontend published tcp/8080 -> 1 backends, 1 draining"], "silent: {silent}");
    }
}

#[test]
fn before_a_full_sync_nothing_is_removed() {
    let (_, observed) = settled();
    let mut less = two_hosts();
    (less.services, less.endpoints, less.containers) = (vec![], vec![], vec![]);
    less.nodes.truncate(1);
    let plan = plan(&wanted(&less), &observed, &History::default(), false, NOW_MS);
    assert_eq!(lines(&plan.actions), ["set host: node 1 at 172.30.0.1, remuda0 10.42.1.1"]);
}

#[test]
fn a_new_revision_stops_removes_and_creates_the_unit() {
    let (_, mut observed) = settled();
    let mut newer = two_hosts();
    newer.containers[0].spec_revision = 2;
    let expected = [
        "stop shop-web-1 with SIGTERM, 0 ms grace",
        "unplug shop-web-1 from 10.42.1.2",
        "remove unit shop-web-1",
        "create unit shop-web-1 (revision 2)",
        "plug shop-web-1 as 10.42.1.2",
        "start shop-web-1",
    ];
    assert_eq!(lines(&settle(&wanted(&newer), &mut observed)), expected);
}

#[test]
fn a_unit_told_to_stop_is_removed_so_that_stopped_means_nothing_is_left() {
    let (_, mut observed) = settled();
    let mut stopping = two_hosts();
    stopping.containers[0].stop = true;
    let done = lines(&settle(&wanted(&stopping), &mut observed));
    let expected =
        ["stop shop-web-1 with SIGTERM, 0 ms grace", "unplug shop-web-1 from 10.42.1.2", "remove unit shop-web-1"];
    assert_eq!(done, expected);
}

#[test]
fn a_unit_that_drains_is_stopped_when_its_last_flow_is_over() {
    let (_, mut observed) = settled();
    let mut stopping = two_hosts();
    (stopping.containers[0].stop, stopping.containers[0].drain_ms) = (true, 10_000);
    let desired = wanted(&stopping);
    let mut history = History::default();
    history.note_drains(&desired.units, &observed.units, 0);
    history.note_drains(&desired.units, &observed.units, 2000);
    observed.flows.insert(WEB.into(), 1);
    // The wall clock was set meanwhile: no reason to cut flows.
    let later = NOW_MS + 3_600_000;
    let meanwhile = plan(&desired, &observed, &history, true, later);
    assert_eq!((meanwhile.actions.len(), meanwhile.again_ms), (0, Some(later + 100)));
    let mut overdue = history.clone();
    overdue.note_drains(&desired.units, &observed.units, 10_000);
    let overdue = plan(&desired, &observed, &overdue, true, NOW_MS);
    assert_eq!(lines(&overdue.actions), ["stop shop-web-1 with SIGTERM, 0 ms grace"]);
    observed.flows.insert(WEB.into(), 0);
    let over = plan(&desired, &observed, &history, true, NOW_MS);
    assert_eq!(lines(&over.actions), ["stop shop-web-1 with SIGTERM, 0 ms grace"]);
}

#[test]
fn a_unit_with_another_address_is_made_anew() {
    let (_, mut observed) = settled();
    let mut moved = two_hosts();
    (moved.containers[0].ip, moved.endpoints[0].ip) = ("10.42.1.9".into(), "10.42.1.9".into());
    let expected = [
        "stop shop-web-1 with SIGTERM, 0 ms grace",
        "unplug shop-web-1 from 10.42.1.2",
        "remove unit shop-web-1",
        "create unit shop-web-1 (revision 1)",
        "plug shop-web-1 as 10.42.1.9",
        "start shop-web-1",
    ];
    let done = lines(&settle(&wanted(&moved), &mut observed));
    let units: Vec<_> = done.iter().filter(|line| line.contains(WEB)).collect();
    assert_eq!(units, expected, "{done:#?}");
}

#[test]
fn a_unit_that_ended_is_started_again_when_its_wait_is_over() {
    let (desired, mut observed) = settled();
    let mut history = History::default();
    for end in 1..=3 {
        let unit = observed.units.get_mut(WEB).expect("it exists");
        (unit.state, unit.exited_ms) = (UnitState::Exited { code: 1, reason: "".into(), lines: vec![] }, NOW_MS + end);
        history.note(&desired.units, &observed.units, NOW_MS);
    }
    let early = plan(&desired, &observed, &history, true, NOW_MS + 3);
    assert_eq!((early.actions.len(), early.again_ms), (0, Some(NOW_MS + 3 + 200)));
    let due = plan(&desired, &observed, &history, true, NOW_MS + 3 + 200);
    assert_eq!(lines(&due.actions), ["start shop-web-1"]);
}

#[test]
fn a_unit_that_never_restarts_is_left_as_it_ended() {
    let mut assignment = two_hosts();
    assignment.containers[0].restart = "never".into();
    let desired = wanted(&assignment);
    let mut observed = Observed::default();
    settle(&desired, &mut observed);
    state(&mut observed, WEB, UnitState::Exited { code: 1, reason: "".into(), lines: vec![] });
    assert_eq!(plan(&desired, &observed, &History::default(), true, NOW_MS), Plan::default());
}

#[test]
fn an_interface_that_vanished_is_plugged_again() {
    let (desired, mut observed) = settled();
    observed.kernel.endpoints = BTreeMap::new();
    assert_eq!(lines(&settle(&desired, &mut observed)), ["plug shop-web-1 as 10.42.1.2"]);
}

/// A fleet of two hosts in any mixture of what may be there.
fn any_assignment() -> impl Strategy<Value = Assignment> {
    let units = proptest::collection::btree_map(2_u32..20, (1_u64..3, any::<bool>(), 0..3_u8), 0..8);
    (units, 1_u64..100, any::<bool>(), any::<bool>()).prop_map(|(units, generation, two_nodes, published)| {
        let mut assignment = two_hosts();
        let (endpoint, container) = (assignment.endpoints[0].clone(), assignment.containers[0].clone());
        (assignment.endpoints, assignment.containers) = (vec![], vec![]);
        assignment.generation = generation;
        assignment.nodes.truncate(1 + usize::from(two_nodes));
        assignment.services[0].ports.truncate(usize::from(published));
        for (n, (revision, stop, phase)) in units {
            let (name, ip, id) = (format!("shop-web-{n}"), format!("10.42.1.{n}"), 100 + n);
            let mut endpoint = endpoint.clone();
            (endpoint.name, endpoint.ip, endpoint.id) = (name.clone(), ip.clone(), id);
            (endpoint.serving, endpoint.draining) = (phase == 1, phase == 2);
            assignment.endpoints.push(endpoint);
            let mut container = container.clone();
            (container.name, container.ip, container.endpoint_id) = (name, ip, id);
            (container.spec_revision, container.stop) = (revision, stop);
            assignment.containers.push(container);
        }
        assignment
    })
}

proptest! {
    #[test]
    fn whatever_was_there_doing_the_plan_leaves_nothing_to_plan(first in any_assignment(), second in any_assignment()) {
        let mut observed = Observed::default();
        settle(&wanted(&first), &mut observed);
        let next = wanted(&second);
        settle(&next, &mut observed);
        prop_assert_eq!(&observed.kernel.routes, &next.routes);
        prop_assert_eq!(&observed.kernel.backends, &next.backends);
        prop_assert_eq!(&observed.kernel.frontends, &next.frontends);
        for name in observed.units.keys() {
            prop_assert!(next.units.contains_key(name), "{} is left over", name);
        }
    }

    #[test]
    fn a_frontend_is_never_written_before_its_backends(first in any_assignment(), second in any_assignment()) {
        let mut observed = Observed::default();
        settle(&wanted(&first), &mut observed);
        let plan = plan(&wanted(&second), &observed, &History::default(), true, NOW_MS);
        for action in &plan.actions {
            model(&mut observed, action);
            for frontend in observed.kernel.frontends.values() {
                let known = |id: &u32| observed.kernel.backends.contains_key(id);
                prop_assert!(frontend.backends.iter().all(known), "after {}", action);
            }
        }
    }
}
