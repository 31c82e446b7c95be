//! Runtime `docker`: images, run by a container engine (Docker 20.10 or newer).
//!
//! Reading order: [`DockerRuntime`] -> [`engine`] (how it is asked); [`logs`], [`exec`] (over [`wire`], in [`framing`];
//! [`output`] and [`processes`] of a command), [`image_health`].

mod engine;
mod exec;
mod framing;
mod image_health;
mod logs;
mod moment;
mod output;
mod processes;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use remuda_api::assignment::Registry;

pub use self::engine::{Engine, EngineError, EngineState};
use super::{Changes, Command, ExecSession, Log, NotStarted, Runtime, RuntimeError};
use crate::action::Action;
use crate::observed::Unit;
use crate::problems::Problems;

/// What the runtime works with.
#[derive(Clone)]
pub struct DockerOptions {
    pub engine: Engine,
    /// Whose containers are ours.
    pub node_id: u16,
    pub problems: Problems,
}

/// Every unit of this host that an engine runs.
pub(super) struct DockerRuntime {
    engine: Engine,
}

impl Runtime for DockerRuntime {
    fn holds(&self, _name: &str) -> bool {
        false
    }

    fn observe(&self) -> BTreeMap<String, Unit> {
        BTreeMap::new()
    }

    fn apply<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<(), RuntimeError>> {
        let result = match action {
            Action::CreateUnit(spec) => Err(RuntimeError::new(&spec.name, "not yet")),
            _ => Ok(()),
        };
        futures::future::ready(result).boxed()
    }

    fn namespace(&self, _name: &str) -> Option<PathBuf> {
        None
    }

    fn logs<'a>(&'a self, name: &'a str, follow: bool, tail: u32) -> BoxFuture<'a, Result<Log, RuntimeError>> {
        async move {
            let read = logs::read(&self.engine, &self.container(name)?, follow, tail).await;
            read.map_err(|reason| RuntimeError::new(name, reason))
        }
        .boxed()
    }

    fn exec<'a>(&'a self, name: &'a str, command: Command<'a>) -> BoxFuture<'a, Result<ExecSession, NotStarted>> {
        async move {
            let id = self.container(name).map_err(|error| NotStarted::NotAsked(error.reason().to_owned()))?;
            exec::open(&self.engine, &id, command).await
        }
        .boxed()
    }
}

impl DockerRuntime {
    pub(super) async fn open(
        _data_dir: &Path,
        options: DockerOptions,
        _changes: Changes,
    ) -> Result<DockerRuntime, RuntimeError> {
        Ok(DockerRuntime { engine: options.engine })
    }

    pub(super) fn log_in(&self, _registries: &[Registry]) {}

    pub(super) async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        Err(RuntimeError::new(name, "not yet"))
    }

    pub(super) async fn leave(&self) -> Result<(), RuntimeError> {
        Ok(())
    }

    /// The engine's id of the unit's own container.
    fn container(&self, name: &str) -> Result<String, RuntimeError> {
        Err(RuntimeError::new(name, "no such container on this host"))
    }
}

/// The engine at `socket`, greeted once; what an agent before knew of it is in `data_dir`. None = none is to be used.
pub async fn engine(_data_dir: &Path, socket: Option<&Path>) -> Option<Engine> {
    let engine = Engine::at(socket?, "");
    // One that does not answer yet is greeted again later.
    let _ = engine.greet().await;
    Some(engine)
}
