//! What one host is told: a full [`Assignment`], then [`Delta`]s chained by generation.
//!
//! The same message comes over the stream (prost) and from a file (`remuda agent --assignment FILE`, YAML or JSON
//! with these field names). It is self-contained: a host that has it needs nobody else to forward packets, answer
//! names and keep its containers running. Addresses are text (`10.42.0.5`), blocks are CIDRs (`10.42.0.0/26`).
//!
//! Records are keyed: nodes, services and endpoints by `id`, containers by `name`, checks by `endpoint_id`. A delta carries whole records
//! (upserts) and keys (removals); [`Assignment::apply`] refuses one that does not start where we are.

use serde::{Deserialize, Serialize};

use crate::health::HealthCommand;

/// Everything one host must know. `generation` is the fleet's store revision it reflects.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Assignment {
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// The host this is for; one of `nodes` has this id.
    #[prost(uint32, tag = "2")]
    pub node_id: u32,
    #[prost(message, optional, tag = "3")]
    pub fleet: Option<Fleet>,
    #[prost(message, optional, tag = "4")]
    pub environment: Option<Environment>,
    /// Every host of the environment, this one included.
    #[prost(message, repeated, tag = "5")]
    pub nodes: Vec<Node>,
    #[prost(message, repeated, tag = "6")]
    pub services: Vec<Service>,
    /// Every container of the environment that has an address or serves a port, on any host.
    #[prost(message, repeated, tag = "7")]
    pub endpoints: Vec<Endpoint>,
    /// What this host runs.
    #[prost(message, repeated, tag = "8")]
    pub containers: Vec<Container>,
    /// Containers of other hosts whose health this host checks.
    #[prost(message, repeated, tag = "9")]
    pub checks: Vec<Check>,
}

/// The same on every host of the fleet.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fleet {
    /// Overlay pools, CIDR.
    #[prost(string, repeated, tag = "1")]
    pub overlay_pools: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub vip_pools: Vec<String>,
    #[prost(string, tag = "3")]
    pub dns_ip: String,
    #[prost(uint32, tag = "4")]
    pub tunnel_port: u32,
    /// MTU of endpoints in bytes: fleet minimum of uplink MTUs - 50.
    #[prost(uint32, tag = "5")]
    pub endpoint_mtu: u32,
    /// Lowest wire format version that all hosts speak.
    #[prost(uint32, tag = "6")]
    pub wire_version: u32,
    /// Seals the gossip between agents: 32 bytes in hex. Empty = no gossip.
    #[prost(string, tag = "7")]
    pub gossip_key: String,
}

/// The isolation unit this host belongs to.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Environment {
    /// VNI, 24 bits, never 0.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(string, tag = "2")]
    pub name: String,
    /// Secret seed of flow hashes and rings.
    #[prost(uint64, tag = "3")]
    pub hash_seed: u64,
    /// What a plain service name answers where the service does not say: `list` or `vip`.
    #[prost(string, tag = "4")]
    pub endpoint_mode: String,
    /// Containers may not leave the fleet.
    #[prost(bool, tag = "5")]
    pub no_egress: bool,
}

/// A host of the environment.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// 1..=65535, unique in the fleet.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(string, tag = "2")]
    pub name: String,
    /// The tunnel address.
    #[prost(string, tag = "3")]
    pub underlay_ip: String,
    /// Address blocks of its endpoints, CIDR; the first address of the first block is the host endpoint's.
    #[prost(string, repeated, tag = "4")]
    pub blocks: Vec<String>,
    /// Endpoint id of the host endpoint (`remuda0`).
    #[prost(uint32, tag = "5")]
    pub host_endpoint_id: u32,
    /// Addresses at which published ports answer on this host (uplink addresses).
    #[prost(string, repeated, tag = "6")]
    pub frontend_ips: Vec<String>,
}

