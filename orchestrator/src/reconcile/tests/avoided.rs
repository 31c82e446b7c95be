//! What hosts are told of containers on a host that is suspect or dead.

use remuda_api::resource::HostState;

use super::{add_host, declare_service, first_host, fleet, service, settle};
use crate::state::Live;
use crate::{publish, report};

#[test]
fn new_connections_avoid_a_suspect_host_while_there_is_somebody_else() {
    let mut state = fleet();
    (1..3).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(2, 0, None));
    declare_service(&mut state, "single", service(1, 0, None));
    settle(&mut state);
    let suspect = state.containers["s-single-1"].node_id;
    let standing = report::Standing { state: HostState::Suspect, ..report::Standing::default() };
    report::host_state(&mut state, suspect, standing, 0);
    let told = publish::assignment(&state, &publish::Shared::of(&state), suspect);
    let here: Vec<_> = told.endpoints.iter().filter(|endpoint| endpoint.node_id == suspect).collect();
    let state_of = |name: &str| {
        let found = here.iter().find(|endpoint| endpoint.name.starts_with(name));
        found.map(|endpoint| (endpoint.serving, endpoint.draining))
    };
    assert_eq!(state_of("s-web"), Some((false, true)), "avoided, and keeps its flows");
    assert_eq!(state_of("s-single"), Some((true, false)), "there is nobody else");
}

#[test]
fn what_a_dead_host_held_is_silent_while_the_brake_holds_and_a_suspect_hosts_is_not() {
    let mut state = fleet();
    (1..3).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", service(2, 0, None));
    settle(&mut state);
    let first = first_host(&state);
    let mut told = |found: HostState| {
        state.live.insert(first, Live { state: found, is_avoided: true, ..Live::default() });
        let told = publish::assignment(&state, &publish::Shared::of(&state), first);
        let states =
            told.endpoints.iter().map(|endpoint| (endpoint.node_id == first, endpoint.draining, endpoint.silent));
        states.collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(told(HostState::Suspect), [(false, false, false), (true, true, false)].into());
    assert_eq!(told(HostState::Dead), [(false, false, false), (true, true, true)].into());
}
