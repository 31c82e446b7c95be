//! How a command says that it did not work: what, where, and what to do next.

use std::fmt::{self, Display};
use std::process::ExitCode;

/// What a command ends with: 0 done, 1 failed, 2 wrong usage or (for `--plan`) changes pending.
pub type Outcome = Result<ExitCode, Failure>;

/// Exit code of wrong usage and of a plan with changes; clap uses the same.
pub const EXIT_USAGE: u8 = 2;

/// One sentence, what it consists of, and what to do next.
#[derive(Debug)]
pub struct Failure {
    message: String,
    details: Vec<String>,
    advice: Option<String>,
    code: u8,
    /// The body was printed already, in a form of its own.
    is_shown: bool,
}

impl Failure {
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), details: Vec::new(), advice: None, code: 1, is_shown: false }
    }

    /// The words on the command line make no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: EXIT_USAGE, ..Self::new(message) }
    }

    /// Everything worth saying stands on the screen already.
    pub fn shown() -> Self {
        Self { is_shown: true, ..Self::new("") }
    }

    /// More lines below the message.
    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// What the person can do now.
    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// Says it on standard error and gives the exit code.
    pub fn report(self) -> ExitCode {
        if !self.is_shown {
            eprint!("{}", self.text());
        }
        ExitCode::from(self.code)
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        for line in self.details.iter().flat_map(|detail| detail.lines()) {
            text.push_str(&format!("  {line}\n"));
        }
        if let Some(advice) = &self.advice {
            text.push_str(&format!("help: {advice}\n"));
        }
        text
    }
}

/// In a log: everything in one line.
impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.details.iter().try_for_each(|detail| write!(f, "; {detail}"))?;
        self.advice.iter().try_for_each(|advice| write!(f, " ({advice})"))
    }
}

/// Adds what was attempted to an error of somebody else's.
pub trait Context<T> {
    /// `doing`: "read compose.yaml", "start the agent"; the message becomes "cannot {doing}: {cause}".
    fn cannot(self, doing: impl Display) -> Result<T, Failure>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn cannot(self, doing: impl Display) -> Result<T, Failure> {
        self.map_err(|cause| Failure::new(format!("cannot {doing}: {cause:#}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_where_and_what_next() {
        let failure = Failure::new("the server refused stack `shop`")
            .details(["services.web: no".to_owned()])
            .advice("change it");
        assert_eq!(failure.text(), "error: the server refused stack `shop`\n  services.web: no\nhelp: change it\n");
    }
}