/// A service of the environment: its names, VIP and ports.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Service {
    /// Unique in the fleet, never 0, never reused while anything refers to it.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    #[prost(string, tag = "2")]
    pub stack: String,
    #[prost(string, tag = "3")]
    pub name: String,
    /// Empty = none. A VIP forwards every port, unchanged, to the service's endpoints.
    #[prost(string, tag = "4")]
    pub vip: String,
    /// `list` or `vip`, environment default already applied.
    #[prost(string, tag = "5")]
    pub endpoint_mode: String,
    #[prost(message, repeated, tag = "6")]
    pub ports: Vec<ServicePort>,
    /// Networks it is on: names are visible to askers that share one.
    #[prost(message, repeated, tag = "7")]
    pub networks: Vec<Attachment>,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServicePort {
    /// `tcp` or `udp`.
    #[prost(string, tag = "1")]
    pub protocol: String,
    /// 0 = not published.
    #[prost(uint32, tag = "2")]
    pub published: u32,
    #[prost(uint32, tag = "3")]
    pub target: u32,
    /// `ingress` or `host`.
    #[prost(string, tag = "4")]
    pub mode: String,
    /// Frontend id of an ingress-published port, unique in the fleet; 0 when not published.
    #[prost(uint32, tag = "5")]
    pub frontend_id: u32,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attachment {
    /// Full name of the network: `<stack>_<name>`, or the shared name of an external one.
    #[prost(string, tag = "1")]
    pub network: String,
    #[prost(string, repeated, tag = "2")]
    pub aliases: Vec<String>,
}

/// A container of the environment as others see it.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Endpoint {
    /// 24 bits, unique in the fleet, never 0; also the backend id.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    /// Container name `<stack>-<service>-<n>`.
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(uint32, tag = "3")]
    pub service_id: u32,
    #[prost(uint32, tag = "4")]
    pub node_id: u32,
    /// Overlay address; for `network_mode: host` the host's underlay address; empty for `none`.
    #[prost(string, tag = "5")]
    pub ip: String,
    /// In names, lists and rings now.
    #[prost(bool, tag = "6")]
    pub serving: bool,
    /// Finishing its flows; `serving` is false.
    #[prost(bool, tag = "7")]
    pub draining: bool,
    #[prost(bool, tag = "8")]
    pub host_network: bool,
}

/// A container this host runs.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Container {
    /// `<stack>-<service>-<n>`, unique in the environment: the key.
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub stack: String,
    #[prost(string, tag = "3")]
    pub service: String,
    #[prost(uint32, tag = "4")]
    pub endpoint_id: u32,
    /// Overlay address; empty for network modes `host` and `none`.
    #[prost(string, tag = "5")]
    pub ip: String,
    /// `managed`, `host` or `none`.
    #[prost(string, tag = "6")]
    pub network_mode: String,
    /// `process` or `docker`.
    #[prost(string, tag = "7")]
    pub runtime: String,
    #[prost(string, tag = "8")]
    pub image: String,
    #[prost(string, repeated, tag = "9")]
    pub entrypoint: Vec<String>,
    #[prost(string, repeated, tag = "10")]
    pub command: Vec<String>,
    /// `KEY=value`.
    #[prost(string, repeated, tag = "11")]
    pub environment: Vec<String>,
    /// `key=value`.
    #[prost(string, repeated, tag = "12")]
    pub labels: Vec<String>,
    #[prost(string, tag = "13")]
    pub user: String,
    #[prost(string, tag = "14")]
    pub working_dir: String,
    #[prost(string, tag = "15")]
    pub hostname: String,
    /// 0 = no limit.
    #[prost(uint64, tag = "16")]
    pub limit_cpu_milli: u64,
    #[prost(uint64, tag = "17")]
    pub limit_memory_bytes: u64,
    #[prost(uint64, tag = "18")]
    pub limit_pids: u64,
    #[prost(uint64, tag = "19")]
    pub stop_grace_ms: u64,
    /// Empty = SIGTERM.
    #[prost(string, tag = "20")]
    pub stop_signal: String,
    /// `always`, `on-failure` or `never`.
    #[prost(string, tag = "21")]
    pub restart: String,
    /// Networks this container is on, full names: which names it sees.
    #[prost(string, repeated, tag = "22")]
    pub networks: Vec<String>,
    /// Every network of it is `internal`: no way out of the fleet.
    #[prost(bool, tag = "23")]
    pub internal: bool,
    /// Ports of mode `host`: open on this host only.
    #[prost(message, repeated, tag = "24")]
    pub host_ports: Vec<ServicePort>,
    /// Grows when the spec of this container changed: the agent then replaces it.
    #[prost(uint64, tag = "25")]
    pub spec_revision: u64,
    /// Should be stopped now: it is out of names, lists and rings on every host.
    #[prost(bool, tag = "26")]
    pub stop: bool,
    /// With `stop`: flows it has may go on for this long before the stop signal; 0 = stop at once.
    #[prost(uint64, tag = "27")]
    pub drain_ms: u64,
    /// Run inside it to learn its health; None = running is healthy.
    #[prost(message, optional, tag = "28")]
    pub health_command: Option<HealthCommand>,
}

