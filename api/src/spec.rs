//! What a user wants: a stack of services, as accepted by `PUT /v1/stacks/{name}` and produced by the Compose loader.
//!
//! Units are in the names. Absent means "the default", and the default is written here, once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::engine::EngineSpec;
use crate::health::{HealthCheck, HealthCommand};

/// Most replicas one service may ask for.
pub const REPLICAS_MAX: u32 = 100_000;
/// SIGTERM to SIGKILL when nothing else is said, as Compose does.
pub const STOP_GRACE_DEFAULT_MS: u64 = 10_000;
/// How long a container that left names, lists and rings may go on with the flows it has, when nothing else is said.
pub const DRAIN_TIMEOUT_DEFAULT_MS: u64 = 10_000;

/// A stack: services that are deployed, named and removed together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StackSpec {
    pub name: String,
    #[serde(default)]
    pub services: BTreeMap<String, ServiceSpec>,
    #[serde(default)]
    pub networks: BTreeMap<String, NetworkSpec>,
    /// Volumes that mounts of its services name by key.
    #[serde(default)]
    pub volumes: BTreeMap<String, VolumeSpec>,
}

/// A Compose volume: data that outlives containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VolumeSpec {
    /// Its full name; None = `<stack>_<key>`.
    pub name: Option<String>,
    /// It must exist and belongs to no stack.
    pub external: bool,
    /// None = `local`, whose data is on one host: containers that mount it run there and nowhere else.
    pub driver: Option<String>,
    pub driver_options: BTreeMap<String, String>,
}

/// A Compose network: who sees whose names, and whether its members may reach the outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// No way out: members reach the fleet only.
    #[serde(default)]
    pub internal: bool,
    /// Shared between stacks under this name (`external: true`); None = private to the stack.
    #[serde(default)]
    pub external: Option<String>,
}

/// One service of a stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceSpec {
    pub mode: ServiceMode,
    pub image: Option<String>,
    /// Arguments that replace the image's command. Runtime `process` needs this or `entrypoint`.
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub environment: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub hostname: Option<String>,
    pub ports: Vec<PortSpec>,
    /// Network name -> how this service appears there. Empty = the stack's network `default`.
    pub networks: BTreeMap<String, AttachmentSpec>,
    pub network_mode: NetworkMode,
    pub depends_on: BTreeMap<String, DependsOn>,
    pub endpoint_mode: EndpointMode,
    pub resources: Resources,
    pub constraints: Vec<Constraint>,
    pub max_replicas_per_node: u32,
    /// None = `process` without an image, else `docker` where a host of the fleet has an engine.
    pub runtime: Option<RuntimeKind>,
    pub stop_grace_ms: u64,
    /// Signal name such as `SIGTERM`; None = SIGTERM.
    pub stop_signal: Option<String>,
    pub restart: RestartPolicy,
    pub restart_limits: RestartLimits,
    /// Checked by other hosts; None = not.
    pub health_check: Option<HealthCheck>,
    /// Checked by a command inside; None = not.
    pub healthcheck: Option<HealthCommand>,
    /// Deadline of the flows of a container on its way out; the drain ends early when none is left. 0 = none is kept.
    pub drain_timeout_ms: u64,
    /// What only a container engine can give.
    pub engine: EngineSpec,
    /// A service without containers: its ports lead to other services.
    pub balancer: Option<BalancerSpec>,
    /// A service without containers: its name leads outside of the fleet.
    pub external: Option<ExternalSpec>,
    /// False: it is declared, and its containers begin when somebody starts it.
    pub start_on_create: bool,
    /// A container that takes another one's place gets its address.
    pub retain_ip: bool,
    /// Kept for who asks; nothing here acts on it.
    #[schema(value_type = Object)]
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// Kept; nothing acts on it yet.
    pub upgrade_strategy: Option<UpgradeStrategy>,
}

impl ServiceSpec {
    /// Containers of its own do its work; false for a balancer and for what lies outside of the fleet.
    pub fn has_containers(&self) -> bool {
        self.balancer.is_none() && self.external.is_none()
    }
}

