//! Runtime `process`: programs of this host in namespaces of their own. The work is done by holders (`remuda hold`,
//! module [`hold`]), which outlive the agent; here is their other side.
//!
//! Reading order: [`ProcessRuntime`] -> [`holder`] (one holder: launch, requests, states) -> [`logs`], [`session`];
//! [`protocol`] is what both sides say.

pub mod hold;
mod holder;
mod logs;
mod protocol;
mod session;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use self::holder::Holder;
use self::protocol::{Answer, Request, State, file};
use super::{Changes, Command, ExecSession, Log, NotStarted, Runtime, RuntimeError, is_plugged};
use crate::action::{Action, UnitSpec};
use crate::observed::{Health, Unit};

/// Units of holders that were killed leave their logs behind for this long.
const DEAD_UNIT_KEPT: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

/// Every unit of holders on this host.
pub(super) struct ProcessRuntime {
    units_dir: PathBuf,
    /// The program whose `hold` is run: this one.
    program: PathBuf,
    shared: Arc<Shared>,
}

/// What holders tell.
struct Shared {
    units: Mutex<BTreeMap<String, Held>>,
    changes: Changes,
}

/// A unit whose holder lives.
#[derive(Clone)]
struct Held {
    spec: Arc<UnitSpec>,
    state: State,
}

impl Runtime for ProcessRuntime {
    /// A unit whose holder was killed has a log still.
    fn holds(&self, name: &str) -> bool {
        self.dir(name).is_ok_and(|dir| dir.exists())
    }

    /// What every living holder said last. A unit whose holder was killed is gone, and so is its namespace.
    fn observe(&self) -> BTreeMap<String, Unit> {
        let units = self.shared.lock();
        units.iter().map(|(name, held)| (name.clone(), held.observed())).collect()
    }

    fn apply<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<(), RuntimeError>> {
        async move {
            match action {
                Action::CreateUnit(spec) => self.create(spec).await,
                Action::StartUnit(name) => self.request(name, &Request::Start).await,
                Action::StopUnit { name, signal, grace_ms } => {
                    let own = || self.shared.lock().get(name).map(|held| held.spec.stop_signal.clone());
                    let signal = if signal.is_empty() { own().unwrap_or_default() } else { signal.clone() };
                    self.request(name, &Request::Stop { signal, grace_ms: *grace_ms }).await
                }
                Action::RemoveUnit(name) => self.remove(name).await,
                _ => Ok(()),
            }
        }
        .boxed()
    }

    fn namespace(&self, name: &str) -> Option<PathBuf> {
        let units = self.shared.lock();
        let held = units.get(name).filter(|h| h.spec.network_mode != "host")?;
        Some(PathBuf::from(format!("/proc/{}/ns/net", held.state.holder_pid)))
    }

    fn logs<'a>(&'a self, name: &'a str, follow: bool, tail: u32) -> BoxFuture<'a, Result<Log, RuntimeError>> {
        let read = || {
            let dir = self.dir(name)?;
            if !dir.exists() {
                return Err(RuntimeError::new(name, "no such container on this host"));
            }
            logs::read(&dir.join(file::LOG), follow, tail)
                .map_err(|e| RuntimeError::new(name, format!("read the log: {e}")))
        };
        futures::future::ready(read()).boxed()
    }

    fn exec<'a>(&'a self, name: &'a str, command: Command<'a>) -> BoxFuture<'a, Result<ExecSession, NotStarted>> {
        async move {
            let dir = self.dir(name).map_err(|error| NotStarted::NotAsked(error.reason))?;
            session::open(&Holder::at(&dir), command.argv, command.terminal, command.is_check).await
        }
        .boxed()
    }
}

impl ProcessRuntime {
    /// Adopts every living holder under `data_dir/units`; `program` is run as `hold`.
    pub(super) async fn open(data_dir: &Path, program: &Path, changes: Changes) -> Result<Self, RuntimeError> {
        let units_dir = data_dir.join("units");
        let error = |e: std::io::Error| RuntimeError::new("units", format!("create {}: {e}", units_dir.display()));
        std::fs::create_dir_all(&units_dir).map_err(error)?;
        // Environments hold secrets.
        std::fs::set_permissions(&units_dir, std::fs::Permissions::from_mode(0o700)).map_err(error)?;
        // Absolute: holders change their directory.
        let units_dir = units_dir.canonicalize().map_err(error)?;
        let shared = Arc::new(Shared { units: Mutex::default(), changes });
        let runtime = ProcessRuntime { units_dir, program: program.to_path_buf(), shared };
        runtime.adopt().await;
        Ok(runtime)
    }

