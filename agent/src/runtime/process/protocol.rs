//! The words between agent and holder: one JSON object per line on `hold.sock`; descriptors of an exec beside its answer.

use serde::{Deserialize, Serialize};

use crate::observed::UnitState;

/// Longest line either side accepts: a spec with a large environment fits, a runaway peer does not.
pub(crate) const LINE_MAX_BYTES: usize = 1 << 20;

/// File names in a unit's directory.
pub(crate) mod file {
    pub(crate) const SPEC: &str = "spec.json";
    pub(crate) const STATE: &str = "state.json";
    pub(crate) const SOCKET: &str = "hold.sock";
    pub(crate) const LOCK: &str = "hold.lock";
    pub(crate) const LOG: &str = "log";
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    Start,
    /// `signal` as a name (`SIGTERM`, `TERM`) or number; SIGKILL follows after the grace time.
    Stop {
        signal: String,
        grace_ms: u64,
    },
    Status,
    /// Every state from now on, the present one first.
    Subscribe,
    /// `terminal` is (rows, columns). The connection is the session: closing it hangs the command up.
    Exec {
        argv: Vec<String>,
        terminal: Option<(u16, u16)>,
        /// Closing it kills the command and what it started instead.
        #[serde(default)]
        kill_on_close: bool,
    },
    /// Ends the holder and everything it holds.
    Quit,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    Done,
    State(State),
    /// Comes with the descriptors: a terminal's, or those of stdin, stdout and stderr.
    Exec,
    Exited {
        code: i32,
    },
    Refused {
        reason: String,
    },
}

/// A unit as its holder knows it; also the content of `state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Grows with every change, so that two ways of hearing of it cannot swap it.
    #[serde(default)]
    pub(crate) sequence: u64,
    pub(crate) holder_pid: u32,
    pub(crate) phase: Phase,
    /// Starts so far, the first not counted.
    pub(crate) restarts: u32,
    /// Unix milliseconds; 0 = never.
    pub(crate) started_ms: u64,
    pub(crate) exited_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    Created,
    Running {
        pid: u32,
    },
    Stopping {
        pid: u32,
    },
    Exited {
        code: i32,
        reason: String,
        #[serde(default)]
        lines: Vec<String>,
    },
    Failed {
        reason: String,
    },
}

impl Phase {
    pub(crate) fn observed(&self) -> UnitState {
        match self.clone() {
            Self::Created => UnitState::Created,
            Self::Running { pid } => UnitState::Running { pid },
            Self::Stopping { pid } => UnitState::Stopping { pid },
            Self::Exited { code, reason, lines } => UnitState::Exited { code, reason, lines },
            Self::Failed { reason } => UnitState::Failed { reason },
        }
    }
}
