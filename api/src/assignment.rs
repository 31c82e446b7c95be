//! What one host is told: a full [`Assignment`], then [`Delta`]s chained by generation.
//!
//! The same message comes over the stream (prost) and from a file (`remuda agent --assignment FILE`, YAML or JSON
//! with these field names). It is self-contained: a host that has it needs nobody else to forward packets, answer
//! names and keep its containers running. Addresses are text (`10.42.0.5`), blocks are CIDRs (`10.42.0.0/26`).
//!
//! Records are keyed: nodes, services and endpoints by `id`, containers by `name`, checks by `endpoint_id`. A delta carries whole records
//! (upserts) and keys (removals); [`Assignment::apply`] refuses one that does not start where we are.

mod delta;

use serde::{Deserialize, Serialize};

use crate::engine::EngineSpec;
use crate::health::HealthCommand;

pub use delta::{ApplyError, Delta};

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
    /// Credentials for pulling images, one per registry.
    #[prost(message, repeated, tag = "6")]
    pub registries: Vec<Registry>,
}

/// Who this environment is to a registry of images.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Registry {
    /// As the first part of an image's name: `registry.example:5000`, `docker.io`.
    #[prost(string, tag = "1")]
    pub address: String,
    #[prost(string, tag = "2")]
    pub username: String,
    #[prost(string, tag = "3")]
    pub password: String,
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
    /// Empty: its endpoints are its containers. `balancer`: it has none, its ports lead to those of other services.
    /// `external`: it has none, its name leads to `addresses` or `hostname`.
    #[prost(string, tag = "8")]
    pub kind: String,
    /// Outside of the fleet, text.
    #[prost(string, repeated, tag = "9")]
    pub addresses: Vec<String>,
    /// A name outside of the fleet; empty = none.
    #[prost(string, tag = "10")]
    pub hostname: String,
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
    /// Of a balancer: ids of the services whose endpoints serve this port, sorted, each at `target`.
    #[prost(uint32, repeated, tag = "6")]
    pub backend_services: Vec<u32>,
    /// Of a balancer: the port at its VIP; 0 = not there.
    #[prost(uint32, tag = "7")]
    pub source: u32,
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
    /// Its host is dead, so nothing handed to it comes back: hosts go on remembering it, but hand it no packet of a
    /// flow they do not know. True of every endpoint of a host found dead; one that is only suspect is not silent.
    #[prost(bool, tag = "9")]
    pub silent: bool,
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
    /// What only a container engine can give; None = nothing asked for.
    #[prost(message, optional, tag = "29")]
    pub engine: Option<EngineSpec>,
    /// See [`crate::spec::RestartLimits`]; absent = as the host does it.
    #[prost(uint64, optional, tag = "30")]
    pub restart_delay_ms: Option<u64>,
    #[prost(uint32, optional, tag = "31")]
    pub restart_max_attempts: Option<u32>,
    #[prost(uint64, optional, tag = "32")]
    pub restart_window_ms: Option<u64>,
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

impl Assignment {
    /// The record of this very host.
    pub fn own_node(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == self.node_id)
    }
}