    async fn create(&self, spec: &UnitSpec) -> Result<(), RuntimeError> {
        let refuse = |reason: String| RuntimeError::new(&spec.name, reason);
        if !matches!(spec.network_mode.as_str(), "managed" | "host" | "none") {
            return Err(refuse(format!("network mode {} is not managed, host or none", spec.network_mode)));
        }
        if self.shared.lock().get(&spec.name).is_some_and(|h| h.spec.spec_revision == spec.spec_revision) {
            return Ok(());
        }
        let dir = self.dir(&spec.name)?;
        let holder = Holder::at(&dir);
        holder.launch(&self.program, spec).await.map_err(refuse)?;
        self.follow(spec.clone(), holder).await.map_err(|e| RuntimeError::new(&spec.name, e))
    }

    async fn remove(&self, name: &str) -> Result<(), RuntimeError> {
        let dir = self.dir(name)?;
        let error = |e: String| RuntimeError::new(name, e);
        Holder::at(&dir).quit().await.map_err(error)?;
        hold::remove_limits(&dir);
        self.shared.drop_unit(name);
        match std::fs::remove_dir_all(&dir) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(error(format!("remove {}: {e}", dir.display()))),
            _ => Ok(()),
        }
    }

    async fn request(&self, name: &str, request: &Request) -> Result<(), RuntimeError> {
        let answer = Holder::at(&self.dir(name)?).ask(request).await.map_err(|e| RuntimeError::new(name, e))?;
        // The same state is on its way over the subscription; the caller may look before it arrives.
        if let Answer::State(state) = answer {
            let spec = self.shared.lock().get(name).map(|held| held.spec.clone());
            if let Some(spec) = spec {
                self.shared.put(name, Held { spec, state });
            }
        }
        Ok(())
    }

    /// Names come from the orchestrator; one that is no plain file name must never reach the file system.
    fn dir(&self, name: &str) -> Result<PathBuf, RuntimeError> {
        let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        if is_plain { Ok(self.units_dir.join(name)) } else { Err(RuntimeError::new(name, "not a container name")) }
    }

    async fn adopt(&self) {
        for entry in std::fs::read_dir(&self.units_dir).into_iter().flatten().flatten() {
            let dir = entry.path();
            let holder = Holder::at(&dir);
            let Some(spec) = holder.spec() else { continue };
            if let Err(reason) = self.follow(spec, holder).await {
                tracing::info!(unit = %dir.display(), reason, "no holder lives here");
                forget_if_old(&dir);
            }
        }
    }

    /// Subscribes to a holder; its states arrive in the background from now on.
    async fn follow(&self, spec: UnitSpec, holder: Holder) -> Result<(), String> {
        let mut states = holder.subscribe().await?;
        let first = states.next().await.ok_or("the holder closed the connection")?;
        let (name, spec) = (spec.name.clone(), Arc::new(spec));
        let holder_pid = first.holder_pid;
        self.shared.put(&name, Held { spec: spec.clone(), state: first });
        let shared = self.shared.clone();
        tokio::spawn(async move {
            while let Some(state) = states.next().await {
                shared.put(&name, Held { spec: spec.clone(), state });
            }
            shared.drop_holder(&name, holder_pid);
        });
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Held>> {
        // Every change below is whole: a panic elsewhere cannot have left half of one.
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, name: &str, held: Held) {
        let mut units = self.lock();
        let is_older =
            |old: &Held| old.state.holder_pid == held.state.holder_pid && old.state.sequence >= held.state.sequence;
        if units.get(name).is_some_and(is_older) {
            return;
        }
        units.insert(name.to_string(), held);
        drop(units);
        self.changes.note();
    }

    fn drop_unit(&self, name: &str) {
        self.lock().remove(name);
        self.changes.note();
    }

    /// The holder is gone: its unit is too, unless another holder took over.
    fn drop_holder(&self, name: &str, holder_pid: u32) {
        let mut units = self.lock();
        if units.get(name).is_some_and(|h| h.state.holder_pid == holder_pid) {
            units.remove(name);
            drop(units);
            self.changes.note();
        }
    }
}

impl Held {
    fn observed(&self) -> Unit {
        Unit {
            name: self.spec.name.clone(),
            spec_revision: self.spec.spec_revision,
            ip: self.spec.ip,
            state: self.state.phase.observed(),
            restarts: self.state.restarts,
            started_ms: self.state.started_ms,
            exited_ms: self.state.exited_ms,
            can_start: true,
            plugged: is_plugged(self.state.holder_pid, self.spec.ip),
            health: Health::default(),
            image_health: None,
        }
    }
}

fn forget_if_old(dir: &Path) {
    let age = dir.metadata().and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    if age.is_some_and(|age| age > DEAD_UNIT_KEPT) {
        let _ = std::fs::remove_dir_all(dir);
    }
}
