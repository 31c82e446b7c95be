//! One container: what is wished for it, where it is, what its host says and what was found of its health.

use std::net::Ipv4Addr;

use remuda_api::link::ContainerStatus;
use remuda_api::resource::{ContainerState, Health};
use remuda_api::spec::RuntimeKind;
use serde::{Deserialize, Serialize};

use super::{HostPort, Service};

/// One container, from the wish for it until its host says it is gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Container {
    pub name: String,
    pub stack: String,
    pub service: String,
    pub service_id: u32,
    /// The only host it may run on (global services); 0 = any.
    pub pinned_node: u32,
    /// 0 = not placed.
    pub node_id: u32,
    pub endpoint_id: u32,
    /// What runs it there, fixed when it is placed.
    pub runtime: RuntimeKind,
    /// Overlay address; None for network modes `host` and `none`.
    pub ip: Option<Ipv4Addr>,
    /// The address it gets when it is placed, its predecessor's; None = any.
    pub heir_of: Option<Ipv4Addr>,
    /// What it takes of its host.
    pub claim: Claim,
    pub stage: Stage,
    /// It served when it began to leave: its flows are kept to their end or deadline.
    pub drains: bool,
    /// Its host is being drained: it serves until another one does in its place.
    pub moving_since_ms: Option<u64>,
    /// Why it is not placed, or not placed elsewhere although its host is lost.
    pub pending_reason: String,
    pub spec_revision: u64,
    pub created_ms: u64,
    /// As its host last said; None = nothing yet.
    pub status: Option<ContainerStatus>,
    /// The last verdict about it, kept so that a restarted server goes on from it.
    pub verdict: Verdict,
}

/// What is held of a container's health.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verdict {
    pub health: Health,
    /// Why it is unhealthy, or what its checkers found while it is not healthy yet.
    pub reason: String,
    /// When `health` became this; 0 = it does not run.
    pub since_ms: u64,
    /// It was healthy before, so a start is a restart.
    pub was_healthy: bool,
    /// How long it had been healthy when it became unhealthy; 0 = it had not been, since its start.
    pub healthy_ms: u64,
    /// The start it is about, as its host dated it; another start begins afresh.
    pub started: String,
}

/// What a container takes of its host, fixed when it is placed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claim {
    pub cpu_milli: u64,
    pub memory_bytes: u64,
    pub host_ports: Vec<HostPort>,
}

impl Claim {
    pub fn of(service: &Service) -> Claim {
        Claim {
            cpu_milli: service.spec.resources.reserve_cpu_milli,
            memory_bytes: service.spec.resources.reserve_memory_bytes,
            host_ports: service.host_ports().collect(),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    #[default]
    Wanted,
    /// Out of names, lists and rings since this revision; told to stop when every host has that.
    Draining { revision: u64, since_ms: u64 },
    /// Its host was told to stop it.
    Stopping,
}

impl Container {
    pub fn is_wanted(&self) -> bool {
        self.stage == Stage::Wanted
    }

    /// Wanted, and not to be replaced by one elsewhere: it counts towards its service's scale.
    pub fn is_staying(&self) -> bool {
        self.is_wanted() && self.moving_since_ms.is_none()
    }

    /// A process of it lives, whatever is wished for it.
    pub fn is_alive(&self) -> bool {
        self.status.as_ref().is_some_and(|status| matches!(status.state.as_str(), "running" | "draining" | "stopping"))
    }

    /// What users see.
    pub fn state(&self) -> ContainerState {
        match (self.stage, &self.status) {
            (Stage::Draining { .. }, _) => ContainerState::Draining,
            (Stage::Stopping, Some(status)) if status.state == "draining" => ContainerState::Draining,
            (Stage::Stopping, _) => ContainerState::Stopping,
            (Stage::Wanted, _) if self.node_id == 0 => ContainerState::Pending,
            (Stage::Wanted, None) => ContainerState::Starting,
            (Stage::Wanted, Some(status)) => parse_state(&status.state),
        }
    }

    /// The verdict of [`crate::health`] on a process that runs.
    pub fn health(&self) -> Health {
        match &self.status {
            // What is on its way out is as well as it was last.
            Some(_) if self.is_running() || (!self.is_wanted() && self.is_alive()) => self.verdict.health,
            Some(status) if status.health == "unhealthy" => Health::Unhealthy,
            _ => Health::Initializing,
        }
    }

    /// Its host says that it runs, whatever is wished for it.
    pub fn is_running(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.state == "running")
    }

    /// Running and not on its way out: it belongs into names, lists and rings.
    pub fn is_serving(&self) -> bool {
        self.is_wanted() && self.state() == ContainerState::Running && self.health() == Health::Healthy
    }

    /// Runs what its service now says.
    pub fn is_current(&self, service: &Service) -> bool {
        let told = self.spec_revision == service.spec_revision;
        // 0: nothing of it exists there right now, neither old nor new.
        let is_new = |status: &ContainerStatus| [0, self.spec_revision].contains(&status.spec_revision);
        told && self.status.as_ref().is_none_or(is_new)
    }
}

fn parse_state(word: &str) -> ContainerState {
    match word {
        "running" => ContainerState::Running,
        "draining" => ContainerState::Draining,
        "stopping" => ContainerState::Stopping,
        "stopped" => ContainerState::Stopped,
        "failed" => ContainerState::Failed,
        "complete" => ContainerState::Complete,
        // `pending` too: it has a host, and that is about to make it.
        _ => ContainerState::Starting,
    }
}
