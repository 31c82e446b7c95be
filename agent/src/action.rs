//! One step towards what should be. Every action is idempotent, atomic for its object, and prints as one line.

use std::fmt;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use remuda_api::engine::EngineSpec;

/// A step of the plan, done by the module its variant is grouped under.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    // kernel: the host and its peers
    SetHost(HostConfig),
    PutRoute(Ipv4Network, Route),
    RemoveRoute(Ipv4Network),
    PutNode(Node),
    RemoveNode(Node),
    // runtime: a unit is a holder with its network namespace, from before the first process until after the last
    CreateUnit(Box<UnitSpec>),
    StartUnit(String),
    /// Signal now, SIGKILL after the grace time; returns at once, the exit is observed.
    StopUnit {
        name: String,
        /// Empty = the one it asks for itself, else SIGTERM.
        signal: String,
        grace_ms: u64,
    },
    RemoveUnit(String),
    // kernel: a unit's interface, addresses, anti-spoofing and socket hooks in one step
    PlugEndpoint(Plug),
    UnplugEndpoint {
        name: String,
        ip: Ipv4Addr,
    },
    // kernel: load balancing
    PutBackend(Backend),
    RemoveBackend {
        id: u32,
    },
    PutFrontend(Frontend),
    RemoveFrontend(FrontendKey),
    /// TCP flows reset, connected UDP sockets destroyed, conntrack reaped: the backends are gone for good.
    BreakFlows {
        ips: Vec<Ipv4Addr>,
    },
    // names
    PublishNames {
        generation: u64,
    },
}

impl Action {
    /// The unit this step is about.
    pub fn unit(&self) -> Option<&str> {
        match self {
            Self::CreateUnit(spec) => Some(&spec.name),
            Self::StartUnit(name) | Self::RemoveUnit(name) => Some(name),
            Self::StopUnit { name, .. } | Self::UnplugEndpoint { name, .. } => Some(name),
            Self::PlugEndpoint(plug) => Some(&plug.name),
            _ => None,
        }
    }

    /// The runtimes do it, independently of other units; everything else is done one by one.
    pub fn is_of_runtime(&self) -> bool {
        matches!(self, Self::CreateUnit(_) | Self::StartUnit(_) | Self::StopUnit { .. } | Self::RemoveUnit(_))
    }

    /// Names may lead to what this step makes.
    pub fn precedes_names(&self) -> bool {
        matches!(
            self,
            Self::SetHost(_) | Self::PutRoute(..) | Self::PutNode(_) | Self::PutBackend(_) | Self::PutFrontend(_)
        )
    }
}

/// What every program on this host must know.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HostConfig {
    pub node_id: u16,
    pub vni: u32,
    pub underlay_ip: Ipv4Addr,
    /// Address and endpoint id of `remuda0`.
    pub overlay_ip: Ipv4Addr,
    pub endpoint_id: u32,
    pub dns_ip: Ipv4Addr,
    pub tunnel_port: u16,
    pub endpoint_mtu: u16,
    pub hash_seed: u64,
    pub overlay_pools: Vec<Ipv4Network>,
    pub vip_pools: Vec<Ipv4Network>,
    /// Addresses at which published ports answer here.
    pub frontend_ips: Vec<Ipv4Addr>,
    /// Uplink interface names.
    pub uplinks: Vec<String>,
    pub no_egress: bool,
    /// Published ports (protocol number, port): reserved from local port choice.
    pub published: Vec<(u8, u16)>,
}

/// Where an address prefix leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Endpoints of a node (this one included).
    Block {
        node_id: u16,
        underlay_ip: Ipv4Addr,
    },
    /// Overlay pool: an address in it that is in no block leads nowhere.
    Pool,
    Vip,
    /// A fleet host's own address.
    HostAddress {
        node_id: u16,
    },
    Dns,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    pub id: u16,
    pub underlay_ip: Ipv4Addr,
}

/// How a unit is wired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plug {
    /// The unit (container) name.
    pub name: String,
    pub endpoint_id: u32,
    pub ip: Ipv4Addr,
    pub mtu: u16,
    pub no_egress: bool,
}

/// What a runtime needs to hold and start a unit.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UnitSpec {
    pub name: String,
    pub spec_revision: u64,
    /// `process` or `docker`.
    pub runtime: String,
    pub image: String,
    /// Empty = the image's; runtime `process` runs both in a row.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    #[serde(default)]
    pub command: Vec<String>,
    /// `KEY=value`.
    pub environment: Vec<String>,
    pub user: String,
    pub working_dir: String,
    pub hostname: String,
    /// `managed`, `host` or `none`.
    pub network_mode: String,
    /// None unless managed.
    pub ip: Option<Ipv4Addr>,
    /// Where the unit finds its own host.
    #[serde(default)]
    pub host_ip: Option<Ipv4Addr>,
    /// Nameserver and search list of its resolv.conf.
    pub dns_ip: Ipv4Addr,
    pub dns_search: Vec<String>,
    pub limit_cpu_milli: u64,
    pub limit_memory_bytes: u64,
    pub limit_pids: u64,
    /// `key=value`, the user's own.
    #[serde(default)]
    pub labels: Vec<String>,
    #[serde(default)]
    pub stack: String,
    #[serde(default)]
    pub service: String,
    /// What only a container engine can give.
    #[serde(default)]
    pub engine: EngineSpec,
    /// Empty = the image's, else SIGTERM.
    #[serde(default)]
    pub stop_signal: String,
    #[serde(default)]
    pub stop_grace_ms: u64,
    /// A health command of its own is run by [`crate::health`]: the image's is not wanted.
    #[serde(default)]
    pub has_health_command: bool,
}

