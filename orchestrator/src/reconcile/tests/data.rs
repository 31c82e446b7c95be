//! Containers that need what one host has: the data of a volume, an engine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remuda_api::engine::{EngineSpec, Mount};
use remuda_api::resource::{Availability, ContainerState};
use remuda_api::spec::{RuntimeKind, ServiceMode, ServiceSpec, StackSpec, VolumeSpec};

use super::{add_host, declare_service, first_host, fleet, lose, service, settle, step};
use crate::state::State;
use crate::{declare, publish, view};

/// A service that mounts volume `data` of its stack.
fn declare_with_volume(state: &mut State, name: &str, spec: ServiceSpec) {
    let mount = Mount { kind: "volume".into(), source: "data".into(), target: "/data".into(), ..Mount::default() };
    let spec = ServiceSpec { engine: EngineSpec { mounts: vec![mount], ..EngineSpec::default() }, ..spec };
    let stack = StackSpec {
        name: "s".into(),
        services: BTreeMap::from([(name.to_owned(), spec)]),
        volumes: BTreeMap::from([("data".to_owned(), VolumeSpec::default())]),
        ..StackSpec::default()
    };
    declare::stack(state, &stack, false).expect("room");
}

#[test]
fn who_shares_a_volume_runs_on_the_host_that_has_its_data() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    declare_with_volume(&mut state, "db", service(3, 0, None));
    declare_with_volume(&mut state, "backup", service(1, 0, None));
    settle(&mut state);
    let home = state.volumes["s_data"].node_id;
    assert!(home != 0 && state.containers.values().all(|c| c.node_id == home));
    let told = publish::assignment(&state, &publish::Shared::of(&state), home);
    let mounts: Vec<_> = told.containers.iter().flat_map(|c| c.engine.iter().flat_map(|e| &e.mounts)).collect();
    assert!(mounts.len() == 4 && mounts.iter().all(|mount| mount.source == "s_data"));
}

#[test]
fn when_the_host_of_a_volume_dies_its_container_waits_and_gets_no_empty_volume_elsewhere() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    declare_with_volume(&mut state, "db", service(1, 0, None));
    settle(&mut state);
    let home = state.volumes["s_data"].node_id;
    let name = state.nodes[&home].name.clone();
    lose(&mut state, home);
    step(&mut state);
    let held = state.containers["s-db-1"].clone();
    assert_eq!((held.node_id, state.volumes["s_data"].node_id), (home, home));
    let why = format!("volume s_data is on {name}, which is dead");
    let shown = view::container(&state, &held);
    assert_eq!((shown.state, shown.reason.as_deref()), (ContainerState::Pending, Some(why.as_str())));
    // Once more: an operator gives the host up, and it joins again.
    state.nodes.remove(&home);
    state.live.remove(&home);
    settle(&mut state);
    assert!(state.containers["s-db-1"].pending_reason.contains("which left the fleet"));
    // Under its name, which a freshly installed machine may have too: nothing begins there by itself.
    add_host(&mut state, name[1..].parse().expect("hN"));
    settle(&mut state);
    let why = &state.containers["s-db-1"].pending_reason;
    assert!(why.ends_with("give the volume up with `remuda volume rm s_data`"), "{why}");
    // Given up: it begins anew, and has a host again from then on.
    state.volumes.remove("s_data");
    declare_with_volume(&mut state, "db", service(1, 0, None));
    assert_eq!(state.volumes["s_data"].node_id, 0, "not where its container was last");
    settle(&mut state);
    let (at, home) = (state.containers["s-db-1"].node_id, state.volumes["s_data"].node_id);
    assert!(at != 0 && at == home, "{at} {home}");
}

#[test]
fn an_external_volume_holds_its_consumer_where_its_owner_has_the_data() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    let external = VolumeSpec { name: Some("s_data".into()), external: true, ..VolumeSpec::default() };
    let mount = Mount { kind: "volume".into(), source: "found".into(), target: "/data".into(), ..Mount::default() };
    let engine = EngineSpec { mounts: vec![mount], ..EngineSpec::default() };
    let reader = StackSpec {
        name: "t".into(),
        services: BTreeMap::from([("reader".to_owned(), ServiceSpec { engine, ..service(3, 0, None) })]),
        volumes: BTreeMap::from([("found".to_owned(), external)]),
        ..StackSpec::default()
    };
    // Mentioned before its owner declares it.
    declare::stack(&mut state, &StackSpec { services: BTreeMap::new(), ..reader.clone() }, false).expect("room");
    declare::stack(&mut state, &reader, false).expect("room");
    assert!(state.volumes["s_data"].is_external);
    declare_with_volume(&mut state, "db", service(1, 0, None));
    assert_eq!((state.volumes["s_data"].is_external, state.volumes["s_data"].stack.as_str()), (false, "s"));
    settle(&mut state);
    let home = state.volumes["s_data"].node_id;
    assert!(home != 0);
    state.revision += 1;
    declare::remove_stack(&mut state, "t");
    settle(&mut state);
    declare::stack(&mut state, &reader, false).expect("room");
    settle(&mut state);
    let readers: Vec<u32> = state.containers.values().filter(|c| c.stack == "t").map(|c| c.node_id).collect();
    assert_eq!(readers, [home; 3]);
    assert!(state.volumes["s_data"].copies.is_empty());
}

