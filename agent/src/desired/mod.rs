//! What should be on this host: an [`Assignment`] as objects of the kernel and the runtimes.
//!
//! Everything is checked before anything is used. A bad assignment is refused as a whole, with every problem found,
//! and the caller keeps the last good one.

mod check;
mod checks;
mod frontends;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use remuda_api::assignment::Assignment;
use remuda_api::health::HealthCommand;
use remuda_api::spec::RestartLimits;

use crate::action::{Backend, Frontend, FrontendKey, HostConfig, Node, Plug, Route, UnitSpec};
use crate::observed::{Unit, UnitState, Verdict};
use check::Checker;

pub use checks::Check;

/// Everything this host should hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    pub generation: u64,
    pub host: HostConfig,
    pub routes: BTreeMap<Ipv4Network, Route>,
    /// Peers by node id; never this host.
    pub nodes: BTreeMap<u16, Node>,
    pub units: BTreeMap<String, DesiredUnit>,
    pub backends: BTreeMap<u32, Backend>,
    pub frontends: BTreeMap<FrontendKey, Frontend>,
    /// Endpoint ids of this host's units.
    pub endpoints: BTreeMap<String, u32>,
    /// Containers whose health this host checks from outside, by endpoint id.
    pub checks: BTreeMap<u32, Check>,
}

/// A unit this host should run, and how it ends and comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredUnit {
    pub spec: UnitSpec,
    /// None unless it has an overlay address.
    pub plug: Option<Plug>,
    /// Should be stopped and removed.
    pub stop: bool,
    pub stop_signal: String,
    pub grace_ms: u64,
    /// With `stop`: how long flows it has may go on before.
    pub drain_ms: u64,
    pub restart: Restart,
    pub limits: RestartLimits,
    /// Run inside it; until it passes, the unit takes no new flows.
    pub health_command: Option<HealthCommand>,
}

impl DesiredUnit {
    /// A unit of another revision or address cannot be changed, only replaced.
    pub fn is_made_as_wanted(&self, unit: &Unit) -> bool {
        unit.spec_revision == self.spec.spec_revision && unit.ip == self.spec.ip
    }

    /// Something looks at it from inside: its health command, or else the check its image brings.
    pub fn is_asked(&self, unit: &Unit) -> bool {
        self.health_command.is_some() || unit.image_health.is_some()
    }
}

/// When a unit that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Always,
    OnFailure,
    Never,
}

/// One thing wrong with an assignment: which record, which field, and what to put there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{record}: `{field}` {what}")]
pub struct Problem {
    pub record: String,
    pub field: &'static str,
    pub what: String,
}

/// The objects of one assignment, or everything that is wrong with it.
///
/// `uplinks` are the names of this host's uplink interfaces, which only the host itself knows.
pub fn desired(assignment: &Assignment, uplinks: &[String]) -> Result<Desired, Vec<Problem>> {
    let mut check = Checker::default();
    check.unique_keys(assignment);
    let nodes = nodes(assignment, &mut check);
    let host = host(assignment, uplinks, &nodes, &mut check);
    let backends = frontends::backends(assignment, &nodes, &mut check);
    let frontends = frontends::frontends(assignment, &backends, &mut check);
    let units = units::units(assignment, &host, &mut check);
    let checks = checks::checks(assignment, &mut check);
    check.done()?;
    Ok(Desired {
        generation: assignment.generation,
        routes: routes(&host, &nodes),
        nodes: peers(&host, &nodes),
        host: HostConfig { published: published(&frontends), ..host },
        units,
        backends,
        frontends,
        endpoints: assignment.containers.iter().map(|c| (c.name.clone(), c.endpoint_id)).collect(),
        checks,
    })
}

