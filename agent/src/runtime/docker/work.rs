//! Work on units: one task each, so that nothing waits for an engine that is slow or hangs.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;

use super::DockerOptions;
use super::container::Container;
use super::engine::{CHANGE_LIMIT, Engine, EngineError, LOOK_LIMIT};
use super::kept::Kept;
use super::labels::{Owner, Role};
use super::logs;
use super::pull::Pulls;
use super::record::{Failure, WorkKind};
use super::table::Table;
use super::watch::Looks;
use crate::action::UnitSpec;
use crate::problems::Problems;
use crate::runtime::process::hold::now_ms;

/// Containers the engine creates, starts or removes for us at the same time: with more it only switches between them.
const AT_ONCE: usize = 8;

/// See [`AT_ONCE`].
struct Places(Semaphore);

impl Default for Places {
    fn default() -> Places {
        Places(Semaphore::new(AT_ONCE))
    }
}

/// The engine dates a start when it is done; a quick program has said something by then, and a busy host is slow.
const DATED_LATE_MS: u64 = 5_000;
/// How much of a log goes into the reason of an exit.
const LAST_LINES: usize = 10;
/// They are worth this much waiting; without them the end is told as well.
const LINES_LIMIT: Duration = Duration::from_secs(2);

/// An engine that dies and is there again a moment later was silent once; twice in a row is bad luck.
const SILENCES_MAX: u32 = 3;

/// What the work on units shares.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) owner: Owner,
    /// This host's name, for people.
    pub(super) host: String,
    pub(super) table: Table,
    pub(super) problems: Problems,
    pub(super) pulls: Pulls,
    pub(super) looks: Looks,
    /// Number of the last question that was asked; see [`Shared::question`].
    questions: AtomicU64,
    /// The engine has told of all its containers since it was last away.
    pub(super) is_seen: AtomicBool,
    /// Taken to import the holders' image: once is enough.
    pub(super) importing: tokio::sync::Mutex<()>,
    pub(super) kept: Kept,
    places: Places,
    /// Of the work on each unit, by its name.
    tasks: Mutex<HashMap<String, AbortHandle>>,
}

/// Why work on a unit did not succeed, in words.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) words: String,
    /// The engine did not answer.
    pub(super) is_silence: bool,
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Trouble {
        Trouble { is_silence: !matches!(error, EngineError::Refused { .. }), words: error.to_string() }
    }
}

impl Trouble {
    pub(super) fn new(words: impl Into<String>) -> Trouble {
        Trouble { words: words.into(), is_silence: false }
    }

    /// With what was attempted.
    pub(super) fn of(attempt: impl std::fmt::Display) -> impl FnOnce(EngineError) -> Trouble {
        move |error| {
            let trouble = Trouble::from(error);
            Trouble { words: format!("{attempt}: {}", trouble.words), ..trouble }
        }
    }
}

/// The work a task does: on which unit, and its number.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) shared: Arc<Shared>,
    pub(super) spec: Arc<UnitSpec>,
    number: u64,
}

impl Shared {
    pub(super) fn new(options: DockerOptions, table: Table, kept: Kept) -> Shared {
        let DockerOptions { engine, fleet, node_id, host, problems } = options;
        let owner = Owner { fleet, node_id };
        let (pulls, looks, questions, is_seen, importing, places, tasks) = Default::default();
        Shared {
            engine,
            owner,
            host,
            problems,
            table,
            kept,
            pulls,
            looks,
            questions,
            is_seen,
            importing,
            places,
            tasks,
        }
    }

    /// Begins work on a unit in place of what was being done with it; returns at once.
    pub(super) fn begin<F>(self: &Arc<Self>, spec: &Arc<UnitSpec>, kind: WorkKind, work: impl FnOnce(Job) -> F)
    where
        F: Future<Output = Result<(), Trouble>> + Send + 'static,
    {
        let what = match kind {
            WorkKind::Creating => "creating its container",
            WorkKind::Starting => "starting",
            WorkKind::Stopping => "stopping",
            WorkKind::Removing => "removing its container",
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = tasks.remove(&spec.name) {
            task.abort();
        }
        let job = Job { shared: self.clone(), spec: spec.clone(), number: self.table.begin(spec, kind, what) };
        let (name, work) = (spec.name.clone(), work(job.clone()));
        let task = tokio::spawn(async move {
            let failure = work.await.err().map(|trouble| Failure { reason: trouble.words, at_ms: now_ms() });
            job.shared.table.finish(&job.spec.name, job.number, failure);
        });
        tasks.retain(|_, task| !task.is_finished());
        tasks.insert(name, task.abort_handle());
    }

    /// One of the [`AT_ONCE`], for as long as it is held: never while something is waited for that is not the engine's
    /// own work.
    pub(super) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed.
        self.places.0.acquire().await.ok()
    }

