//! Where assignments come from: a [`mod@file`], or the orchestrator's [`stream`], which is [`stored`] for the next start.
//!
//! A source hands over whole assignments, newest last; what is not valid it keeps to itself and names the problem.

pub mod file;
pub mod stored;
pub mod stream;

use std::sync::Arc;

use remuda_api::assignment::Assignment;
use tokio::sync::watch;

use crate::desired::{Problem, desired};

/// The newest good assignment, shared.
pub type Assignments = watch::Receiver<Option<Arc<Held>>>;

/// An assignment this host goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub assignment: Assignment,
    /// It is all there is: what it does not name may be removed. False for one read back from disk until the
    /// orchestrator confirmed it.
    pub synced: bool,
}

/// Everything wrong with it as one text, or nothing.
fn check(assignment: &Assignment) -> Result<(), String> {
    desired(assignment, &[]).map(drop).map_err(|problems| list(&problems))
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n  ")
}
