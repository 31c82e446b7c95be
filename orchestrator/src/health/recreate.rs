//! Whether another container takes the place of an unhealthy one, and when.
//!
//! Only of hosts that are ready: what is wrong with a host is judged elsewhere, and moves containers by its own rules.
//! Of one service one container is replaced at a time, the one that has been unhealthy longest, a second after the one
//! before. A replacement that did not help, because the container had not been healthy for a minute, doubles the wait up
//! to a minute, as a crash loop does; one that was healthy for longer ends it, and so does half an hour without any.
//!
//! What was found while the container's host, or all its checkers, were cut off says nothing about the container: it is
//! left alone until somebody who checks it has had the time to say otherwise.
//!
//! A quorum is counted when checkers would have noticed by then what befell the others at the same time: of two that
//! fail together one is found first, and the other one must not count as healthy because of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remuda_api::health::Strategy;
use remuda_api::resource::{Availability, Health, HostState};
use remuda_api::spec::RestartPolicy;
use serde::{Deserialize, Serialize};

use super::evidence::{Finding, Outside};
use super::{inside, settled_ms};
use crate::state::{Container, Service, State, Verdict};

/// Wait between two replacements in one service, milliseconds, when the one before helped.
const GAP_MIN_MS: u64 = 1_000;
/// The same when many did not help, milliseconds: once a minute is often enough for what does not help.
const GAP_MAX_MS: u64 = 60_000;
/// Healthy for so long, milliseconds, and the container was worth starting.
const HELPED_AFTER_MS: u64 = 60_000;
/// No replacement for so long, milliseconds, and the next one is the first one again.
const FORGIVEN_AFTER_MS: u64 = 30 * 60_000;

/// The last replacement of an unhealthy container of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recreation {
    /// Unix ms; 0 = none yet.
    pub at_ms: u64,
    /// How many in a row did not help.
    pub in_vain: u32,
}

impl Recreation {
    /// The next replacement may be at this time (unix ms).
    fn next_ms(self) -> u64 {
        let gap_ms = GAP_MIN_MS.saturating_mul(1 << self.in_vain.min(16)).min(GAP_MAX_MS);
        if self.at_ms == 0 { 0 } else { self.at_ms.saturating_add(gap_ms) }
    }

    fn after(self, lost: &Verdict, now_ms: u64) -> Recreation {
        let is_forgiven = now_ms.saturating_sub(self.at_ms) >= FORGIVEN_AFTER_MS;
        let in_vain = match lost.healthy_ms {
            helped if helped >= HELPED_AFTER_MS => 0,
            _ if is_forgiven => 1,
            _ => self.in_vain.saturating_add(1),
        };
        Recreation { at_ms: now_ms, in_vain }
    }
}

/// Names of the containers to replace now, at most one of each service; `news` are verdicts not yet written down.
pub(super) fn doomed(state: &State, news: &BTreeMap<String, Verdict>, now_ms: u64) -> Vec<String> {
    candidates(state, news).filter(|(_, due_ms)| *due_ms <= now_ms).map(|(name, _)| name).collect()
}

/// One more will be replaced at this time (unix ms).
pub(super) fn next_deadline_ms(state: &State) -> Option<u64> {
    let news = BTreeMap::new();
    candidates(state, &news).map(|(_, due_ms)| due_ms).min()
}

/// Writes down that `name` is being replaced.
pub(super) fn remember(state: &mut State, name: &str, now_ms: u64) {
    let Some(lost) = state.containers.get(name).cloned() else { return };
    if let Some(service) = state.services.get_mut(&lost.service_id) {
        let service = Arc::make_mut(service);
        service.recreation = service.recreation.after(&lost.verdict, now_ms);
    }
    state.record(now_ms, "container-recreated", name, format!("another one takes its place: {}", lost.verdict.reason));
}

/// Of each service the container that is to be replaced next, and when (unix ms).
fn candidates<'a>(state: &'a State, news: &'a BTreeMap<String, Verdict>) -> impl Iterator<Item = (String, u64)> {
    let is = |c: &Container, health| c.is_wanted() && c.is_running() && latest(news, c).health == health;
    let mut worst: BTreeMap<u32, (u64, &Container)> = BTreeMap::new();
    for container in state.containers.values().filter(|c| is(c, Health::Unhealthy) && is_replaceable(state, c)) {
        let Some(sure_ms) = sure_ms(state, container, latest(news, container)) else { continue };
        let worst = worst.entry(container.service_id).or_insert((sure_ms, container));
        if sure_ms < worst.0 {
            *worst = (sure_ms, container);
        }
    }
    worst.into_iter().filter_map(move |(service_id, (sure_ms, container))| {
        let service = state.services.get(&service_id).filter(|service| !service.removing)?;
        let healthy = || state.containers_of(service_id).filter(|c| is(c, Health::Healthy)).count();
        let due_ms = match (&service.spec.health_check, strategy(service)) {
            (_, Strategy::None) => return None,
            (_, Strategy::RecreateOnQuorum { quorum }) if healthy() < quorum as usize => return None,
            (Some(check), Strategy::RecreateOnQuorum { .. }) => settled_ms(check, latest(news, container)),
            (_, Strategy::Recreate | Strategy::RecreateOnQuorum { .. }) => 0,
        };
        Some((container.name.clone(), due_ms.max(sure_ms).max(service.recreation.next_ms())))
    })
}

/// A service with a health command alone has no word for it: another container takes the place of an unhealthy one, as
/// Swarm does, unless what ends shall not come back.
fn strategy(service: &Service) -> Strategy {
    match (&service.spec.health_check, service.spec.restart) {
        (Some(check), _) => check.strategy,
        (None, RestartPolicy::Never) => Strategy::None,
        (None, RestartPolicy::Always | RestartPolicy::OnFailure) => Strategy::Recreate,
    }
}

/// What is wrong may be the container, and another one can be made: that of a global service on a paused host cannot.
fn is_replaceable(state: &State, container: &Container) -> bool {
    let is_active = || {
        let node = state.nodes.get(&container.pinned_node);
        node.is_some_and(|node| node.availability == Availability::Active)
    };
    state.host_state(container.node_id) == HostState::Ready && (container.pinned_node == 0 || is_active())
}

/// Since when an unhealthy container is known to be so (unix ms, may lie ahead): somebody could have said otherwise by
/// then. None = nobody is there who could. Its health command needs nobody.
fn sure_ms(state: &State, container: &Container, held: &Verdict) -> Option<u64> {
    let service = state.services.get(&container.service_id)?;
    match service.spec.health_check.as_ref().filter(|_| container.endpoint_id != 0) {
        Some(check) if !matches!(inside(service, container), Finding::Fails(_)) => {
            let outside = Outside::of(state, &BTreeSet::new(), container, check, held.since_ms);
            outside.heard_ms.map(|heard_ms| heard_ms.max(held.since_ms))
        }
        _ => Some(held.since_ms),
    }
}

fn latest<'a>(news: &'a BTreeMap<String, Verdict>, container: &'a Container) -> &'a Verdict {
    news.get(&container.name).unwrap_or(&container.verdict)
}
