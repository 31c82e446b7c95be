//! What speaks for and against one container now.

use std::collections::BTreeSet;

use remuda_api::health::HealthCheck;
use remuda_api::link::CheckOutcome;
use remuda_api::resource::HostState;

use super::noticed_ms;
use crate::state::{Container, State, Vote};

/// What one kind of check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    Passes,
    /// With the reason.
    Fails(String),
    /// Nothing yet, or nothing any more.
    Open,
}

impl Finding {
    /// Both must pass; one that fails is enough to fail.
    pub(super) fn and(self, other: Finding) -> Finding {
        match (self, other) {
            (Finding::Fails(why), Finding::Fails(more)) => Finding::Fails(format!("{why}; {more}")),
            (Finding::Fails(why), _) | (_, Finding::Fails(why)) => Finding::Fails(why),
            (Finding::Passes, Finding::Passes) => Finding::Passes,
            _ => Finding::Open,
        }
    }
}

/// What the container's own host says of its health command.
pub(super) fn inside(container: &Container) -> Finding {
    let Some(status) = &container.status else { return Finding::Open };
    match status.health.as_str() {
        "healthy" => Finding::Passes,
        "unhealthy" if status.reason.is_empty() => Finding::Fails("its health command fails".into()),
        "unhealthy" => Finding::Fails(format!("its health command fails: {}", status.reason)),
        _ => Finding::Open,
    }
}

/// Its host looks at it from inside, and has not come to a verdict.
pub(super) fn is_initializing(container: &Container) -> bool {
    container.status.as_ref().is_some_and(|status| status.health == "initializing")
}

/// What the checkers of one container say: only those that vote count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outside {
    /// How many hosts are asked.
    pub(super) asked: usize,
    /// How many said *passing* since the time asked for.
    pub(super) passing: usize,
    /// One said *passing* before that, and has said nothing else since.
    pub(super) is_early: bool,
    pub(super) failing: Vec<Failure>,
    /// From this time on (unix ms) somebody who could say otherwise is there and has had the time to say it: silence
    /// means something then. None = nobody is there, or somebody has yet to be heard.
    pub(super) heard_ms: Option<u64>,
    /// A host that is asked has not been heard since this server started; it may know better.
    pub(super) is_waiting: bool,
    /// Until this time (unix ms) one that has begun to check, or begun afresh, may still say otherwise.
    pub(super) undecided_ms: u64,
}

/// What one checker says against a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    node_id: u32,
    why: String,
    /// Its word counts from this time on (unix ms): it may mean a cut that is over, until checks made since would have
    /// passed.
    counts_ms: u64,
}

impl Outside {
    pub(super) fn of(
        state: &State,
        liars: &BTreeSet<u32>,
        container: &Container,
        check: &HealthCheck,
        since_ms: u64,
    ) -> Outside {
        let endpoint_id = container.endpoint_id;
        let mut outside = Outside::default();
        for node_id in state.checkers.of(endpoint_id) {
            let counts_ms = counts_ms(state, check, [container.node_id, node_id]);
            outside.asked += 1;
            outside.is_waiting |= is_unheard(state, node_id);
            if state.host_state(node_id) == HostState::Ready {
                outside.heard_ms = Some(outside.heard_ms.map_or(counts_ms, |heard_ms| heard_ms.min(counts_ms)));
            }
            let vote = vote(state, node_id, endpoint_id).filter(|_| !liars.contains(&node_id));
            let Some(vote) = vote else { continue };
            match vote.outcome {
                CheckOutcome::Unknown => {
                    let slowest = check.healthy_threshold.max(check.unhealthy_threshold);
                    let decided_ms = noticed_ms(check, slowest, vote.since_ms);
                    outside.undecided_ms = outside.undecided_ms.max(decided_ms);
                }
                CheckOutcome::Failing => {
                    outside.failing.push(Failure { node_id, why: vote.reason.clone(), counts_ms });
                }
                CheckOutcome::Passing if vote.since_ms < since_ms => outside.is_early = true,
                CheckOutcome::Passing => outside.passing += 1,
            }
        }
        outside.heard_ms = outside.heard_ms.filter(|_| !outside.is_waiting);
        outside
    }

