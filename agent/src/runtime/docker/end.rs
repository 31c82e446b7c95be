//! Starting, stopping and removing a unit that is there.

use std::time::{Duration, Instant};

use bollard::query_parameters::{KillContainerOptions, RemoveContainerOptions};

use super::container::Container;
use super::engine::EngineError;
use super::labels::Role;
use super::record::Record;
use super::work::{Job, Shared, Trouble, backoff};

/// The kernel may need a moment for large units; then they are killed again.
const KILL_AGAIN: Duration = Duration::from_secs(10);

impl Job {
    pub(super) async fn start(self) -> Result<(), Trouble> {
        let has_run = self.record().and_then(|record| record.unit).is_some_and(|unit| unit.started_ms != 0);
        self.when_there(|job| job.start_once(has_run)).await
    }

    async fn start_once(self, has_run: bool) -> Result<(), Trouble> {
        let name = &self.spec.name;
        let _place = self.shared.place().await;
        let unit = self.record().and_then(|record| record.unit);
        let unit = unit.ok_or_else(|| Trouble::new("its container is gone: somebody removed it"))?;
        let id = unit.id.as_str();
        let started = self.shared.change(|docker| async move { docker.start_container(id, None).await }).await;
        // What a failed start left is seen too.
        let looked = self.shared.look(id).await;
        started.map_err(Trouble::of("start"))?;
        looked.map_err(Trouble::of("look at it"))?;
        if has_run {
            self.shared.table.update(name, |record| record.restarts += 1);
        }
        Ok(())
    }

    /// Signals until it has ended: SIGKILL when the grace time is over, also if the engine does not know the signal.
    pub(super) async fn stop(self, signal: String, grace: Duration) -> Result<(), Trouble> {
        let own = self.record().and_then(|record| record.unit).map(|unit| unit.stop_signal).unwrap_or_default();
        let signal = [signal, own, "SIGTERM".into()].into_iter().find(|signal| !signal.is_empty()).unwrap_or_default();
        let grace_over = Instant::now() + grace;
        let mut tries = 0;
        while let Some(unit) = self.record().and_then(|record| record.unit).filter(|unit| unit.is_running()) {
            let left = grace_over.saturating_duration_since(Instant::now());
            let (told, patience) = match left.is_zero() {
                false => (self.signal(&unit.id, &signal).await.map(drop), left),
                true => (self.kill(&unit).await, KILL_AGAIN),
            };
            match told {
                Ok(()) if self.has_ended_within(patience).await => break,
                Ok(()) => {}
                Err(error) => {
                    self.shared.problems.set(&self.about("stop"), error.to_string());
                    let pause = if left.is_zero() { backoff(tries) } else { backoff(tries).min(left) };
                    self.has_ended_within(pause).await;
                    tries += 1;
                }
            }
        }
        self.shared.problems.clear(&self.about("stop"));
        Ok(())
    }

    /// Its end is seen before the engine says that it killed it: what it died of is noted first, and taken back if the
    /// engine did not.
    async fn kill(&self, unit: &Container) -> Result<(), EngineError> {
        let before = self.record().and_then(|record| record.killed_run_ms);
        let note = |run_ms| self.shared.table.update(&self.spec.name, |record| record.killed_run_ms = run_ms);
        note(Some(unit.started_ms));
        let told = self.signal(&unit.id, "SIGKILL").await;
        if !matches!(told, Ok(true)) {
            note(before);
        }
        told.map(drop)
    }

    /// Whether it was told; one that does not run any more is not.
    async fn signal(&self, id: &str, signal: &str) -> Result<bool, EngineError> {
        let options = Some(KillContainerOptions { signal: signal.to_owned() });
        match self.shared.change(|docker| async move { docker.kill_container(id, options).await }).await {
            Err(error) if error.is_conflict() || error.is_missing() => self.shared.look(id).await.map(|_| false),
            told => told.map(|()| true),
        }
    }

    async fn has_ended_within(&self, patience: Duration) -> bool {
        let mut changes = self.shared.table.changes();
        let ended = async {
            while self.record().is_some_and(|record| record.is_running()) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(patience, ended).await.is_ok()
    }

    /// Removes its containers, until they are gone. One that has none yet, at an engine that is away, is gone already:
    /// should the engine have made one all the same, that is seen when it is back.
    pub(super) async fn remove(self) -> Result<(), Trouble> {
        let has_any = self.record().is_some_and(|record| record.holder.is_some() || record.unit.is_some());
        if !has_any && !self.shared.engine.state().borrow().is_there() {
            self.shared.table.forget(&self.spec.name);
            return Ok(());
        }
        let mut tries = 0;
        while let Err(error) = self.remove_once().await {
            self.shared.problems.set(&removal_of(&self.spec.name), error.to_string());
            tokio::time::sleep(backoff(tries)).await;
            tries += 1;
        }
        self.shared.problems.clear(&removal_of(&self.spec.name));
        self.shared.table.forget(&self.spec.name);
        Ok(())
    }

    async fn remove_once(&self) -> Result<(), EngineError> {
        let _place = self.shared.place().await;
        for role in [Role::Unit, Role::Holder] {
            // Work that was given up may have made one that nobody has seen yet.
            let known = self.record().and_then(|record| record.container(role).map(|container| container.id.clone()));
            let id = match known {
                Some(id) => Some(id),
                None => {
                    let found = self.shared.look(&role.container_name(&self.spec.name)).await?;
                    found.map(|container| container.id)
                }
            };
            if let Some(id) = id {
                self.shared.remove_container(&id).await?;
            }
        }
        Ok(())
    }

    pub(super) fn record(&self) -> Option<Record> {
        self.shared.table.get(&self.spec.name)
    }

    fn about(&self, what: &str) -> String {
        format!("{what} {}", self.spec.name)
    }
}

/// What the problem is about if a unit's containers cannot be removed.
pub(super) fn removal_of(name: &str) -> String {
    format!("remove {name}")
}

impl Shared {
    /// With what runs in it and the volumes that are its own; one that is not there is removed already.
    pub(super) async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        let options = Some(RemoveContainerOptions { v: true, force: true, link: false });
        match self.change(|docker| async move { docker.remove_container(id, options).await }).await {
            Err(error) if !error.is_missing() => Err(error),
            _ => {
                self.table.drop_containers(|container| container.id == id);
                Ok(())
            }
        }
    }
}