/// A container this host checks from outside, from its own host endpoint.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Check {
    /// The container's endpoint: the key.
    #[prost(uint32, tag = "1")]
    pub endpoint_id: u32,
    /// Its name, for people.
    #[prost(string, tag = "2")]
    pub container: String,
    /// Address to connect to.
    #[prost(string, tag = "3")]
    pub ip: String,
    #[prost(uint32, tag = "4")]
    pub port: u32,
    /// Empty = a connection that opens passes.
    #[prost(string, tag = "5")]
    pub request_line: String,
    #[prost(uint64, tag = "6")]
    pub interval_ms: u64,
    #[prost(uint64, tag = "7")]
    pub timeout_ms: u64,
    /// Passes in a row that make it pass, failures in a row that make it fail.
    #[prost(uint32, tag = "8")]
    pub rise: u32,
    #[prost(uint32, tag = "9")]
    pub fall: u32,
}

/// From one generation to the next.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delta {
    #[prost(uint64, tag = "1")]
    pub from: u64,
    #[prost(uint64, tag = "2")]
    pub to: u64,
    #[prost(message, optional, tag = "3")]
    pub fleet: Option<Fleet>,
    #[prost(message, optional, tag = "4")]
    pub environment: Option<Environment>,
    #[prost(message, repeated, tag = "5")]
    pub nodes: Vec<Node>,
    #[prost(message, repeated, tag = "6")]
    pub services: Vec<Service>,
    #[prost(message, repeated, tag = "7")]
    pub endpoints: Vec<Endpoint>,
    #[prost(message, repeated, tag = "8")]
    pub containers: Vec<Container>,
    #[prost(uint32, repeated, tag = "9")]
    pub removed_nodes: Vec<u32>,
    #[prost(uint32, repeated, tag = "10")]
    pub removed_services: Vec<u32>,
    #[prost(uint32, repeated, tag = "11")]
    pub removed_endpoints: Vec<u32>,
    #[prost(string, repeated, tag = "12")]
    pub removed_containers: Vec<String>,
    #[prost(message, repeated, tag = "13")]
    pub checks: Vec<Check>,
    #[prost(uint32, repeated, tag = "14")]
    pub removed_checks: Vec<u32>,
}

/// Why a delta was not applied; the agent asks for a full assignment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error("delta starts from generation {from}, this host holds {held}")]
    DoesNotChain { from: u64, held: u64 },
}

impl Assignment {
    /// This assignment one delta later. Nothing changes on error.
    pub fn apply(&mut self, delta: Delta) -> Result<(), ApplyError> {
        if delta.from != self.generation {
            return Err(ApplyError::DoesNotChain { from: delta.from, held: self.generation });
        }
        merge(&mut self.nodes, delta.nodes, &delta.removed_nodes);
        merge(&mut self.services, delta.services, &delta.removed_services);
        merge(&mut self.endpoints, delta.endpoints, &delta.removed_endpoints);
        merge(&mut self.containers, delta.containers, &delta.removed_containers);
        merge(&mut self.checks, delta.checks, &delta.removed_checks);
        self.fleet = delta.fleet.or(self.fleet.take());
        self.environment = delta.environment.or(self.environment.take());
        self.generation = delta.to;
        Ok(())
    }

    /// The delta that leads from `self` to `next`; records are sorted by key in both.
    pub fn delta_to(&self, next: &Assignment) -> Delta {
        let (nodes, removed_nodes) = diff(&self.nodes, &next.nodes);
        let (services, removed_services) = diff(&self.services, &next.services);
        let (endpoints, removed_endpoints) = diff(&self.endpoints, &next.endpoints);
        let (containers, removed_containers) = diff(&self.containers, &next.containers);
        let (checks, removed_checks) = diff(&self.checks, &next.checks);
        Delta {
            from: self.generation,
            to: next.generation,
            fleet: changed(&self.fleet, &next.fleet),
            environment: changed(&self.environment, &next.environment),
            nodes,
            services,
            endpoints,
            containers,
            removed_nodes,
            removed_services,
            removed_endpoints,
            removed_containers,
            checks,
            removed_checks,
        }
    }