impl Desired {
    /// Endpoints of this host that take no new flows, whatever the fleet still believes: their unit does not run, is
    /// about to be stopped or replaced, or does not pass its health command or its image's own check.
    pub fn unlisted(&self, units: &BTreeMap<String, Unit>) -> BTreeSet<u32> {
        let serves = |name: &String| {
            let (Some(wanted), Some(unit)) = (self.units.get(name), units.get(name)) else { return false };
            let is_current = !wanted.stop && wanted.is_made_as_wanted(unit);
            let is_well = !wanted.is_asked(unit) || unit.health.verdict == Verdict::Healthy;
            is_current && is_well && matches!(unit.state, UnitState::Running { .. })
        };
        self.endpoints.iter().filter(|(name, id)| **id != 0 && !serves(name)).map(|(_, id)| *id).collect()
    }

    /// The same with `unlisted` endpoints in no list; as backends they drain while their unit still runs.
    pub fn without(&self, unlisted: &BTreeSet<u32>, units: &BTreeMap<String, Unit>) -> Desired {
        let lives = |unit: &Unit| matches!(unit.state, UnitState::Running { .. } | UnitState::Stopping { .. });
        let living: BTreeSet<u32> =
            self.endpoints.iter().filter(|(name, _)| units.get(*name).is_some_and(lives)).map(|(_, id)| *id).collect();
        let mut rest = self.clone();
        rest.backends.retain(|id, _| !unlisted.contains(id) || living.contains(id));
        let draining = rest.backends.iter_mut().filter(|(id, _)| unlisted.contains(id));
        draining.for_each(|(_, backend)| backend.draining = true);
        for frontend in rest.frontends.values_mut() {
            let left = frontend.backends.extract_if(.., |id| unlisted.contains(id));
            if frontend.key.is_inside() {
                left.for_each(drop);
            } else {
                frontend.draining.extend(left);
            }
            frontend.draining.retain(|id| rest.backends.contains_key(id));
            frontend.draining.sort_unstable();
        }
        rest
    }
}

/// A host of the environment, checked.
struct CheckedNode {
    node: Node,
    blocks: Vec<Ipv4Network>,
    host_endpoint_id: u32,
    frontend_ips: Vec<Ipv4Addr>,
}

fn nodes(assignment: &Assignment, check: &mut Checker) -> BTreeMap<u16, CheckedNode> {
    let mut nodes = BTreeMap::new();
    for record in &assignment.nodes {
        let mut at = check.record(format!("node {} ({})", record.id, record.name));
        let node = Node { id: at.node_id("id", record.id), underlay_ip: at.ip("underlay_ip", &record.underlay_ip) };
        let checked = CheckedNode {
            node,
            blocks: record.blocks.iter().map(|block| at.network("blocks", block)).collect(),
            host_endpoint_id: at.endpoint_id("host_endpoint_id", record.host_endpoint_id),
            frontend_ips: record.frontend_ips.iter().map(|ip| at.ip("frontend_ips", ip)).collect(),
        };
        if checked.blocks.is_empty() {
            at.problem("blocks", "is empty: a host needs at least one address block");
        }
        nodes.insert(node.id, checked);
    }
    nodes
}