    /// For a container that was judged before: any that passes makes it pass, all that vote make it fail, once those that
    /// have just begun had the time to decide.
    pub(super) fn finding(&self, state: &State, now_ms: u64) -> Finding {
        let counted: Vec<&Failure> = self.failing.iter().filter(|failure| failure.counts_ms <= now_ms).collect();
        match () {
            () if self.passes() => Finding::Passes,
            () if counted.is_empty() || self.is_waiting || now_ms < self.undecided_ms => Finding::Open,
            () => Finding::Fails(self.in_words(state, &counted)),
        }
    }

    /// A container that is healthy fails at this time (unix ms), when words against it begin to count.
    pub(super) fn fails_ms(&self) -> Option<u64> {
        let first_ms = self.failing.iter().map(|failure| failure.counts_ms.max(self.undecided_ms)).min();
        // 0: it was judged by that already.
        first_ms.filter(|counts_ms| *counts_ms > 0 && !self.passes() && !self.is_waiting)
    }

    fn passes(&self) -> bool {
        self.passing > 0 || self.is_early
    }

    /// `3 of 3 checkers fail: h1: answered 500, h2: connect: timed out`.
    fn in_words(&self, state: &State, failing: &[&Failure]) -> String {
        let name = |id: &u32| state.nodes.get(id).map(|node| node.name.clone()).unwrap_or_default();
        let each: Vec<String> = failing.iter().map(|f| format!("{}: {}", name(&f.node_id), f.why)).collect();
        format!("{} of {} checkers fail: {}", failing.len(), self.asked, each.join(", "))
    }

    /// What is known while it is not decided: `2 of 3 checkers: connect: connection refused`.
    pub(super) fn so_far(&self, state: &State) -> String {
        match self.failing.first() {
            _ if self.asked == 0 => "no host is there to check it".into(),
            None => format!("none of {} checkers has passed it yet", self.asked),
            Some(Failure { why, .. }) if self.failing.iter().all(|other| other.why == *why) => {
                format!("{} of {} checkers: {why}", self.failing.len(), self.asked)
            }
            Some(_) => self.in_words(state, &self.failing.iter().collect::<Vec<_>>()),
        }
    }
}

/// Somebody who votes passes it.
pub(super) fn is_passed(state: &State, liars: &BTreeSet<u32>, endpoint_id: u32) -> bool {
    let passes = |node_id| vote(state, node_id, endpoint_id).is_some_and(|vote| vote.outcome == CheckOutcome::Passing);
    state.checkers.of(endpoint_id).any(|node_id| !liars.contains(&node_id) && passes(node_id))
}

/// What a host says of a container that it is asked to check, if its word counts: only a ready host's does.
pub(super) fn vote(state: &State, node_id: u32, endpoint_id: u32) -> Option<&Vote> {
    let live = state.live.get(&node_id).filter(|live| live.state == HostState::Ready)?;
    live.checks.get(&endpoint_id)
}

/// When a word against a container counts (unix ms; 0 = at once): `hosts` are its own and its checker's, and checks made
/// while one of them was cut off say nothing about the container.
fn counts_ms(state: &State, check: &HealthCheck, hosts: [u32; 2]) -> u64 {
    let since_ms = |id| state.live.get(&id).map_or(0, |live| live.reachable_since_ms);
    match hosts.map(since_ms).into_iter().max() {
        None | Some(0) => 0,
        Some(since_ms) => noticed_ms(check, check.healthy_threshold.max(check.unhealthy_threshold), since_ms),
    }
}

/// It was there before this server started, and may still come: it is ready or gone within seconds.
fn is_unheard(state: &State, node_id: u32) -> bool {
    state
        .live
        .get(&node_id)
        .is_some_and(|live| live.state == HostState::Suspect && live.generation == 0 && live.reachable_since_ms == 0)
}
