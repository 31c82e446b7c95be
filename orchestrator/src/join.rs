//! Letting a host in: what it must be, and the record it gets. Pure but for the certificate.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnetwork::Ipv4Network;
use remuda_api::link::{HostFacts, PROTOCOL_VERSION};
use remuda_api::names;
use remuda_api::resource::HostState;

use crate::state::{Live, Node, State};
use crate::{alloc, facts, reconcile};

/// Why a host is not let in; reads as a sentence to the operator at that host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    #[error("host name `{0}` {1}; choose another with --name")]
    Name(String, names::NameError),
    #[error(
        "a host named `{0}` is in the fleet: choose another with --name, or remove that one with `remuda host rm {0}`"
    )]
    NameTaken(String),
    #[error("`{0}` is no IPv4 address others could reach this host at: give one with --advertise")]
    Address(String),
    #[error(
        "{0} is the address of host `{1}`: give another with --advertise, or remove that one with `remuda host rm {1}`"
    )]
    AddressTaken(Ipv4Addr, String),
    #[error(
        "the fleet's pool {pool} overlaps this host's route {route}: start the fleet with another pool (`remuda server --overlay-pool`, `--vip-pool`), or remove the route"
    )]
    Overlap { pool: Ipv4Network, route: Ipv4Network },
    #[error(
        "this agent speaks protocol {theirs}, the server {PROTOCOL_VERSION}: one apart at most; install matching versions"
    )]
    Protocol { theirs: u32 },
    #[error("the fleet is full: {0}")]
    Full(&'static str),
}

/// Adds a host with its first address block; answers its id. A host of the same name that never reported is
/// replaced: it lost its credentials before it could use them.
pub fn join(state: &mut State, facts: &HostFacts, now_ms: u64) -> Result<u32, JoinError> {
    let facts = &facts::clean(facts, &state.fleet.pools());
    let ip = check(state, facts)?;
    let stale = state.node_by_name(&facts.name).map(|node| node.id);
    if let Some(id) = stale {
        state.nodes.remove(&id);
        state.live.remove(&id);
    }
    let used_block = reconcile::taken_blocks(state);
    let State { nodes, containers, fleet, .. } = state;
    let fleet = Arc::make_mut(fleet);
    let id = alloc::next_id(&mut fleet.cursors.node_id, alloc::NODE_ID_MAX, |id| nodes.contains_key(&id))
        .ok_or(JoinError::Full("every node id is in use"))?;
    let block = alloc::next_block(&fleet.overlay_pools, &mut fleet.cursors.block, &used_block)
        .ok_or(JoinError::Full("every block of the overlay pools is in use"))?;
    let is_of_host =
        |node: &Node, id| node.host_endpoint_id == id || node.leftovers.iter().any(|left| left.endpoint_id == id);
    let is_used =
        |id| nodes.values().any(|node| is_of_host(node, id)) || containers.values().any(|c| c.endpoint_id == id);
    let host_endpoint_id = alloc::next_id(&mut fleet.cursors.endpoint_id, alloc::ENDPOINT_ID_MAX, is_used)
        .ok_or(JoinError::Full("every endpoint id is in use"))?;
    let node = Node {
        id,
        name: facts.name.clone(),
        facts: facts.clone(),
        labels: facts.labels.iter().filter_map(|pair| label(pair)).collect(),
        blocks: vec![block],
        host_endpoint_id,
        created_ms: now_ms,
        ..Node::default()
    };
    state.nodes.insert(id, Arc::new(node));
    state.live.insert(id, Live::default());
    state.record(now_ms, "host-joined", facts.name.clone(), format!("underlay address {ip}, block {block}"));
    Ok(id)
}

fn check(state: &State, facts: &HostFacts) -> Result<Ipv4Addr, JoinError> {
    if facts.protocol_version.abs_diff(PROTOCOL_VERSION) > 1 {
        return Err(JoinError::Protocol { theirs: facts.protocol_version });
    }
    names::check_label(&facts.name).map_err(|why| {
        let shown = facts.name.chars().filter(|c| !c.is_control()).take(names::LABEL_MAX_BYTES).collect();
        JoinError::Name(shown, why)
    })?;
    let ip: Ipv4Addr = facts.underlay_ip.parse().map_err(|_| JoinError::Address(facts.underlay_ip.clone()))?;
    if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() {
        return Err(JoinError::Address(facts.underlay_ip.clone()));
    }
    let has_reported = |node: &Node| state.host_state(node.id) != HostState::Joining;
    if state.node_by_name(&facts.name).is_some_and(|node| has_reported(node)) {
        return Err(JoinError::NameTaken(facts.name.clone()));
    }
    let others = state.nodes.values().filter(|node| !node.name.eq_ignore_ascii_case(&facts.name));
    if let Some(twin) = others.into_iter().find(|node| node.facts.underlay_ip == ip.to_string()) {
        return Err(JoinError::AddressTaken(ip, twin.name.clone()));
    }
    let pools = state.fleet.pools();
    let routes: Vec<Ipv4Network> = facts.routes.iter().filter_map(|route| route.parse().ok()).collect();
    match alloc::overlaps(&pools, &routes).first() {
        Some((pool, route)) => Err(JoinError::Overlap { pool: *pool, route: *route }),
        None => Ok(ip),
    }
}

fn label(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=')?;
    (!key.is_empty()).then(|| (key.to_owned(), value.to_owned()))
}
