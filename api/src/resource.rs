//! What the REST API shows and takes: field names are DESIGN.md section 5's contract.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::spec::{Protocol, PublishMode, StackSpec};

/// One container. `host`, `ip`, `pid` are null before they exist; times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Container {
    pub name: String,
    pub stack: String,
    pub service: String,
    pub host: Option<String>,
    pub ip: Option<String>,
    pub state: ContainerState,
    pub health: Health,
    /// Why it is pending, failed or unhealthy; else null.
    pub reason: Option<String>,
    pub pid: Option<u32>,
    pub restarts: u32,
    pub created: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerState {
    #[default]
    Pending,
    Starting,
    Running,
    Draining,
    Stopping,
    Stopped,
    Failed,
    Complete,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    #[default]
    Initializing,
    Healthy,
    Unhealthy,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Service {
    pub name: String,
    pub stack: String,
    /// `replicated`, `global`, `balancer`, `external`.
    pub kind: String,
    pub vip: Option<String>,
    pub ports: Vec<Port>,
    pub desired: u32,
    pub running: u32,
    pub healthy: u32,
    pub state: ServiceState,
    pub image: Option<String>,
    /// The store revision that last changed it.
    pub generation: u64,
    /// Of the service as a whole: healthy while as many as desired are, unhealthy while none is though some ran.
    #[serde(default)]
    pub health: Health,
    /// What a user may want to know besides: why it is inactive or unhealthy, who answers its check; else null.
    #[serde(default)]
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    #[default]
    Active,
    Updating,
    Upgraded,
    RollingBack,
    Paused,
    Inactive,
    Removing,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Port {
    pub published: Option<u16>,
    pub target: u16,
    pub protocol: Protocol,
    pub mode: PublishMode,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Stack {
    pub name: String,
    pub services: u32,
    pub desired: u32,
    pub running: u32,
    pub healthy: u32,
    pub state: ServiceState,
    pub generation: u64,
}

/// One host. `cpu` (cores) and `memory` (bytes) are what may be placed there in all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Host {
    pub name: String,
    pub node_id: u32,
    pub underlay_ip: String,
    pub cidrs: Vec<String>,
    pub state: HostState,
    pub availability: Availability,
    pub labels: BTreeMap<String, String>,
    pub cpu: f64,
    pub memory: u64,
    /// How many containers are placed there.
    pub containers: u32,
    /// The generation whose every step this host has done.
    pub generation: u64,
    /// Product version of the agent.
    pub version: String,
    /// Why it is not ready, or not trusted; null when all is well.
    pub reason: Option<String>,
    /// Steps that keep failing there, in the host's own words: an assignment it refused, a port that is taken, …
    pub problems: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostState {
    #[default]
    Joining,
    Ready,
    Suspect,
    ControlLost,
    Dead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Availability {
    #[default]
    Active,
    Pause,
    Drain,
}

/// `PATCH /v1/hosts/{name}`: absent = unchanged; a label set to null is removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostPatch {
    pub labels: BTreeMap<String, Option<String>>,
    pub availability: Option<Availability>,
}

/// `PUT /v1/stacks/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StackApply {
    pub spec: StackSpec,
    /// Remove services of the stack that the spec no longer names.
    #[serde(default)]
    pub prune: bool,
    /// Say what would change and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StackApplied {
    /// Fleet revision after the change.
    pub generation: u64,
    /// One line per change: `web: scale 2 -> 6`.
    pub changes: Vec<String>,
    /// Services that run although the spec does not name them (removed only with `prune`).
    pub surplus: Vec<String>,
    /// What to know of it, one line each: `service portainer mounts /var/run/docker.sock: …` for each use of what gives
    /// power over a host, services that stay stopped, …
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Every service of the stack by name, with what becomes of it.
    #[serde(default)]
    pub services: Vec<ServiceChange>,
}

/// What applying a stack does to one of its services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceChange {
    pub service: String,
    pub action: ChangeAction,
    /// Its containers give way to new ones.
    pub replaces_containers: bool,
    /// What differs, where the action is `changed`.
    pub fields: Vec<FieldChange>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeAction {
    Created,
    Changed,
    Removed,
    /// Not in the file, and left as it is.
    Kept,
    #[default]
    Unchanged,
}

/// One field of a service's spec as `GET /v1/services/{stack}/{service}/spec` names it; `scale` is the declared scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FieldChange {
    /// `environment.TAG`, `ports[0].published`. Of what may be secret (`environment`, `log_options`, `driver_options`) it is
    /// said that it changed: both values are null.
    pub field: String,
    /// Null = it was not there.
    #[schema(value_type = Object)]
    pub old: serde_json::Value,
    /// Null = it is not there any more.
    #[schema(value_type = Object)]
    pub new: serde_json::Value,
}

/// A volume whose data is on hosts of the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Volume {
    /// Full name.
    pub name: String,
    /// None: it belongs to no stack.
    pub stack: Option<String>,
    pub driver: String,
    /// The host that has its data; None = not made yet, or on every host that uses it.
    pub host: Option<String>,
    /// Containers that mount it, by name.
    pub used_by: Vec<String>,
}

/// A registry whose credential is known. Passwords are never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Registry {
    pub address: String,
    pub username: String,
}

/// `PUT /v1/registries/{address}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryLogin {
    pub username: String,
    pub password: String,
}

/// Who may use the API. Secrets are never shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    pub name: String,
    /// It may declare what gives power over a host: files of the host, devices, privileged containers, …
    pub host_access: bool,
    pub created: String,
}

/// `POST /v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyCreate {
    pub name: String,
    #[serde(default)]
    pub host_access: bool,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyCreated {
    pub name: String,
    pub host_access: bool,
    /// The secret, shown this once.
    pub key: String,
}

/// `POST /v1/scale`: `{"stack/service": n}`; all or nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    pub services: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    #[serde(default = "one")]
    pub uses: u32,
    /// How long it may be used, seconds.
    #[serde(default = "quarter_hour")]
    pub ttl_s: u64,
}
fn one() -> u32 {
    1
}
fn quarter_hour() -> u64 {
    900
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    pub token: String,
    pub uses: u32,
    pub expires: String,
    /// Paste-ready line for the new host.
    pub join_command: String,
}

/// Something that happened, oldest first; `id` grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    pub id: u64,
    pub time: String,
    /// `host-ready`, `container-started`, `stack-applied`, …
    pub kind: String,
    /// What it is about: `stack/service`, container or host name.
    pub object: String,
    pub message: String,
}

/// RFC 9457 problem body; `errors` lists everything wrong at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    pub title: String,
    pub status: u16,
    #[serde(default)]
    pub detail: String,
    #[serde(default)]
    pub errors: Vec<FieldError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Path in the body: `services.web.ports[0].published`.
    pub field: String,
    pub message: String,
}

/// `GET /v1/containers/{name}/dns?name=…&type=A`: what this container's host answers it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DnsAnswer {
    pub name: String,
    pub kind: String,
    /// `NOERROR`, `NXDOMAIN`, …
    pub rcode: String,
    /// Records in presentation form, answer section in the order sent.
    pub answers: Vec<String>,
    pub authority: Vec<String>,
    /// The host that answered and the generation of its view.
    pub host: String,
    pub generation: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    pub product: String,
    pub protocol: u32,
    pub wire_format: u32,
    pub map_abi: u32,
}