    /// Asks for a change.
    pub(super) async fn change<T, F>(&self, question: impl FnOnce(bollard::Docker) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        self.engine.ask(CHANGE_LIMIT, question).await
    }

    /// Taken when a question is asked: of two answers, that with the higher number is newer. A clock may be set back.
    pub(super) fn question(&self) -> u64 {
        self.questions.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What the engine says of a container, by id or name; None = there is none, or it is not ours. The table learns it.
    pub(super) async fn look(&self, id: &str) -> Result<Option<Container>, EngineError> {
        let asked = self.question();
        let told = self.engine.ask(LOOK_LIMIT, |docker| async move { docker.inspect_container(id, None).await }).await;
        match told {
            Ok(told) => {
                let id = told.id.clone();
                let Some((role, spec, mut container)) = Container::read(told, &self.owner, asked) else {
                    // It was ours until somebody gave it another name.
                    self.table.drop_containers(|container| id.as_ref() == Some(&container.id));
                    return Ok(None);
                };
                if role == Role::Unit && container.has_failed() {
                    container.last_lines = self.last_lines(&spec.name, &container).await;
                }
                self.table.put(role, spec, container.clone());
                Ok(Some(container))
            }
            Err(error) if error.is_missing() => {
                self.table.drop_containers(|container| container.id == id);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Shared {
    /// Of the run that ended; read once.
    async fn last_lines(&self, name: &str, container: &Container) -> Vec<String> {
        let known = self.table.get(name).and_then(|record| record.unit).filter(|known| known.id == container.id);
        // Of the run before this one.
        let ended_ms = known.as_ref().map(|known| known.finished_ms).filter(|ms| *ms <= container.started_ms);
        match known.filter(|known| known.started_ms == container.started_ms) {
            Some(known) if !known.last_lines.is_empty() => known.last_lines,
            _ => {
                let since_ms = container.started_ms.saturating_sub(DATED_LATE_MS).max(ended_ms.unwrap_or(0) + 1);
                let read = logs::last_lines(&self.engine, &container.id, since_ms, LAST_LINES);
                tokio::time::timeout(LINES_LIMIT, read).await.unwrap_or_default()
            }
        }
    }
}

impl Job {
    pub(super) fn say(&self, what: impl Into<String>) {
        self.shared.table.say(&self.spec.name, self.number, what.into());
    }

    /// Does it when the engine is there; again if that went away meanwhile, which is heard here before it is told. One
    /// that answers others and is silent to this is asked [`SILENCES_MAX`] times.
    pub(super) async fn when_there<F>(&self, attempt: impl Fn(Job) -> F) -> Result<(), Trouble>
    where
        F: Future<Output = Result<(), Trouble>>,
    {
        let mut silences = 0;
        loop {
            self.engine_is_there().await;
            match attempt(self.clone()).await {
                Err(trouble) if trouble.is_silence && silences + 1 < SILENCES_MAX => {
                    match self.shared.engine.answers().await {
                        true => silences += 1,
                        false => tokio::time::sleep(backoff(0)).await,
                    }
                }
                other => return other,
            }
        }
    }

    async fn engine_is_there(&self) {
        let mut state = self.shared.engine.state();
        loop {
            let problem = state.borrow_and_update().problem.clone();
            match problem {
                None => return,
                Some(problem) => self.say(format!("waiting for the engine: {problem}")),
            }
            if state.changed().await.is_err() {
                return;
            }
        }
    }
}

/// A wait that doubles with every try in a row.
pub(super) fn backoff(tries: u32) -> Duration {
    Duration::from_millis(500 << tries.min(5)).min(Duration::from_secs(10))
}