fn host(
    assignment: &Assignment,
    uplinks: &[String],
    nodes: &BTreeMap<u16, CheckedNode>,
    check: &mut Checker,
) -> HostConfig {
    let own = u16::try_from(assignment.node_id).ok().and_then(|id| nodes.get(&id));
    let mut at = check.record("assignment");
    if own.is_none() {
        at.problem("node_id", format!("is {}, but no record of `nodes` has this id", assignment.node_id));
    }
    for (field, missing) in [("fleet", assignment.fleet.is_none()), ("environment", assignment.environment.is_none())] {
        if missing {
            at.problem(field, "is missing");
        }
    }
    let (fleet, environment) = (assignment.fleet.clone(), assignment.environment.clone());
    let (told_fleet, told_environment) = (fleet.is_some(), environment.is_some());
    let (fleet, environment) = (fleet.unwrap_or_default(), environment.unwrap_or_default());
    let mut config = HostConfig {
        node_id: own.map_or(0, |own| own.node.id),
        vni: environment.id,
        underlay_ip: own.map_or(Ipv4Addr::UNSPECIFIED, |own| own.node.underlay_ip),
        overlay_ip: own.and_then(|own| own.blocks.first()).map_or(Ipv4Addr::UNSPECIFIED, first_address),
        endpoint_id: own.map_or(0, |own| own.host_endpoint_id),
        dns_ip: Ipv4Addr::UNSPECIFIED,
        tunnel_port: 0,
        endpoint_mtu: 0,
        hash_seed: environment.hash_seed,
        overlay_pools: Vec::new(),
        vip_pools: Vec::new(),
        frontend_ips: own.map_or_else(Vec::new, |own| own.frontend_ips.clone()),
        uplinks: uplinks.to_vec(),
        no_egress: environment.no_egress,
        published: Vec::new(),
    };
    if told_environment {
        let mut at = check.record(format!("environment {}", environment.name));
        at.range("id", environment.id, 1..=VNI_MAX);
        at.label("name", &environment.name);
    }
    if told_fleet {
        let mut at = check.record("fleet");
        config.dns_ip = at.ip("dns_ip", &fleet.dns_ip);
        config.tunnel_port = at.range("tunnel_port", fleet.tunnel_port, 1..=u32::from(u16::MAX)) as u16;
        config.endpoint_mtu = at.range("endpoint_mtu", fleet.endpoint_mtu, MTU_MIN_BYTES..=u32::from(u16::MAX)) as u16;
        config.overlay_pools = fleet.overlay_pools.iter().map(|pool| at.network("overlay_pools", pool)).collect();
        config.vip_pools = fleet.vip_pools.iter().map(|pool| at.network("vip_pools", pool)).collect();
        at.range("wire_version", fleet.wire_version, 1..=WIRE_VERSION);
    }
    config
}

/// 24 bits on the wire; 0 is "no environment".
const VNI_MAX: u32 = (1 << 24) - 1;
/// Least MTU an IPv4 host must take in one piece (RFC 791, 3.2).
const MTU_MIN_BYTES: u32 = 576;
/// Highest wire format this agent speaks.
pub const WIRE_VERSION: u32 = 1;

/// The host endpoint's: the first address behind the network's own.
pub(crate) fn first_address(block: &Ipv4Network) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(block.network()).saturating_add(1))
}

fn routes(host: &HostConfig, nodes: &BTreeMap<u16, CheckedNode>) -> BTreeMap<Ipv4Network, Route> {
    let mut routes = BTreeMap::new();
    routes.extend(host.overlay_pools.iter().map(|pool| (*pool, Route::Pool)));
    routes.extend(host.vip_pools.iter().map(|pool| (*pool, Route::Vip)));
    for CheckedNode { node, blocks, frontend_ips, .. } in nodes.values() {
        let block = Route::Block { node_id: node.id, underlay_ip: node.underlay_ip };
        routes.extend(blocks.iter().map(|prefix| (*prefix, block)));
        let own = Route::HostAddress { node_id: node.id };
        routes.extend(frontend_ips.iter().chain([&node.underlay_ip]).map(|ip| (Ipv4Network::from(*ip), own)));
    }
    routes.insert(Ipv4Network::from(host.dns_ip), Route::Dns);
    routes
}

fn peers(host: &HostConfig, nodes: &BTreeMap<u16, CheckedNode>) -> BTreeMap<u16, Node> {
    nodes.iter().filter(|(id, _)| **id != host.node_id).map(|(id, checked)| (*id, checked.node)).collect()
}

fn published(frontends: &BTreeMap<FrontendKey, Frontend>) -> Vec<(u8, u16)> {
    let port = |key: &FrontendKey| match *key {
        FrontendKey::Vip(_) | FrontendKey::VipPort { .. } => None,
        FrontendKey::Published { protocol, port } | FrontendKey::HostPort { protocol, port } => Some((protocol, port)),
    };
    let ports: BTreeSet<_> = frontends.keys().filter_map(port).collect();
    ports.into_iter().collect()
}

#[cfg(test)]
pub(crate) mod tests;