#[test]
fn a_container_with_a_volume_on_a_drained_host_stops_and_waits_for_it() {
    let mut state = fleet();
    (1..3).for_each(|n| add_host(&mut state, n));
    declare_with_volume(&mut state, "db", service(1, 0, None));
    settle(&mut state);
    let home = state.volumes["s_data"].node_id;
    let availability = |state: &mut State, to| {
        Arc::make_mut(state.nodes.get_mut(&home).expect("known")).availability = to;
        settle(state);
    };
    availability(&mut state, Availability::Drain);
    let waiting = state.containers.values().next().expect("one").clone();
    assert_eq!((waiting.node_id, state.containers.len()), (0, 1));
    assert!(waiting.pending_reason.ends_with("which is not active (drain)"), "{}", waiting.pending_reason);
    availability(&mut state, Availability::Active);
    assert!(state.containers.values().all(|c| c.node_id == home));
}

#[test]
fn what_runs_once_per_host_has_a_volume_on_each_and_a_removed_stack_keeps_its_volumes() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    declare_with_volume(&mut state, "log", ServiceSpec { mode: ServiceMode::Global, ..service(1, 0, None) });
    settle(&mut state);
    assert_eq!((state.containers.len(), state.volumes["s_data"].copies.len()), (3, 3));
    declare::remove_stack(&mut state, "s");
    settle(&mut state);
    assert!(state.containers.is_empty() && state.stacks.is_empty() && state.volumes.contains_key("s_data"));
}

fn give_engine(state: &mut State, node_id: u32) {
    let node = Arc::make_mut(state.nodes.get_mut(&node_id).expect("known"));
    node.facts.runtimes = vec!["process".into(), "docker".into()];
}

#[test]
fn an_image_runs_where_an_engine_is_and_what_runs_already_stays_as_it_is() {
    let mut state = fleet();
    (1..3).for_each(|n| add_host(&mut state, n));
    state.nodes.values_mut().for_each(|node| Arc::make_mut(node).facts.runtimes = vec!["process".into()]);
    let image = ServiceSpec { image: Some("nginx".into()), ..service(2, 0, None) };
    declare_service(&mut state, "old", image.clone());
    settle(&mut state);
    let first = first_host(&state);
    give_engine(&mut state, first);
    declare_service(&mut state, "new", image.clone());
    settle(&mut state);
    let runtimes = |state: &State, prefix: &str| {
        let of = state.containers.values().filter(|c| c.name.starts_with(prefix));
        of.map(|c| (c.runtime, c.node_id == first)).collect::<BTreeSet<_>>()
    };
    use RuntimeKind::{Docker, Process};
    assert_eq!(runtimes(&state, "s-old"), [(Process, false), (Process, true)].into());
    assert_eq!(runtimes(&state, "s-new"), [(Docker, true)].into());
    // An engine that does not answer moves nothing.
    Arc::make_mut(state.nodes.get_mut(&first).expect("known")).facts.runtimes = vec!["process".into()];
    settle(&mut state);
    assert_eq!(runtimes(&state, "s-new"), [(Docker, true)].into());
    give_engine(&mut state, first);
    declare_service(&mut state, "new", ServiceSpec { runtime: Some(Process), ..image });
    settle(&mut state);
    assert_eq!(runtimes(&state, "s-new").into_iter().map(|(kind, _)| kind).collect::<Vec<_>>(), [Process, Process]);
}

#[test]
fn a_volume_whose_record_went_while_its_containers_stayed_is_held_where_they_are() {
    let mut state = fleet();
    (1..4).for_each(|n| add_host(&mut state, n));
    declare_with_volume(&mut state, "db", service(1, 0, None));
    settle(&mut state);
    let home = state.volumes.remove("s_data").expect("a record").node_id;
    declare_with_volume(&mut state, "db", service(1, 0, None));
    assert_eq!(state.volumes["s_data"].node_id, home);
}
