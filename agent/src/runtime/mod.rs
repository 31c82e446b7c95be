//! Units on this host: created, started, stopped, removed, listened to; by whichever runtime each asks for.
//!
//! Reading order: [`Runtimes`] (which of them?) -> [`process`] (programs of this host, held by `remuda hold`) and
//! [`docker`] (images, run by a container engine). What they have in common: [`log`] and [`exec`], what is read from a
//! unit and said to it. Whichever it is, a unit and its network namespace outlive the agent.

mod descriptor;
pub mod docker;
mod exec;
mod exit;
mod log;
pub mod process;

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use remuda_api::assignment::Registry;
use tokio::sync::{mpsc, watch};

use self::docker::DockerRuntime;
pub use self::docker::{DockerOptions, Engine, EngineState};
pub use self::exec::{ExecInput, ExecOutput, ExecSession, NotStarted};
pub use self::log::{LogChunk, Stream};
use self::process::ProcessRuntime;
use crate::action::Action;
use crate::observed::Unit;

/// Every unit of this host.
pub struct Runtimes {
    process: ProcessRuntime,
    /// None = this agent was told to use no engine.
    docker: Option<DockerRuntime>,
    changes: Changes,
}

/// What each of them can do with a unit of its own.
trait Runtime: Send + Sync {
    /// Whether it knows a unit of this name.
    fn holds(&self, name: &str) -> bool;

    fn observe(&self) -> BTreeMap<String, Unit>;

    /// Does `CreateUnit`, `StartUnit`, `StopUnit` or `RemoveUnit`; nothing for other actions. What takes long goes on
    /// in the background and is observed.
    fn apply<'a>(&'a self, action: &'a Action) -> BoxFuture<'a, Result<(), RuntimeError>>;

    fn namespace(&self, name: &str) -> Option<PathBuf>;

    fn logs<'a>(&'a self, name: &'a str, follow: bool, tail: u32) -> BoxFuture<'a, Result<Log, RuntimeError>>;

    fn exec<'a>(&'a self, name: &'a str, command: Command<'a>) -> BoxFuture<'a, Result<ExecSession, NotStarted>>;
}

/// Lines as they are read.
type Log = mpsc::Receiver<LogChunk>;

/// A command to run in a unit.
#[derive(Clone, Copy)]
struct Command<'a> {
    argv: &'a [String],
    /// Rows, columns.
    terminal: Option<(u16, u16)>,
    /// Nobody types: when its output is dropped it is killed with all it started, instead of being hung up.
    is_check: bool,
}

impl Runtimes {
    /// Adopts every unit there is: of `data_dir/units`, and of the engine's containers those that bear this node's id.
    pub async fn open(data_dir: &Path, docker: Option<DockerOptions>) -> Result<Runtimes, RuntimeError> {
        let mut runtimes = Self::with_program(data_dir, Path::new("/proc/self/exe")).await?;
        if let Some(options) = docker {
            runtimes.docker = Some(DockerRuntime::open(data_dir, options, runtimes.changes.clone()).await?);
        }
        Ok(runtimes)
    }

    /// ... without an engine, and with another program to run as holder: for tests, which are not `remuda`.
    pub async fn with_program(data_dir: &Path, program: &Path) -> Result<Runtimes, RuntimeError> {
        let changes = Changes::default();
        let process = ProcessRuntime::open(data_dir, program, changes.clone()).await?;
        Ok(Runtimes { process, docker: None, changes })
    }

    /// What is known of every unit. One whose holder was killed is gone, and so is its namespace.
    pub async fn observe(&self) -> BTreeMap<String, Unit> {
        let mut units = self.process.observe();
        units.extend(self.docker.iter().flat_map(Runtime::observe));
        units
    }

    /// Does `CreateUnit`, `StartUnit`, `StopUnit` or `RemoveUnit`; nothing for other actions.
    pub async fn apply(&self, action: &Action) -> Result<(), RuntimeError> {
        let Action::CreateUnit(spec) = action else {
            return match action.unit() {
                Some(name) => self.of(name).apply(action).await,
                None => Ok(()),
            };
        };
        match (spec.runtime.as_str(), &self.docker) {
            ("process", _) => self.process.apply(action).await,
            ("docker", Some(docker)) => docker.apply(action).await,
            ("docker", None) => Err(RuntimeError::new(&spec.name, NO_ENGINE)),
            (other, _) => Err(RuntimeError::new(&spec.name, format!("runtime {other} is not process or docker"))),
        }
    }

