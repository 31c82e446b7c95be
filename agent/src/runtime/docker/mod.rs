//! Runtime `docker`: images, run by a container engine (Docker 20.10 or newer).
//!
//! A unit is two containers: its holder, from an image of ours ([`hold_image`]) whose program only pauses, owns the
//! network namespace from before the first process until after the last; the unit's own joins that. Both bear labels
//! that say what they were made for ([`labels`]), so that any agent of this fleet's node finds them again. Containers
//! without them are never touched. The engine restarts nothing: that is for the plan.
//!
//! Reading order: [`DockerRuntime`] -> [`engine`] (how it is asked) -> [`watch`] (what is) with [`container`], [`record`]
//! and [`table`] (how that is known), [`kept`] -> [`work`] (one task per unit): [`create`] with [`body`], [`mounts`],
//! [`volumes`], [`pull`], [`mod@reference`]; [`end`] -> [`logs`] of [`lines`], [`exec`] (over [`wire`], in [`framing`];
//! [`output`] and [`processes`] of a command), [`image_health`].

mod body;
mod container;
mod create;
mod end;
mod engine;
mod exec;
mod framing;
mod hold_image;
mod image_health;
mod kept;
mod labels;
mod lines;
mod logs;
mod moment;
mod mounts;
mod output;
mod processes;
mod pull;
mod record;
mod reference;
mod table;
#[cfg(test)]
mod tests;
mod volumes;
mod watch;
mod wire;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use remuda_api::assignment::Registry;

use self::container::Container;
pub use self::engine::{Engine, EngineError, EngineState};
use self::hold_image::HoldImage;
use self::kept::Kept;
use self::record::{Record, WorkKind};
use self::table::Table;
use self::work::{Job, Shared};
use super::{Changes, Command, ExecSession, Log, NotStarted, Runtime, RuntimeError};
use crate::action::{Action, UnitSpec};
use crate::observed::Unit;
use crate::problems::Problems;

/// How long a starting agent waits for an engine that answers to tell of every container.
const ADOPTION_LIMIT: Duration = Duration::from_secs(30);

/// What the runtime works with.
#[derive(Clone)]
pub struct DockerOptions {
    pub engine: Engine,
    /// Whose containers are ours: this fleet's on this node.
    pub fleet: String,
    pub node_id: u16,
    /// This host's name, for people.
    pub host: String,
    pub problems: Problems,
}

/// Every unit of this host that an engine runs.
pub(super) struct DockerRuntime {
    shared: Arc<Shared>,
}

impl Runtime for DockerRuntime {
    fn holds(&self, name: &str) -> bool {
        self.shared.table.holds(name)
    }

    /// While the engine does not answer, units are as it told last, as far as the kernel does not know better.
    fn observe(&self) -> BTreeMap<String, Unit> {
        let problem = self.shared.engine.state().borrow().problem.clone();
        let is_seen = problem.is_none() && self.shared.is_seen.load(Ordering::Acquire);
        let now = |record: Record| if is_seen { record } else { record.seen_without_engine(problem.as_deref()) };
        self.shared.table.all().into_iter().map(|record| (record.spec.name.clone(), now(record).observed())).collect()
    }

    fn apply<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<(), RuntimeError>> {
        futures::future::ready(self.begin(action)).boxed()
    }

    fn namespace(&self, name: &str) -> Option<PathBuf> {
        self.shared.table.get(name)?.namespace()
    }

    fn logs<'a>(&'a self, name: &'a str, follow: bool, tail: u32) -> BoxFuture<'a, Result<Log, RuntimeError>> {
        async move {
            let read = logs::read(&self.shared.engine, &self.container(name)?, follow, tail).await;
            read.map_err(|reason| RuntimeError::new(name, reason))
        }
        .boxed()
    }

    fn exec<'a>(&'a self, name: &'a str, command: Command<'a>) -> BoxFuture<'a, Result<ExecSession, NotStarted>> {
        async move {
            let id = self.container(name).map_err(|error| NotStarted::NotAsked(error.reason().to_owned()))?;
            exec::open(&self.shared.engine, &id, command).await
        }
        .boxed()
    }
}

impl DockerRuntime {
    /// Adopts every container that bears this node's id, as the engine tells of them now, or as it last did.
    pub(super) async fn open(
        data_dir: &Path,
        options: DockerOptions,
        changes: Changes,
    ) -> Result<DockerRuntime, RuntimeError> {
        let kept = Kept::at(data_dir);
        let known = kept.load();
        let shared = Arc::new(Shared::new(options, Table::new(changes), kept));
        shared.table.remember(known.records());
        if shared.engine.state().borrow().is_there() {
            match tokio::time::timeout(ADOPTION_LIMIT, shared.list()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => shared.engine.lost(&error),
                Err(_) => tracing::warn!("the engine is slow to tell of its containers: going on with what is known"),
            }
        }
        tokio::spawn(watch::watch(shared.clone()));
        tokio::spawn(kept::keep(shared.clone()));
        Ok(DockerRuntime { shared })
    }

