//! What is known of one unit, and how that is as the plan sees it. Pure.

use std::path::PathBuf;
use std::sync::Arc;

use super::container::{Container, Phase};
use super::labels::Role;
use crate::action::UnitSpec;
use crate::observed::{Health, Unit, UnitState};
use crate::runtime::exit::{self, Cause};
use crate::runtime::is_plugged;

/// A unit: what it was made for, its containers, and what is being done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) spec: Arc<UnitSpec>,
    /// None in the host's network or in none, or when it is not there (yet).
    pub(super) holder: Option<Container>,
    pub(super) unit: Option<Container>,
    /// Being done now.
    pub(super) work: Option<Work>,
    /// What could not be done since it was last tried.
    pub(super) failure: Option<Failure>,
    pub(super) restarts: u32,
    /// We ended it by force; of the run that began at this time.
    pub(super) killed_run_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Work {
    /// Tells it from work that was given up.
    pub(super) number: u64,
    pub(super) kind: WorkKind,
    /// In words, for people.
    pub(super) what: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkKind {
    Creating,
    Starting,
    Stopping,
    Removing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: String,
    /// Unix milliseconds.
    pub(super) at_ms: u64,
}

impl Record {
    pub(super) fn new(spec: Arc<UnitSpec>) -> Record {
        Record { spec, holder: None, unit: None, work: None, failure: None, restarts: 0, killed_run_ms: None }
    }

    /// The engine told this; what it told later of the same container is kept.
    pub(super) fn take(&mut self, role: Role, spec: UnitSpec, container: Container) {
        let held = self.container(role);
        if held.is_some_and(|held| held.id == container.id && held.asked > container.asked) {
            return;
        }
        if role == Role::Unit {
            if container.is_running() {
                self.failure = None;
            }
            // The unit's own container says what the unit is.
            if *self.spec != spec {
                self.spec = Arc::new(spec);
            }
        }
        *self.container_mut(role) = Some(container);
    }

    pub(super) fn container(&self, role: Role) -> Option<&Container> {
        match role {
            Role::Holder => self.holder.as_ref(),
            Role::Unit => self.unit.as_ref(),
        }
    }

    pub(super) fn container_mut(&mut self, role: Role) -> &mut Option<Container> {
        match role {
            Role::Holder => &mut self.holder,
            Role::Unit => &mut self.unit,
        }
    }

    /// Nothing of it is in the engine, and nothing is being done to change that.
    pub(super) fn is_over(&self) -> bool {
        self.holder.is_none() && self.unit.is_none() && self.work.is_none() && self.failure.is_none()
    }

    pub(super) fn is_running(&self) -> bool {
        self.unit.as_ref().is_some_and(Container::is_running)
    }

    fn is_managed(&self) -> bool {
        self.spec.network_mode == "managed"
    }

    /// A process in the unit's own network namespace: while it runs, it is where its program is, whatever became of its
    /// holder; then its holder.
    fn process_of_namespace(&self) -> Option<u32> {
        let living = [&self.unit, &self.holder].into_iter().flatten().find(|container| container.lives());
        living.filter(|_| self.is_managed()).map(|container| container.pid)
    }

    pub(super) fn namespace(&self) -> Option<PathBuf> {
        self.process_of_namespace().map(|pid| PathBuf::from(format!("/proc/{pid}/ns/net")))
    }

    /// What was read from the engine, corrected by what the kernel says while it does not answer, and why it does not.
    pub(super) fn seen_without_engine(mut self, problem: Option<&str>) -> Record {
        if let (Some(work), Some(problem)) = (&mut self.work, problem)
            && !work.what.contains(problem)
        {
            work.what.push_str(&format!("; {problem}"));
        }
        for role in [Role::Holder, Role::Unit] {
            let container = self.container_mut(role);
            *container = container.as_ref().map(Container::seen_without_engine);
        }
        self
    }

    /// As the plan sees it.
    pub(super) fn observed(&self) -> Unit {
        let unit = self.unit.as_ref();
        let failed_ms = self.failure.as_ref().map_or(0, |failure| failure.at_ms);
        Unit {
            name: self.spec.name.clone(),
            spec_revision: self.spec.spec_revision,
            ip: self.spec.ip,
            state: self.state(),
            restarts: self.restarts,
            started_ms: unit.map_or(0, |unit| unit.started_ms),
            exited_ms: unit.map_or(0, |unit| unit.finished_ms).max(failed_ms),
            can_start: unit.is_some_and(|unit| unit.phase != Phase::Dead)
                && (!self.is_managed() || self.process_of_namespace().is_some()),
            plugged: self.process_of_namespace().is_some_and(|pid| is_plugged(pid, self.spec.ip)),
            health: Health::default(),
            image_health: unit.and_then(|unit| unit.health.clone()),
        }
    }

    fn state(&self) -> UnitState {
        let pid = self.unit.as_ref().map_or(0, |unit| unit.pid);
        match (self.work.as_ref().map(|work| work.kind), self.unit.as_ref()) {
            (Some(WorkKind::Removing), _) => UnitState::Stopping { pid },
            (Some(WorkKind::Creating | WorkKind::Starting), _) => {
                UnitState::Working { what: self.work.as_ref().map_or_else(String::new, |work| work.what.clone()) }
            }
            (Some(WorkKind::Stopping), Some(unit)) if unit.is_running() => UnitState::Stopping { pid },
            (_, Some(unit)) if unit.is_running() => UnitState::Running { pid },
            (_, Some(unit)) if unit.phase == Phase::Removing => UnitState::Stopping { pid },
            (_, unit) => self.not_running(unit),
        }
    }

    fn not_running(&self, unit: Option<&Container>) -> UnitState {
        let failed = |reason: &str| UnitState::Failed { reason: reason.to_owned() };
        match (&self.failure, unit) {
            (Some(failure), _) => failed(&failure.reason),
            (None, None) => failed("its container is gone: somebody removed it"),
            (None, Some(unit)) => match unit.phase {
                Phase::Created if unit.error.is_empty() => UnitState::Created,
                Phase::Created => failed(&unit.error),
                Phase::Dead => failed("the engine could not remove its container"),
                Phase::Running | Phase::Removing | Phase::Exited => self.exited(unit),
            },
        }
    }

    fn exited(&self, unit: &Container) -> UnitState {
        let cause = match self.killed_run_ms {
            _ if unit.is_out_of_memory => Cause::OutOfMemory,
            Some(run_ms) if run_ms == unit.started_ms => Cause::GraceOver,
            _ => Cause::Own,
        };
        let lines = unit.last_lines.clone();
        let reason = exit::reason(unit.exit_code, cause, lines.last().map(String::as_str));
        UnitState::Exited { code: unit.exit_code, reason, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::spec;
    use super::*;

    /// Of a process that lives: this one.
    fn container(phase: Phase) -> Container {
        let pid = if phase == Phase::Running { std::process::id() } else { 0 };
        Container {
            id: "abc".into(),
            phase,
            pid,
            pid_began: super::super::container::began(pid).unwrap_or(0),
            started_ms: 5,
            finished_ms: if phase == Phase::Exited { 9 } else { 0 },
            exit_code: if phase == Phase::Exited { 3 } else { 0 },
            is_out_of_memory: false,
            error: String::new(),
            stop_signal: String::new(),
            health: None,
            last_lines: vec!["no database".into()],
            asked: 1,
        }
    }

    fn record(holder: Option<Phase>, unit: Option<Phase>) -> Record {
        Record { holder: holder.map(container), unit: unit.map(container), ..Record::new(Arc::new(spec())) }
    }

    fn work(kind: WorkKind) -> Option<Work> {
        Some(Work { number: 1, kind, what: "pulling nginx".into() })
    }

    const PID_NONE: u32 = 0;

    #[test]
    fn a_unit_is_as_its_own_container_and_can_start_when_its_holder_runs() {
        let seen = |holder: Phase, unit: Phase| {
            let unit = record(Some(holder), Some(unit)).observed();
            (unit.state, unit.can_start)
        };
        let pid = std::process::id();
        let reason = "exited with code 3: no database".to_owned();
        let exited = UnitState::Exited { code: 3, reason, lines: vec!["no database".into()] };
        assert_eq!(seen(Phase::Running, Phase::Created), (UnitState::Created, true));
        assert_eq!(seen(Phase::Running, Phase::Running), (UnitState::Running { pid }, true));
        assert_eq!(seen(Phase::Running, Phase::Exited), (exited.clone(), true));
        assert_eq!(seen(Phase::Exited, Phase::Exited), (exited, false));
        assert_eq!(seen(Phase::Running, Phase::Removing), (UnitState::Stopping { pid: PID_NONE }, true));
        assert!(!seen(Phase::Running, Phase::Dead).1);
    }

    #[test]
    fn the_namespace_is_where_the_program_is_and_else_the_holders() {
        let here = Some(PathBuf::from(format!("/proc/{}/ns/net", std::process::id())));
        assert_eq!(record(Some(Phase::Exited), Some(Phase::Running)).namespace(), here);
        assert_eq!(record(Some(Phase::Running), Some(Phase::Exited)).namespace(), here);
        assert_eq!(record(Some(Phase::Exited), Some(Phase::Exited)).namespace(), None);
        let on_host = UnitSpec { network_mode: "host".into(), ..spec() };
        let on_host = Record { spec: Arc::new(on_host), ..record(None, Some(Phase::Created)) };
        assert_eq!((on_host.namespace(), on_host.observed().can_start), (None, true));
    }

    #[test]
    fn what_is_done_with_it_comes_first_then_what_could_not_be_done() {
        let made = record(Some(Phase::Running), Some(Phase::Created));
        let with = |kind: WorkKind| Record { work: work(kind), ..made.clone() }.observed().state;
        assert_eq!(with(WorkKind::Creating), UnitState::Working { what: "pulling nginx".into() });
        assert_eq!(with(WorkKind::Removing), UnitState::Stopping { pid: PID_NONE });
        let failure = Some(Failure { reason: "no such image".into(), at_ms: 77 });
        let failed = Record { failure, ..record(None, None) }.observed();
        assert_eq!(failed.state, UnitState::Failed { reason: "no such image".into() });
        assert_eq!((failed.exited_ms, failed.can_start), (77, false));
        let stopping = Record { work: work(WorkKind::Stopping), ..record(None, Some(Phase::Running)) };
        assert_eq!(stopping.observed().state, UnitState::Stopping { pid: std::process::id() });
    }

    #[test]
    fn an_end_has_its_cause() {
        let ended = record(Some(Phase::Running), Some(Phase::Exited));
        let reason = |record: Record| match record.observed().state {
            UnitState::Exited { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        let killed = Record { killed_run_ms: Some(5), ..ended.clone() };
        assert!(reason(killed).starts_with("killed: still running"));
        let of_another_run = Record { killed_run_ms: Some(4), ..ended.clone() };
        assert!(reason(of_another_run).starts_with("exited with code 3"));
        let unit = ended.unit.clone().map(|unit| Container { is_out_of_memory: true, ..unit });
        assert!(reason(Record { unit, ..ended }).contains("out of memory"));
    }

    #[test]
    fn an_older_look_never_replaces_a_newer_one_and_a_start_ends_a_failure() {
        let mut held = record(None, None);
        held.failure = Some(Failure { reason: "no".into(), at_ms: 1 });
        held.take(Role::Unit, spec(), Container { asked: 5, ..container(Phase::Running) });
        assert!(held.failure.is_none());
        held.take(Role::Unit, spec(), Container { asked: 4, ..container(Phase::Created) });
        assert!(held.is_running());
    }

    #[test]
    fn without_the_engine_the_kernel_says_what_lives_and_the_work_says_what_it_waits_for() {
        let mut away = record(Some(Phase::Running), Some(Phase::Running));
        away.unit = away.unit.map(|unit| Container { pid_began: unit.pid_began + 1, ..unit });
        away.work = work(WorkKind::Creating);
        let seen = away.seen_without_engine(Some("no answer"));
        assert!(!seen.is_running() && seen.namespace().is_some());
        assert_eq!(seen.observed().state, UnitState::Working { what: "pulling nginx; no answer".into() });
    }
}