    /// The unit's network namespace, as long as its holder lives. Units in the host's own have none.
    pub fn namespace(&self, name: &str) -> Option<PathBuf> {
        self.of(name).namespace(name)
    }

    /// A number that grows whenever any unit changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.0.subscribe()
    }

    /// The last `tail` lines (0 = all kept), then new ones while `follow` and anybody listens.
    pub async fn logs(&self, name: &str, follow: bool, tail: u32) -> Result<mpsc::Receiver<LogChunk>, RuntimeError> {
        self.of(name).logs(name, follow, tail).await
    }

    /// Runs a command in a running unit; `terminal` is (rows, columns).
    pub async fn exec(
        &self,
        name: &str,
        argv: &[String],
        terminal: Option<(u16, u16)>,
    ) -> Result<ExecSession, RuntimeError> {
        let command = Command { argv, terminal, is_check: false };
        self.of(name).exec(name, command).await.map_err(|error| RuntimeError::new(name, error.reason()))
    }

    /// ... without input, and kills it with all it started when its output is dropped or the command ends: for health.
    pub async fn check(&self, name: &str, argv: &[String]) -> Result<mpsc::Receiver<ExecOutput>, NotStarted> {
        let command = Command { argv, terminal: None, is_check: true };
        Ok(self.of(name).exec(name, command).await?.output)
    }

    /// Who this host is to registries of images, from now on.
    pub fn log_in(&self, registries: &[Registry]) {
        self.docker.iter().for_each(|docker| docker.log_in(registries));
    }

    /// Removes a volume of the container engine's; one that is not there is removed already.
    pub async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        match &self.docker {
            Some(docker) => docker.remove_volume(name).await,
            None => Err(RuntimeError::new(name, NO_ENGINE)),
        }
    }

    /// What keeps units from being stopped and removed now, in words.
    pub fn trouble(&self) -> Option<String> {
        self.docker.as_ref().and_then(DockerRuntime::trouble)
    }

    /// Removes what is no unit's: done last, when this host leaves the fleet.
    pub async fn leave(&self) -> Result<(), RuntimeError> {
        match &self.docker {
            Some(docker) => docker.leave().await,
            None => Ok(()),
        }
    }

    fn of(&self, name: &str) -> &dyn Runtime {
        match &self.docker {
            Some(docker) if docker.holds(name) => docker,
            _ => &self.process,
        }
    }
}

/// Said of what only an engine can do, where there is none.
const NO_ENGINE: &str =
    "no container engine runs on this host: install Docker 20.10 or newer, or name its socket with --docker";

/// The number of the last thing that changed; clones share it.
#[derive(Clone)]
struct Changes(Arc<watch::Sender<u64>>);

impl Default for Changes {
    fn default() -> Changes {
        Changes(Arc::new(watch::Sender::new(0)))
    }
}

impl Changes {
    fn note(&self) {
        self.0.send_modify(|n| *n += 1);
    }
}

/// Whether the address is in the namespace of that process: the kernel lists it among the local ones.
fn is_plugged(pid: u32, ip: Option<Ipv4Addr>) -> bool {
    let Some(ip) = ip else { return false };
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/fib_trie")).unwrap_or_default();
    table.lines().any(|line| line.trim_start().strip_prefix("|-- ") == Some(&ip.to_string()))
}

/// A unit, and why something could not be done with it.
#[derive(Debug)]
pub struct RuntimeError {
    unit: String,
    reason: String,
}

impl RuntimeError {
    fn new(unit: &str, reason: impl Into<String>) -> RuntimeError {
        RuntimeError { unit: unit.into(), reason: reason.into() }
    }

    /// The reason alone, for status listings that name the unit already.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for RuntimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.unit, self.reason)
    }
}

impl std::error::Error for RuntimeError {}