impl Default for ServiceSpec {
    fn default() -> Self {
        Self {
            mode: ServiceMode::default(),
            image: None,
            command: None,
            entrypoint: None,
            environment: BTreeMap::new(),
            labels: BTreeMap::new(),
            user: None,
            working_dir: None,
            hostname: None,
            ports: Vec::new(),
            networks: BTreeMap::new(),
            network_mode: NetworkMode::default(),
            depends_on: BTreeMap::new(),
            endpoint_mode: EndpointMode::default(),
            resources: Resources::default(),
            constraints: Vec::new(),
            max_replicas_per_node: 0,
            runtime: None,
            stop_grace_ms: STOP_GRACE_DEFAULT_MS,
            stop_signal: None,
            restart: RestartPolicy::default(),
            restart_limits: RestartLimits::default(),
            health_check: None,
            healthcheck: None,
            drain_timeout_ms: DRAIN_TIMEOUT_DEFAULT_MS,
            engine: EngineSpec::default(),
            balancer: None,
            external: None,
            start_on_create: true,
            retain_ip: false,
            metadata: BTreeMap::new(),
            upgrade_strategy: None,
        }
    }
}

/// How many, and where. `replicas` in a file that gives none is 1; a later `up` without it keeps a scale set by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum ServiceMode {
    /// `replicas: None` = not said in the file: 1 at creation, kept afterwards.
    Replicated {
        #[serde(default)]
        replicas: Option<u32>,
    },
    /// One on every host that satisfies the constraints.
    Global,
}

impl Default for ServiceMode {
    fn default() -> Self {
        Self::Replicated { replicas: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PortSpec {
    /// Port inside the container, 1..=65535.
    pub target: u16,
    /// Port on the hosts; None = reachable through the VIP only.
    #[serde(default)]
    pub published: Option<u16>,
    #[serde(default)]
    pub protocol: Protocol,
    #[serde(default)]
    pub mode: PublishMode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    #[default]
    Tcp,
    Udp,
}

impl Protocol {
    /// The IP protocol number (RFC 790).
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PublishMode {
    /// Every host answers.
    #[default]
    Ingress,
    /// Only the host that runs the container answers; one container per host and port.
    Host,
}

/// How a service appears on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AttachmentSpec {
    pub aliases: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkMode {
    /// An address of its own on the overlay.
    #[default]
    Managed,
    /// The host's network namespace.
    Host,
    /// Loopback only.
    None,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DependsOn {
    #[default]
    ServiceStarted,
    ServiceHealthy,
    ServiceCompletedSuccessfully,
}

/// What the plain name answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndpointMode {
    /// As the environment says (the list, unless set otherwise).
    #[default]
    Inherit,
    /// The shuffled list of healthy addresses (Swarm's `dnsrr`).
    List,
    Vip,
}

/// 0 = no reservation, no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Thousandths of a core.
    pub reserve_cpu_milli: u64,
    pub reserve_memory_bytes: u64,
    pub limit_cpu_milli: u64,
    pub limit_memory_bytes: u64,
    pub limit_pids: u64,
}

/// `node.labels.zone == a`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Constraint {
    /// `node.hostname`, `node.id` or `node.labels.<key>`.
    pub key: String,
    pub equal: bool,
    pub value: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeKind {
    #[default]
    Process,
    Docker,
}

impl RuntimeKind {
    /// As hosts list it, and as a container's record says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker => "docker",
        }
    }
}

/// When a container that ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// How often and how fast a container that ended is started again. None = as the host does it: after a pause that grows
/// from crash to crash, without end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RestartLimits {
    /// From the end to the next start.
    pub delay_ms: Option<u64>,
    /// Starts after the first; then it stays ended.
    pub max_attempts: Option<u32>,
    /// A container that ran for this long starts counting attempts anew.
    pub window_ms: Option<u64>,
}

/// Ports of a service that lead to containers of others: `lb_config` of rancher-compose.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BalancerSpec {
    /// Several with one source port share it: its backends are the containers of all their targets.
    pub rules: Vec<BalancerRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BalancerRule {
    /// The balancer's port: the container side of `ports:`, 1..=65535.
    pub source_port: u16,
    /// The port of the target's containers.
    pub target_port: u16,
    /// What its traffic is carried as: plain http rules are balanced as TCP.
    pub protocol: Protocol,
    /// Another stack's; None = the balancer's own.
    pub stack: Option<String>,
    pub service: String,
    pub priority: Option<i64>,
}

/// Where a name leads that is outside of the fleet: addresses, or another name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExternalSpec {
    /// IPv4 or IPv6 addresses.
    pub addresses: Vec<String>,
    pub hostname: Option<String>,
}

/// `upgrade_strategy` of rancher-compose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpgradeStrategy {
    pub batch_size: Option<u32>,
    pub interval_ms: Option<u64>,
    pub start_first: bool,
}