impl UnitSpec {
    /// What runtime `process` runs.
    pub fn argv(&self) -> Vec<String> {
        [self.entrypoint.as_slice(), &self.command].concat()
    }
}

/// One address and port that serves frontends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Endpoint id, 24 bits.
    pub id: u32,
    pub ip: Ipv4Addr,
    pub node_id: u16,
    pub node_underlay_ip: Ipv4Addr,
    pub host_network: bool,
    pub draining: bool,
}

/// What clients dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKey {
    /// One port of a VIP, which leads elsewhere than its others.
    VipPort { ip: Ipv4Addr, protocol: u8, port: u16 },
    /// Every port of a VIP, both protocols; the backend sees the port dialled.
    Vip(Ipv4Addr),
    /// A port on every host's addresses.
    Published { protocol: u8, port: u16 },
    /// A port of one container, on this host's addresses only (`mode: host`).
    HostPort { protocol: u8, port: u16 },
}

impl FrontendKey {
    /// Dialled from inside alone: connections stay with the backend they were made to, so nothing is remembered.
    pub(crate) fn is_inside(self) -> bool {
        matches!(self, Self::Vip(_) | Self::VipPort { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontend {
    pub key: FrontendKey,
    /// Of a VIP: ports of it are frontends of their own, which go first.
    pub by_port: bool,
    /// Unique in the fleet; ports of a VIP have their VIP's.
    pub id: u32,
    /// 0 = the port dialled.
    pub target_port: u16,
    /// Backend ids, sorted; empty = refused at once.
    pub backends: Vec<u32>,
    /// Backend ids, sorted, that keep the flows from outside they have and get no new ones. Always empty for a VIP:
    /// connections from inside stay with the backend they were made to.
    pub draining: Vec<u32>,
    /// Those of `backends` and `draining`, sorted, whose host is dead: the ring remembers them, but no packet is handed
    /// to them on the chance that its flow is theirs. Always empty for a VIP.
    pub silent: Vec<u32>,
}

/// Marks the id of a frontend that exists on one host only; the rest is protocol and port.
pub(crate) const HOST_PORT_ID: u32 = 1 << 31;

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetHost(h) => {
                write!(f, "set host: node {} at {}, remuda0 {}", h.node_id, h.underlay_ip, h.overlay_ip)
            }
            Self::PutRoute(prefix, route) => write!(f, "route {prefix} -> {route}"),
            Self::RemoveRoute(prefix) => write!(f, "forget route {prefix}"),
            Self::PutNode(n) => write!(f, "peer node {} at {}", n.id, n.underlay_ip),
            Self::RemoveNode(n) => write!(f, "forget node {} at {}", n.id, n.underlay_ip),
            Self::CreateUnit(u) => write!(f, "create unit {} (revision {})", u.name, u.spec_revision),
            Self::StartUnit(name) => write!(f, "start {name}"),
            Self::StopUnit { name, signal, grace_ms } if signal.is_empty() => {
                write!(f, "stop {name}, {grace_ms} ms grace")
            }
            Self::StopUnit { name, signal, grace_ms } => write!(f, "stop {name} with {signal}, {grace_ms} ms grace"),
            Self::RemoveUnit(name) => write!(f, "remove unit {name}"),
            Self::PlugEndpoint(p) => write!(f, "plug {} as {}", p.name, p.ip),
            Self::UnplugEndpoint { name, ip } => write!(f, "unplug {name} from {ip}"),
            Self::PutBackend(b) => write!(f, "backend {} at {} on node {}", b.id, b.ip, b.node_id),
            Self::RemoveBackend { id } => write!(f, "forget backend {id}"),
            Self::PutFrontend(v) if v.draining.is_empty() => {
                write!(f, "frontend {} -> {} backends", v.key, v.backends.len())
            }
            Self::PutFrontend(v) => {
                write!(f, "frontend {} -> {} backends, {} draining", v.key, v.backends.len(), v.draining.len())
            }
            Self::RemoveFrontend(key) => write!(f, "forget frontend {key}"),
            Self::BreakFlows { ips } => {
                let ips: Vec<_> = ips.iter().map(Ipv4Addr::to_string).collect();
                write!(f, "break flows of {}", ips.join(", "))
            }
            Self::PublishNames { generation } => write!(f, "publish names of generation {generation}"),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block { node_id, underlay_ip } => write!(f, "node {node_id} at {underlay_ip}"),
            Self::Pool => f.write_str("unassigned"),
            Self::Vip => f.write_str("VIPs"),
            Self::HostAddress { node_id } => write!(f, "host address of node {node_id}"),
            Self::Dns => f.write_str("names"),
        }
    }
}

impl fmt::Display for FrontendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vip(ip) => write!(f, "{ip}"),
            Self::VipPort { ip, protocol, port } => write!(f, "{ip}:{port}/{}", protocol_name(*protocol)),
            Self::Published { protocol, port } => write!(f, "published {}/{port}", protocol_name(*protocol)),
            Self::HostPort { protocol, port } => write!(f, "host port {}/{port}", protocol_name(*protocol)),
        }
    }
}

fn protocol_name(number: u8) -> &'static str {
    if number == 17 { "udp" } else { "tcp" }
}
