//! One container as the engine told it, and a unit's containers as one state. Pure.

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};

use super::image_health;
use super::labels::{self, Owner, Role};
use super::moment::unix_ns;
use crate::action::UnitSpec;
use crate::observed::Health;

/// What an inspection says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) phase: Phase,
    /// Of its first process while it runs, else 0.
    pub(super) pid: u32,
    /// When that process began, ticks since the boot: tells it from a later one of the same number.
    pub(super) pid_began: u64,
    /// Unix milliseconds; 0 = never.
    pub(super) started_ms: u64,
    pub(super) finished_ms: u64,
    pub(super) exit_code: i32,
    pub(super) is_out_of_memory: bool,
    /// Why it could not be started, in the engine's words.
    pub(super) error: String,
    /// Its image's, or what it was made with; empty = SIGTERM.
    pub(super) stop_signal: String,
    /// By the check its image brings.
    pub(super) health: Option<Health>,
    /// Of its log since it started, if it ended badly; oldest first.
    pub(super) last_lines: Vec<String>,
    /// Number of the question this answers, by which answers are ordered; 0 = it was told to an agent before.
    #[serde(skip)]
    pub(super) asked: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Created,
    Running,
    Exited,
    /// On its way out of the engine.
    Removing,
    /// Stuck on that way.
    Dead,
}

impl Container {
    /// None if it is not ours.
    pub(super) fn read(
        told: ContainerInspectResponse,
        owner: &Owner,
        asked: u64,
    ) -> Option<(Role, UnitSpec, Container)> {
        let config = told.config.unwrap_or_default();
        let labels = config.labels.unwrap_or_default();
        let (role, spec) = labels::read(told.name.as_deref().unwrap_or_default(), &labels, owner)?;
        let state = told.state.unwrap_or_default();
        let phase = phase(&state);
        let pid = state.pid.and_then(|pid| u32::try_from(pid).ok()).filter(|_| phase == Phase::Running).unwrap_or(0);
        let container = Container {
            id: told.id?,
            phase,
            pid,
            pid_began: began(pid).unwrap_or(0),
            started_ms: unix_ms(state.started_at),
            finished_ms: unix_ms(state.finished_at),
            exit_code: state.exit_code.and_then(|code| i32::try_from(code).ok()).unwrap_or(0),
            is_out_of_memory: state.oom_killed.unwrap_or(false),
            error: state.error.unwrap_or_default(),
            stop_signal: config.stop_signal.unwrap_or_default(),
            health: image_health::health(state.health.as_ref()),
            last_lines: Vec::new(),
            asked,
        };
        Some((role, spec, container))
    }

    /// It ended badly.
    pub(super) fn has_failed(&self) -> bool {
        self.phase == Phase::Exited && self.exit_code != 0
    }

    /// The engine is not about to remove it.
    pub(super) fn stays(&self) -> bool {
        !matches!(self.phase, Phase::Removing | Phase::Dead)
    }

    pub(super) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Its process is still the one the engine told of.
    pub(super) fn lives(&self) -> bool {
        self.is_running() && began(self.pid) == Some(self.pid_began)
    }

    /// What the engine would say if it could: nothing outlives its first process.
    pub(super) fn seen_without_engine(&self) -> Container {
        match self.is_running() && !self.lives() {
            true => Container { phase: Phase::Exited, pid: 0, exit_code: CODE_UNKNOWN, ..self.clone() },
            false => self.clone(),
        }
    }
}

/// As Docker itself says of a container that ended while nobody looked.
const CODE_UNKNOWN: i32 = 255;

/// A paused container runs: somebody who paused it by hand will go on by hand.
fn phase(state: &ContainerState) -> Phase {
    match state.status {
        Some(ContainerStateStatusEnum::REMOVING) => Phase::Removing,
        Some(ContainerStateStatusEnum::DEAD) => Phase::Dead,
        _ if state.running == Some(true) => Phase::Running,
        Some(ContainerStateStatusEnum::CREATED) => Phase::Created,
        _ => Phase::Exited,
    }
}

/// Unix milliseconds; 0 = never.
fn unix_ms(time: Option<String>) -> u64 {
    time.and_then(|time| unix_ns(&time)).unwrap_or(0) / 1_000_000
}

/// When a process began, ticks since the boot (proc(5): `starttime`, the 22nd field of `stat`).
pub(super) fn began(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is its name in parentheses, which may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{owner, spec};
    use super::*;

    fn told(status: ContainerStateStatusEnum, running: bool) -> ContainerInspectResponse {
        let config = bollard::models::ContainerConfig {
            labels: Some(labels::labels(&spec(), &owner(), Role::Unit)),
            stop_signal: Some("SIGQUIT".into()),
            ..Default::default()
        };
        ContainerInspectResponse {
            id: Some("abc".into()),
            name: Some("/shop-web-1".into()),
            config: Some(config),
            state: Some(ContainerState {
                status: Some(status),
                running: Some(running),
                pid: Some(i64::from(std::process::id())),
                exit_code: Some(137),
                oom_killed: Some(true),
                started_at: Some("1970-01-01T00:00:01.5Z".into()),
                finished_at: Some("0001-01-01T00:00:00Z".into()),
                ..ContainerState::default()
            }),
            ..ContainerInspectResponse::default()
        }
    }

    #[test]
    fn a_running_container_has_its_process_and_lives_as_long_as_that_does() {
        let (role, of, container) =
            Container::read(told(ContainerStateStatusEnum::RUNNING, true), &owner(), 1).expect("ours");
        assert_eq!((role, of), (Role::Unit, spec()));
        assert_eq!((container.phase, container.started_ms, container.finished_ms), (Phase::Running, 1500, 0));
        assert_eq!((container.pid, container.stop_signal.as_str()), (std::process::id(), "SIGQUIT"));
        assert!(container.lives() && container.seen_without_engine() == container);
        let another = Container { pid_began: container.pid_began + 1, ..container };
        assert!(!another.lives());
        assert_eq!(another.seen_without_engine().phase, Phase::Exited);
    }

    #[test]
    fn every_status_of_the_engine_is_a_phase() {
        use ContainerStateStatusEnum as Status;
        let phases = [
            (Status::CREATED, false, Phase::Created),
            (Status::RUNNING, true, Phase::Running),
            (Status::PAUSED, true, Phase::Running),
            (Status::EXITED, false, Phase::Exited),
            (Status::DEAD, false, Phase::Dead),
            (Status::REMOVING, false, Phase::Removing),
        ];
        for (status, running, phase) in phases {
            let (_, _, container) = Container::read(told(status, running), &owner(), 1).expect("ours");
            assert_eq!((container.phase, container.pid != 0), (phase, running), "{status:?}");
            assert_eq!((container.exit_code, container.is_out_of_memory), (137, true));
        }
    }

    #[test]
    fn a_container_of_somebody_else_is_none_of_ours() {
        let mut theirs = told(ContainerStateStatusEnum::RUNNING, true);
        theirs.config = None;
        assert_eq!(Container::read(theirs, &owner(), 1), None);
        assert_eq!(
            Container::read(told(ContainerStateStatusEnum::RUNNING, true), &Owner { node_id: 8, ..owner() }, 1),
            None
        );
    }
}