    pub(super) fn log_in(&self, registries: &[Registry]) {
        self.shared.pulls.log_in(registries);
    }

    pub(super) async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        let removed = volumes::remove(&self.shared.engine, name).await;
        removed.map_err(|error| RuntimeError::new(name, error.to_string()))
    }

    /// Containers are gone by now, by the plan; volumes stay.
    pub(super) async fn leave(&self) -> Result<(), RuntimeError> {
        let state = self.shared.engine.state().borrow().clone();
        if state.is_there() {
            let removed = HoldImage::remove(&self.shared.engine).await;
            removed.map_err(|error| RuntimeError::new(HoldImage::name(), error.to_string()))?;
        }
        self.shared.kept.forget();
        Ok(())
    }

    /// The engine does not answer, and has containers of ours; or it does not remove one.
    pub(super) fn trouble(&self) -> Option<String> {
        let records = self.shared.table.all();
        match self.shared.engine.state().borrow().problem.clone() {
            Some(problem) => {
                let count = records.len();
                (count > 0).then(|| format!("{problem}; it has {count} containers of this host"))
            }
            None => records.iter().find_map(|record| {
                let about = end::removal_of(&record.spec.name);
                Some(format!("{about}: {}", self.shared.problems.get(&about)?))
            }),
        }
    }

    /// Begins the work; what comes of it is observed.
    fn begin(&self, action: &Action) -> Result<(), RuntimeError> {
        match action {
            Action::CreateUnit(spec) => self.create(spec),
            Action::StartUnit(name) => {
                let record = self.record(name)?;
                let lives = record.unit.as_ref().is_some_and(Container::lives);
                // One that has just ended is seen to have before who stopped it is done.
                let is_free = record.work.as_ref().is_none_or(|work| work.kind == WorkKind::Stopping);
                if is_free && !lives {
                    self.shared.begin(&record.spec, WorkKind::Starting, Job::start);
                }
                Ok(())
            }
            Action::StopUnit { name, signal, grace_ms } => {
                let record = self.record(name)?;
                let (signal, grace) = (signal.clone(), Duration::from_millis(*grace_ms));
                if record.work.is_none() && record.is_running() {
                    self.shared.begin(&record.spec, WorkKind::Stopping, |job| job.stop(signal, grace));
                }
                Ok(())
            }
            Action::RemoveUnit(name) => {
                let Ok(record) = self.record(name) else { return Ok(()) };
                if record.work.is_none_or(|work| work.kind != WorkKind::Removing) {
                    self.shared.begin(&record.spec, WorkKind::Removing, Job::remove);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn create(&self, spec: &UnitSpec) -> Result<(), RuntimeError> {
        let refuse = |reason: &str| Err(RuntimeError::new(&spec.name, reason));
        if !matches!(spec.network_mode.as_str(), "managed" | "host" | "none") {
            return refuse(&format!("network mode {} is not managed, host or none", spec.network_mode));
        }
        match self.shared.table.get(&spec.name) {
            Some(held) if held.work.is_some() => return Ok(()),
            Some(held) if held.spec.spec_revision != spec.spec_revision => {
                return refuse("it is here in another revision, which is removed first");
            }
            _ => {}
        }
        self.shared.begin(&Arc::new(spec.clone()), WorkKind::Creating, Job::create);
        Ok(())
    }

    fn record(&self, name: &str) -> Result<Record, RuntimeError> {
        self.shared.table.get(name).ok_or_else(|| RuntimeError::new(name, "no such container on this host"))
    }

    /// The engine's id of the unit's own container.
    fn container(&self, name: &str) -> Result<String, RuntimeError> {
        let unit = self.record(name)?.unit;
        unit.map(|unit| unit.id).ok_or_else(|| RuntimeError::new(name, "it has no container yet"))
    }
}

/// The engine at `socket`, greeted once; what an agent before knew of it is in `data_dir`. None = none is to be used.
pub async fn engine(data_dir: &Path, socket: Option<&Path>) -> Option<Engine> {
    let engine = Engine::at(socket?, &Kept::at(data_dir).load().engine);
    // One that does not answer yet is greeted again later.
    let _ = engine.greet().await;
    Some(engine)
}
