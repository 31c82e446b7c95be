//! A container engine behind its unix socket: asked with a limit of time, heard in its own words.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use tokio::sync::watch;

/// The oldest API this agent speaks: Docker 20.10's.
const OLDEST_API: (usize, usize) = (1, 41);
/// An engine that lives says its version at once; a loaded host may take a moment.
const VERSION_LIMIT: Duration = Duration::from_secs(5);
/// What reads: lists and looks.
pub(crate) const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// What changes something: a slow disk, a volume on another machine, a large image's layers.
pub(crate) const CHANGE_LIMIT: Duration = Duration::from_secs(120);

/// One engine; clones are the same.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    socket: PathBuf,
    /// What both sides speak; the newest of ours until the engine was heard.
    api: Mutex<(usize, usize)>,
    state: watch::Sender<EngineState>,
}

/// How the engine is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineState {
    /// `docker 20.10.24`, of the last time it answered; empty = it never did.
    pub version: String,
    /// Why it cannot be used at the moment, in words; None = it can.
    pub problem: Option<String>,
}

impl EngineState {
    /// It answers now and is new enough.
    pub fn is_there(&self) -> bool {
        self.problem.is_none() && !self.version.is_empty()
    }
}

impl Engine {
    /// Nothing is asked yet. `version` is what it said to an agent before; empty = none heard it.
    pub fn at(socket: &Path, version: &str) -> Engine {
        let state = EngineState { version: version.into(), problem: Some("was not asked yet".into()) };
        let state = watch::Sender::new(state);
        Engine(Arc::new(Inner { socket: socket.into(), api: Mutex::new(newest_api()), state }))
    }

    pub fn socket(&self) -> &Path {
        &self.0.socket
    }

    /// How it was when last heard, and the next time that changes.
    pub fn state(&self) -> watch::Receiver<EngineState> {
        self.0.state.subscribe()
    }

    /// Asks for its version, and agrees on an API with it. Errors if it does not answer or is too old.
    pub async fn greet(&self) -> Result<(), EngineError> {
        *self.api() = newest_api();
        let greeted = self.ask(VERSION_LIMIT, |docker| async move { docker.version().await }).await;
        let state = greeted.and_then(|version| {
            let api = version.api_version.unwrap_or_default();
            let version = format!("docker {}", version.version.unwrap_or_default());
            match api_of(&api) {
                Some(theirs) if theirs >= OLDEST_API => *self.api() = theirs.min(newest_api()),
                _ => return Err(EngineError::TooOld { version, api }),
            }
            Ok(EngineState { version, problem: None })
        });
        match state {
            Ok(state) => {
                self.0.state.send_replace(state);
                Ok(())
            }
            Err(error) => {
                self.lost(&error);
                Err(error)
            }
        }
    }

    /// Asks whether it is there, and changes nothing of what is known of it.
    pub(super) async fn answers(&self) -> bool {
        self.ask(VERSION_LIMIT, |docker| async move { docker.version().await }).await.is_ok()
    }

    /// It cannot be used until it was greeted again.
    pub(super) fn lost(&self, error: &EngineError) {
        self.0.state.send_modify(|state| state.problem = Some(error.to_string()));
    }

    /// Asks for something that takes at most `limit`. Where the answer is a stream, only its beginning counts.
    pub(super) async fn ask<T, F>(&self, limit: Duration, question: impl FnOnce(Docker) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.client(limit)?;
        match tokio::time::timeout(limit, question(client)).await {
            Ok(answer) => answer.map_err(|error| self.error(error)),
            Err(_) => Err(EngineError::Silent(format!("{} gave no answer within {limit:?}", self.name()))),
        }
    }

    /// For what is streamed: the caller watches its time.
    pub(super) fn client(&self, limit: Duration) -> Result<Docker, EngineError> {
        let (major_version, minor_version) = *self.api();
        let version = ClientVersion { major_version, minor_version };
        let socket = self.0.socket.to_string_lossy();
        Docker::connect_with_unix(&socket, limit.as_secs(), &version).map_err(|error| self.error(error))
    }

    /// In the engine's own words where it said any.
    pub(super) fn error(&self, error: Error) -> EngineError {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                EngineError::Refused { code: status_code, words: message.trim().to_owned() }
            }
            Error::DockerStreamError { error } => EngineError::Refused { code: 500, words: error.trim().to_owned() },
            Error::RequestTimeoutError => EngineError::Silent(format!("{} gives no answer", self.name())),
            Error::SocketNotFoundError(path) => EngineError::Silent(format!("no engine listens at {path}")),
            other => EngineError::Silent(format!("{}: {}", self.name(), innermost(&other))),
        }
    }

    /// Somebody counts on it: it was there once, or something is at its socket.
    pub(super) fn is_expected(&self) -> bool {
        !self.0.state.borrow().version.is_empty() || self.0.socket.exists()
    }

    pub(super) fn name(&self) -> String {
        format!("the engine at {}", self.0.socket.display())
    }

    fn api(&self) -> std::sync::MutexGuard<'_, (usize, usize)> {
        self.0.api.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the engine did not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// It said no; `code` is that of HTTP.
    #[error("{words}")]
    Refused { code: u16, words: String },
    /// It could not be asked, or did not answer; whether it did it is not known.
    #[error("{0}")]
    Silent(String),
    #[error("{version} is too old (its API is {api}): Docker 20.10 or newer (API 1.41) is needed")]
    TooOld { version: String, api: String },
}

impl EngineError {
    /// There is no such container, image or volume.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// It exists already, is in use, or is in a state in which this cannot be done.
    pub(super) fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { code: 409, .. })
    }
}

fn newest_api() -> (usize, usize) {
    (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version)
}

fn api_of(text: &str) -> Option<(usize, usize)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// What a library's error is about: the operating system's word at its end.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(api_of("1.41") >= Some(OLDEST_API) && api_of("1.9") < Some(OLDEST_API));
        assert_eq!(api_of("new"), None);
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_said_so() {
        let engine = Engine::at(Path::new("/nonexistent/docker.sock"), "");
        assert!(engine.greet().await.is_err());
        let state = engine.state().borrow().clone();
        assert!(!state.is_there());
        assert_eq!(state.problem.as_deref(), Some("no engine listens at /nonexistent/docker.sock"));
    }
}
