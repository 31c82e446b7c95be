//! A command in a unit: bytes in, bytes out, and its code.

use tokio::sync::mpsc;

/// A running command. Dropping it hangs the command up.
pub struct ExecSession {
    pub input: mpsc::Sender<ExecInput>,
    /// Ends with [`ExecOutput::Exited`].
    pub output: mpsc::Receiver<ExecOutput>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecInput {
    Bytes(Vec<u8>),
    /// No more input will come.
    End,
    /// Rows, columns; nothing without a terminal.
    Resize(u16, u16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecOutput {
    /// A terminal's output too.
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    /// As a shell shows it: 128 + signal for a killed command.
    Exited(i32),
}

/// Why a command was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotStarted {
    /// The unit does not run, or cannot run it: the holder's or the engine's words.
    Refused(String),
    /// Nobody could be asked; how the unit is, is not known.
    NotAsked(String),
}

impl NotStarted {
    /// Either way in words.
    pub fn reason(&self) -> &str {
        match self {
            NotStarted::Refused(reason) | NotStarted::NotAsked(reason) => reason,
        }
    }
}
