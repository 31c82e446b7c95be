//! What went wrong between us and the kernel: the attempted step, the object, the cause.

use std::error::Error;
use std::fmt;

/// An error of the kernel boundary. Its text is one line an operator can act on.
#[derive(Debug)]
pub enum KernelError {
    /// A step failed; `cause` is the kernel's or the tool's own answer.
    Step { attempt: String, cause: Box<dyn Error + Send + Sync> },
    /// Pinned maps were written by another version of the map layout and links still use them.
    ForeignLayout { path: String, found: String, expected: String },
    /// The order of actions is wrong: the host's own settings come first.
    HostNotSet,
    /// The machine lacks something; the text says what, and what to do.
    Unusable(String),
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { attempt, cause } => {
                write!(f, "{attempt}: {cause}")?;
                let mut deeper = cause.source();
                while let Some(c) = deeper {
                    write!(f, ": {c}")?;
                    deeper = c.source();
                }
                Ok(())
            }
            Self::ForeignLayout { path, found, expected } => write!(
                f,
                "pinned map {path} is {found}, this agent needs {expected}: run `remuda leave --force` with the agent \
                 that wrote it, or install that version again"
            ),
            Self::HostNotSet => f.write_str("the host's own settings must be applied before anything else"),
            Self::Unusable(text) => f.write_str(text),
        }
    }
}

impl Error for KernelError {}

/// Says what was attempted when a step fails.
pub(crate) trait Attempt<T> {
    fn attempt<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, KernelError>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Attempt<T> for Result<T, E> {
    fn attempt<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T, KernelError> {
        self.map_err(|cause| KernelError::Step { attempt: what().into(), cause: cause.into() })
    }
}
