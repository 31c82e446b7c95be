//! What speaks for and against one container now.

use std::collections::BTreeSet;

use remuda_api::link::CheckOutcome;
use remuda_api::resource::HostState;

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

/// What the checkers of one container say: only those that vote count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outside {
    /// How many hosts are asked.
    pub(super) asked: usize,
    /// How many said *passing* since the time asked for.
    pub(super) passing: usize,
    /// One said *passing* before that, and has said nothing else since.
    pub(super) is_early: bool,
    /// Host and reason.
    pub(super) failing: Vec<(u32, String)>,
    /// Somebody who could say otherwise is there, and nobody has yet to be heard: silence means something.
    pub(super) is_heard: bool,
    /// A host that is asked has not been heard since this server started; it may know better.
    pub(super) is_waiting: bool,
}

impl Outside {
    pub(super) fn of(state: &State, liars: &BTreeSet<u32>, endpoint_id: u32, since_ms: u64) -> Outside {
        let mut outside = Outside::default();
        for node_id in state.checkers.of(endpoint_id) {
            outside.asked += 1;
            outside.is_waiting |= is_unheard(state, node_id);
            outside.is_heard |= state.host_state(node_id) == HostState::Ready;
            let vote = vote(state, node_id, endpoint_id).filter(|_| !liars.contains(&node_id));
            let Some(vote) = vote else { continue };
            match vote.outcome {
                CheckOutcome::Unknown => {}
                CheckOutcome::Failing => outside.failing.push((node_id, vote.reason.clone())),
                CheckOutcome::Passing if vote.since_ms < since_ms => outside.is_early = true,
                CheckOutcome::Passing => outside.passing += 1,
            }
        }
        outside.is_heard &= !outside.is_waiting;
        outside
    }

    /// For a container that was judged before: any that passes makes it pass, all that vote make it fail.
    pub(super) fn finding(&self, state: &State) -> Finding {
        let passes = self.passing > 0 || self.is_early;
        match () {
            () if passes => Finding::Passes,
            () if self.failing.is_empty() || self.is_waiting => Finding::Open,
            () => Finding::Fails(self.in_words(state)),
        }
    }

    /// `3 of 3 checkers fail: h1: answered 500, h2: connect: timed out`.
    fn in_words(&self, state: &State) -> String {
        let name = |id: &u32| state.nodes.get(id).map(|node| node.name.clone()).unwrap_or_default();
        let each: Vec<String> = self.failing.iter().map(|(id, why)| format!("{}: {why}", name(id))).collect();
        format!("{} of {} checkers fail: {}", self.failing.len(), self.asked, each.join(", "))
    }

    /// What is known while it is not decided: `2 of 3 checkers: connect: connection refused`.
    pub(super) fn so_far(&self, state: &State) -> String {
        match self.failing.first() {
            _ if self.asked == 0 => "no host is there to check it".into(),
            None => format!("none of {} checkers has passed it yet", self.asked),
            Some((_, why)) if self.failing.iter().all(|(_, other)| other == why) => {
                format!("{} of {} checkers: {why}", self.failing.len(), self.asked)
            }
            Some(_) => self.in_words(state),
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

/// It was there before this server started, and may still come: it is ready or gone within seconds.
fn is_unheard(state: &State, node_id: u32) -> bool {
    state.live.get(&node_id).is_some_and(|live| live.state == HostState::Suspect && live.generation == 0)
}
