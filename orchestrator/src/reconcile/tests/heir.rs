//! Containers that take their predecessor's address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use remuda_api::resource::Availability;
use remuda_api::spec::ServiceSpec;

use super::super::leave;
use super::{
    add_host, check_ids, declare_service, everyone_reports, first_host, fleet, lose, on_host, service, settle, step,
};
use crate::publish;
use crate::state::State;

fn retaining(replicas: u32) -> ServiceSpec {
    ServiceSpec { retain_ip: true, ..service(replicas, 0, None) }
}

fn ready(hosts: u32, replicas: u32) -> State {
    let mut state = fleet();
    (1..=hosts).for_each(|n| add_host(&mut state, n));
    declare_service(&mut state, "web", retaining(replicas));
    settle(&mut state);
    state
}

fn addresses(state: &State) -> BTreeSet<Ipv4Addr> {
    state.containers.values().filter(|c| c.is_wanted()).filter_map(|c| c.ip).collect()
}

/// Address -> host, as every host is told: a /32 beside the blocks.
fn kept_blocks(state: &State) -> Vec<(u32, Ipv4Addr)> {
    let told = publish::assignment(state, &publish::Shared::of(state), first_host(state));
    let of = |node: &remuda_api::assignment::Node| {
        let single = node.blocks.iter().filter_map(|block| block.strip_suffix("/32"));
        single.map(|ip| (node.id, ip.parse().expect("an address"))).collect::<Vec<_>>()
    };
    told.nodes.iter().flat_map(of).collect()
}

#[test]
fn what_is_made_anew_gets_the_address_once_the_old_one_is_gone() {
    let mut state = ready(1, 2);
    let before = addresses(&state);
    let old = state.containers["s-web-1"].ip;
    leave(&mut state, "s-web-1", 0);
    step(&mut state);
    let heir = state.containers["s-web-3"].clone();
    assert_eq!((heir.node_id, heir.heir_of), (0, old));
    assert!(heir.pending_reason.contains("of s-web-1, which still ends"), "{}", heir.pending_reason);
    settle(&mut state);
    assert_eq!((state.containers["s-web-3"].ip, addresses(&state)), (old, before));
    assert!(kept_blocks(&state).is_empty(), "it is in its host's block");
}

#[test]
fn what_ran_on_a_lost_host_takes_its_address_along_and_everybody_is_told_where_it_is() {
    let mut state = ready(2, 4);
    let (before, first) = (addresses(&state), first_host(&state));
    let moved: BTreeSet<_> = on_host(&state, first).iter().filter_map(|c| c.ip).collect();
    lose(&mut state, first);
    settle(&mut state);
    assert_eq!((on_host(&state, first).len(), addresses(&state)), (0, before));
    let told = kept_blocks(&state);
    assert_eq!(told.iter().map(|(_, ip)| *ip).collect::<BTreeSet<_>>(), moved);
    assert!(told.iter().all(|(node, _)| *node != first));
    check_ids(&state);
}

#[test]
fn a_drained_or_removed_hosts_containers_keep_their_addresses_elsewhere() {
    let mut state = ready(3, 3);
    let (before, first) = (addresses(&state), first_host(&state));
    Arc::make_mut(state.nodes.get_mut(&first).expect("known")).availability = Availability::Drain;
    settle(&mut state);
    everyone_reports(&mut state);
    settle(&mut state);
    assert_eq!((on_host(&state, first).len(), addresses(&state)), (0, before.clone()));
    let second = *state.nodes.keys().nth(1).expect("three");
    state.nodes.remove(&second);
    state.live.remove(&second);
    settle(&mut state);
    assert_eq!(addresses(&state), before);
    // A block that an address moved away from is no new host's, as long as it lives.
    add_host(&mut state, 9);
    check_ids(&state);
    let taken: Vec<_> = state.nodes.values().filter(|node| node.name == "h9").flat_map(|node| &node.blocks).collect();
    assert!(before.iter().all(|ip| !taken[0].contains(*ip)));
}