    /// Records in key order, as [`Assignment::delta_to`] and [`Assignment::apply`] need them.
    pub fn sort(&mut self) {
        self.nodes.sort_by_key(Keyed::key);
        self.services.sort_by_key(Keyed::key);
        self.endpoints.sort_by_key(Keyed::key);
        self.containers.sort_by_key(Keyed::key);
        self.checks.sort_by_key(Keyed::key);
    }

    /// The record of this very host.
    pub fn own_node(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == self.node_id)
    }
}

impl Delta {
    /// Nothing but the number changes.
    pub fn is_empty(&self) -> bool {
        *self == Delta { from: self.from, to: self.to, ..Delta::default() }
    }
}

/// A record with a key unique among its kind.
trait Keyed: Clone + PartialEq {
    type Key: Ord + Clone;
    fn key(&self) -> Self::Key;
}

macro_rules! keyed {
    ($($record:ty, $field:ident: $key:ty;)*) => { $(
        impl Keyed for $record {
            type Key = $key;
            fn key(&self) -> $key {
                self.$field.clone()
            }
        }
    )* };
}
keyed! {
    Node, id: u32;
    Service, id: u32;
    Endpoint, id: u32;
    Container, name: String;
    Check, endpoint_id: u32;
}

fn merge<R: Keyed>(held: &mut Vec<R>, upserts: Vec<R>, removed: &[R::Key]) {
    for key in removed {
        if let Ok(at) = held.binary_search_by_key(key, Keyed::key) {
            held.remove(at);
        }
    }
    for record in upserts {
        match held.binary_search_by_key(&record.key(), Keyed::key) {
            Ok(at) => held[at] = record,
            Err(at) => held.insert(at, record),
        }
    }
}

fn diff<R: Keyed>(old: &[R], new: &[R]) -> (Vec<R>, Vec<R::Key>) {
    let find = |set: &[R], key: &R::Key| set.binary_search_by_key(key, Keyed::key).ok();
    let upserts = new.iter().filter(|r| find(old, &r.key()).is_none_or(|at| old[at] != **r)).cloned().collect();
    let removed = old.iter().map(Keyed::key).filter(|key| find(new, key).is_none()).collect();
    (upserts, removed)
}

fn changed<T: Clone + PartialEq>(old: &Option<T>, new: &Option<T>) -> Option<T> {
    if old == new { None } else { new.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Assignment {
        Assignment {
            generation: 4,
            node_id: 1,
            nodes: vec![Node { id: 1, name: "h1".into(), ..Node::default() }],
            services: (1..4).map(|id| Service { id, ..Service::default() }).collect(),
            ..Assignment::default()
        }
    }

    #[test]
    fn a_delta_leads_from_the_old_set_to_the_new_one() {
        let old = held();
        let mut new = held();
        new.generation = 9;
        new.services.remove(0);
        new.services[0].vip = "10.43.0.7".into();
        new.endpoints.push(Endpoint { id: 3, ..Endpoint::default() });
        new.environment = Some(Environment { id: 1, ..Environment::default() });
        let delta = old.delta_to(&new);
        assert_eq!(delta.removed_services, [1]);
        assert_eq!(delta.services.len(), 1, "only the service that changed travels");
        let mut got = old.clone();
        got.apply(delta).expect("it chains");
        assert_eq!(got, new);
    }

    #[test]
    fn a_delta_that_does_not_start_here_is_refused_and_changes_nothing() {
        let mut got = held();
        let error = got.apply(Delta { from: 3, to: 5, removed_nodes: vec![1], ..Delta::default() });
        assert_eq!(error, Err(ApplyError::DoesNotChain { from: 3, held: 4 }));
        assert_eq!(got, held());
    }

    #[test]
    fn the_delta_between_equal_sets_is_empty() {
        assert!(held().delta_to(&held()).is_empty());
    }
}
