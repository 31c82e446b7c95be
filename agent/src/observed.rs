//! What is: read from the kernel's maps and devices and from the runtimes, never from memory of what was done.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;

use crate::action::{Backend, Frontend, FrontendKey, HostConfig, Node, Route};

/// Everything the plan compares with the desired state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    pub kernel: ObservedKernel,
    /// By unit name, whatever the runtime.
    pub units: BTreeMap<String, Unit>,
    /// Inbound TCP flows of units that drain, by name; absent = not counted.
    pub flows: BTreeMap<String, usize>,
    /// Generation of the names published now; 0 = none since start.
    pub names_generation: u64,
}

/// What maps, links and devices hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedKernel {
    /// None until `SetHost` was done completely (by this agent or one before it).
    pub host: Option<HostConfig>,
    pub routes: BTreeMap<Ipv4Network, Route>,
    /// By node id.
    pub nodes: BTreeMap<u16, Node>,
    /// By address; value is the unit name.
    pub endpoints: BTreeMap<Ipv4Addr, Plugged>,
    pub backends: BTreeMap<u32, Backend>,
    pub frontends: BTreeMap<FrontendKey, Frontend>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plugged {
    pub name: String,
    pub endpoint_id: u32,
    pub mtu: u16,
    pub no_egress: bool,
}

/// A unit as its holder tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    pub name: String,
    pub spec_revision: u64,
    pub ip: Option<Ipv4Addr>,
    pub state: UnitState,
    /// Starts so far, the first not counted.
    pub restarts: u32,
    /// Unix milliseconds of the last start and the last exit; 0 = never.
    pub started_ms: u64,
    pub exited_ms: u64,
    /// Its namespace exists, and what an engine has to create: it can be plugged and started. Else it is to be created
    /// (again).
    pub can_start: bool,
    /// Set for `managed` units that are wired to the overlay at this moment.
    pub plugged: bool,
    /// What its health command, or else its image's own check, says of this start of it; nothing yet without either.
    pub health: Health,
    /// What the engine finds by the image's own check (`HEALTHCHECK`); None: it runs none of this unit.
    pub image_health: Option<Health>,
}

/// Of one start of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Health {
    pub verdict: Verdict,
    /// Why it is unhealthy, with the last line the command said.
    pub reason: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It has not passed yet, nor failed often enough.
    #[default]
    Initializing,
    Healthy,
    Unhealthy,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitState {
    /// The runtime is busy with it; ends by itself in another state. In words: `pulling nginx:1.27, 34 of 80 MB`.
    Working {
        what: String,
    },
    /// Namespace exists, nothing was started yet.
    Created,
    Running {
        pid: u32,
    },
    /// Told to stop, not gone yet.
    Stopping {
        pid: u32,
    },
    /// `code` as a shell shows it (128 + signal); `reason` in words with the last log line.
    Exited {
        code: i32,
        reason: String,
        /// The last lines of its log since its start, oldest first, each cut; empty if it ended well.
        lines: Vec<String>,
    },
    /// Could not be created or started; the reason in words.
    Failed {
        reason: String,
    },
}
