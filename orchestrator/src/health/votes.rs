//! What checkers say. A host's word counts for the containers it is asked to check, and for no others.
//!
//! A host says each change once, so its last word is held for as long as the container exists, also while it is not
//! asked: a slow host may never learn that it was not asked for a moment. One that did begins anew, and says so.

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
    let is_asked = |endpoint_id: u32| {
        checkers.asks(node_id, endpoint_id)
            || held.contains_key(&endpoint_id)
            || checkers.may_have_asked(node_id, endpoint_id)
    };
    for said in report.checks.iter().filter(|said| is_asked(said.endpoint_id)) {
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
    let fails_all = |node_id: u32| {
        let mut decided = decided(state, node_id).peekable();
        decided.peek().is_some() && decided.all(|(_, outcome)| outcome == CheckOutcome::Failing)
    };
    let passes = |node_id: u32, endpoint_id: u32| {
        vote(state, node_id, endpoint_id).is_some_and(|vote| vote.outcome == CheckOutcome::Passing)
    };
    let is_contradicted = |node_id: u32| {
        let mut failing = decided(state, node_id).map(|(endpoint_id, _)| endpoint_id);
        failing.any(|id| state.checkers.of(id).any(|other| other != node_id && passes(other, id)))
    };
    state.live.keys().copied().filter(|node_id| fails_all(*node_id) && is_contradicted(*node_id)).collect()
}

/// What a host has decided about the endpoints it is asked to check, if it votes.
fn decided(state: &State, node_id: u32) -> impl Iterator<Item = (u32, CheckOutcome)> {
    let live = state.live.get(&node_id).filter(|live| live.state == HostState::Ready);
    let said = live.into_iter().flat_map(|live| live.checks.iter().map(|(id, vote)| (*id, vote.outcome)));
    said.filter(move |(id, outcome)| *outcome != CheckOutcome::Unknown && state.checkers.asks(node_id, *id))
}
