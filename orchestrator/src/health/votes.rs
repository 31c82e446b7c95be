//! What checkers say. A host's word counts for the containers it is asked to check, and for no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remuda_api::link::{CheckOutcome, CheckResult, Report};
use remuda_api::resource::HostState;

use super::evidence::vote;
use crate::state::{Live, State, Vote};

/// Longest reason kept of one checker: three of them make one sentence.
const REASON_MAX_BYTES: usize = 200;

/// Takes what host `node_id` found of the containers it checks. What it was not asked, and what makes no sense, is
/// ignored.
pub fn hear(state: &mut State, node_id: u32, report: &Report, now_ms: u64) {
    let State { live, checkers, .. } = state;
    let Some(live) = live.get_mut(&node_id) else { return };
    if report.checks.is_empty() && (!report.complete || live.checks.is_empty()) {
        return;
    }
    let held = &live.checks;
    let mut votes = if report.complete { BTreeMap::new() } else { (**held).clone() };
    for said in report.checks.iter().filter(|said| checkers.believes(node_id, said.endpoint_id)) {
        let Some(mut vote) = read(said, now_ms) else { continue };
        if let Some(before) = held.get(&said.endpoint_id).filter(|before| before.outcome == vote.outcome) {
            vote.since_ms = before.since_ms;
        }
        votes.insert(said.endpoint_id, vote);
    }
    if votes != **held {
        live.checks = Arc::new(votes);
    }
}

/// Whether a report's checks say anything that is not known.
pub fn is_news(live: &Live, report: &Report) -> bool {
    let is_known = |said: &CheckResult| {
        let held = live.checks.get(&said.endpoint_id);
        held.is_some_and(|held| held.outcome as i32 == said.outcome && held.reason == sentence(&said.reason))
    };
    !report.checks.iter().all(is_known)
}

/// None for an outcome nobody knows.
fn read(said: &CheckResult, now_ms: u64) -> Option<Vote> {
    let outcome = CheckOutcome::try_from(said.outcome).ok()?;
    Some(Vote { outcome, reason: sentence(&said.reason), since_ms: now_ms })
}

/// The begin of a text, on one line.
fn sentence(text: &str) -> String {
    let mut end = text.len().min(REASON_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Hosts whose word counts for nothing: everything they check fails, and another host passes some of the same.
///
/// Such a host is cut off, overloaded or lying. When really everything is down nobody passes anything, so everybody
/// votes. A host that passes something is never one of these, so it does not matter in which order they are found.
pub(super) fn liars(state: &State) -> BTreeSet<u32> {
    let suspicious = state.live.iter().filter(|(_, live)| live.state == HostState::Ready && fails_all(live));
    let is_contradicted = |node_id: u32, live: &Live| {
        let failing = live.checks.iter().filter(|(_, vote)| vote.outcome == CheckOutcome::Failing);
        failing.into_iter().any(|(endpoint_id, _)| {
            let passes =
                |other: u32| vote(state, other, *endpoint_id).is_some_and(|vote| vote.outcome == CheckOutcome::Passing);
            state.checkers.of(*endpoint_id).any(|other| other != node_id && passes(other))
        })
    };
    suspicious.filter(|(node_id, live)| is_contradicted(**node_id, live)).map(|(node_id, _)| *node_id).collect()
}

/// It has decided about something, and everything it has decided about fails.
fn fails_all(live: &Live) -> bool {
    let mut decided = live.checks.values().filter(|vote| vote.outcome != CheckOutcome::Unknown).peekable();
    decided.peek().is_some() && decided.all(|vote| vote.outcome == CheckOutcome::Failing)
}
