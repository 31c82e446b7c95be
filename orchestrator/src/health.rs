//! Whether each container is healthy, and what follows from that: pure.
//!
//! Two things speak about a running container. From outside: up to three other hosts that check it ([`checkers`]) and
//! report what they found ([`votes`]); it passes while any of them passes, and fails when all that vote fail. From
//! inside: the health command, judged by its own host. With both, both must pass; with neither, running is healthy.
//!
//! The verdict is stored and stands until something speaks against it: when nobody votes (the server was restarted, the
//! checkers' hosts are away), nothing changes. Each start begins afresh, and what was found before it does not count:
//!
//! | verdict | becomes healthy | becomes unhealthy |
//! |---|---|---|
//! | initializing (after a first start, or a restart) | all pass | the command fails, or not healthy within the timeout |
//! | healthy | | the command fails, or all checkers that vote fail |
//! | unhealthy | all pass | |
//!
//! A checker that still says *passing* when a container was restarted may not have noticed yet. Its word counts from the
//! time at which it would have noticed ([`settled_ms`]), or as soon as it says it anew.
//!
//! A host that was suspect or dead comes back with what was found during the cut, of its containers and by it. Words
//! against a container count again when checks made since would have passed ([`noticed_ms`] from then on); the same holds
//! for all hosts when the server starts.
//!
//! An unhealthy container is out of names, lists and rings in the same generation; [`recreate`] says whether another one
//! takes its place.

pub mod checkers;
mod evidence;
mod recreate;
#[cfg(test)]
mod tests;
mod votes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use remuda_api::health::HealthCheck;
use remuda_api::link::REPORT_INTERVAL_MS;
use remuda_api::resource::Health;

pub use checkers::{Checks, ask};
pub use recreate::Recreation;
pub use votes::{hear, is_news};

use crate::reconcile;
use crate::state::{Container, Service, State, Verdict};
use evidence::{Finding, Outside};

/// Judges every container that is wanted and placed, and replaces those whose service asks for it.
pub fn judge(state: &mut State, now_ms: u64) {
    let liars = votes::liars(state);
    let judged = state.containers.values().filter(|container| container.is_wanted() && container.node_id != 0);
    let news: BTreeMap<String, Verdict> =
        judged.filter_map(|c| Some((c.name.clone(), verdict(state, &liars, c, now_ms)?))).collect();
    let doomed = recreate::doomed(state, &news, now_ms);
    // They leave before they are written down as unhealthy: what served is drained first.
    for name in &doomed {
        reconcile::leave(state, name, now_ms);
    }
    for (name, verdict) in &news {
        announce(state, name, verdict, now_ms);
        state.edit_container(name, |container| container.verdict = verdict.clone());
    }
    for name in &doomed {
        recreate::remember(state, name, now_ms);
    }
}

/// A verdict will change at this time although nobody says anything (unix ms).
pub fn next_deadline_ms(state: &State) -> Option<u64> {
    let running = state.containers.values().filter(|c| c.is_wanted() && c.is_running());
    let unsettled: Vec<&Arc<Container>> = running.filter(|c| is_unsettled(state, c)).collect();
    let liars = if unsettled.is_empty() { BTreeSet::new() } else { votes::liars(state) };
    let deadlines = unsettled.into_iter().filter_map(|container| {
        let (held, service) = (&container.verdict, state.services.get(&container.service_id)?);
        let (check, outside) = outside(state, &liars, container, held.since_ms)?;
        match () {
            () if held.health == Health::Healthy => outside.fails_ms(),
            () if outside.is_early && inside(service, container) == Finding::Open => None,
            () if outside.is_early => Some(settled_ms(check, held)),
            () if outside.passing > 0 => None,
            () => outside.heard_ms.map(|heard_ms| heard_ms.max(timeout_ms(check, held))),
        }
    });
    deadlines.chain(recreate::next_deadline_ms(state)).min()
}

/// Time alone may change the verdict on this running container.
fn is_unsettled(state: &State, container: &Container) -> bool {
    match container.verdict.health {
        Health::Initializing => true,
        Health::Unhealthy => false,
        // Who passes something is no liar.
        Health::Healthy => {
            let service = state.services.get(&container.service_id);
            service.is_some_and(|service| !passes_on(state, &BTreeSet::new(), service, container))
        }
    }
}

/// Why a running container is not healthy, in words; None when it is, or does not run.
pub fn reason(state: &State, container: &Container) -> Option<String> {
    let service = state.services.get(&container.service_id)?;
    match container.verdict.health {
        _ if !container.is_running() => None,
        Health::Healthy => None,
        Health::Unhealthy => Some(container.verdict.reason.clone()),
        Health::Initializing => match inside(service, container) {
            Finding::Fails(why) => Some(why),
            Finding::Open => Some("its health command has not passed yet".into()),
            Finding::Passes => {
                let outside = outside(state, &BTreeSet::new(), container, container.verdict.since_ms);
                outside.map(|(_, outside)| outside.so_far(state))
            }
        },
    }
}

/// The new verdict on one container; None = the one it has.
fn verdict(state: &State, liars: &BTreeSet<u32>, container: &Container, now_ms: u64) -> Option<Verdict> {
    let held = &container.verdict;
    let Some(status) = container.status.as_ref().filter(|_| container.is_running()) else {
        let ended = Verdict { was_healthy: held.was_healthy, ..Verdict::default() };
        return (*held != ended).then_some(ended);
    };
    let service = state.services.get(&container.service_id)?;
    let is_new = held.since_ms == 0 || held.started != status.started;
    if !is_new && held.health == Health::Healthy && passes_on(state, liars, service, container) {
        return None;
    }
    let begun = if is_new { held.started_again(&status.started, now_ms) } else { held.clone() };
    let outside = match outside(state, liars, container, begun.since_ms) {
        Some((check, outside)) => from_outside(state, check, &outside, &begun, now_ms),
        None => Finding::Passes,
    };
    let next = match inside(service, container).and(outside) {
        Finding::Passes => begun.turned(Health::Healthy, String::new(), now_ms),
        Finding::Fails(why) => begun.turned(Health::Unhealthy, why, now_ms),
        Finding::Open => begun,
    };
    (*held != next).then_some(next)
}

/// Nothing speaks against a container that is healthy: found with few look-ups, as this is asked of all at each change.
fn passes_on(state: &State, liars: &BTreeSet<u32>, service: &Service, container: &Container) -> bool {
    let is_checked_outside = service.spec.health_check.is_some() && container.endpoint_id != 0;
    inside(service, container) == Finding::Passes
        && (!is_checked_outside || evidence::is_passed(state, liars, container.endpoint_id))
}

fn is_checked(service: &Service) -> bool {
    service.spec.health_check.is_some() || service.spec.healthcheck.is_some()
}

/// What the health command says, or the check that an image brings, of which only the container's host knows; a host
/// that looks at nothing has nothing to say against the container.
fn inside(service: &Service, container: &Container) -> Finding {
    match evidence::inside(container) {
        Finding::Open if service.spec.healthcheck.is_none() && !evidence::is_initializing(container) => Finding::Passes,
        found => found,
    }
}

/// What the checkers' words mean for a container with this verdict: one that is initializing has until its timeout.
fn from_outside(state: &State, check: &HealthCheck, outside: &Outside, held: &Verdict, now_ms: u64) -> Finding {
    if held.health != Health::Initializing {
        return outside.finding(state, now_ms);
    }
    let is_settled = outside.is_early && settled_ms(check, held) <= now_ms;
    if outside.passing > 0 || is_settled {
        return Finding::Passes;
    }
    let is_heard = outside.heard_ms.is_some_and(|heard_ms| heard_ms <= now_ms);
    if outside.is_early || !is_heard || now_ms < timeout_ms(check, held) {
        return Finding::Open;
    }
    let seconds = timeout_ms(check, held).saturating_sub(held.since_ms) as f64 / 1000.0;
    Finding::Fails(format!("not healthy within {seconds} s of its start: {}", outside.so_far(state)))
}

/// The check of a container and what its checkers say of it since a time; None where nobody checks it from outside.
fn outside<'a>(
    state: &'a State,
    liars: &BTreeSet<u32>,
    container: &Container,
    since_ms: u64,
) -> Option<(&'a HealthCheck, Outside)> {
    let service = state.services.get(&container.service_id)?;
    let check = service.spec.health_check.as_ref().filter(|_| container.endpoint_id != 0)?;
    Some((check, Outside::of(state, liars, container, check, since_ms)))
}

/// When a container that is initializing has taken too long (unix ms).
fn timeout_ms(check: &HealthCheck, held: &Verdict) -> u64 {
    let patience = if held.was_healthy { check.reinitializing_timeout_ms } else { check.initializing_timeout_ms };
    held.since_ms.saturating_add(patience)
}

/// When every checker would have noticed what happened at the begin of this verdict (unix ms). From then on a checker
/// that has said *passing* since before a start means the container as it is now.
fn settled_ms(check: &HealthCheck, held: &Verdict) -> u64 {
    noticed_ms(check, check.unhealthy_threshold, held.since_ms)
}

/// When what happened at `since_ms` has been noticed by every checker (unix ms): so many checks that began after it are
/// over by then, and what they changed has been reported.
fn noticed_ms(check: &HealthCheck, checks: u32, since_ms: u64) -> u64 {
    let checks_ms = check.interval_ms.saturating_mul(checks.into());
    let noticed_ms = checks_ms.saturating_add(check.response_timeout_ms).saturating_add(REPORT_INTERVAL_MS);
    since_ms.saturating_add(noticed_ms)
}

/// Writes a change of health into the events; that a container without a check runs is said already.
fn announce(state: &mut State, name: &str, next: &Verdict, now_ms: u64) {
    let Some(held) = state.containers.get(name) else { return };
    let is_checked = state.services.get(&held.service_id).is_some_and(|service| is_checked(service));
    // Nothing is unhealthy that is not checked: by its image, then.
    let was_or_is_unwell = held.verdict.health == Health::Unhealthy || next.health == Health::Unhealthy;
    if held.verdict.health == next.health || !(is_checked || was_or_is_unwell) {
        return;
    }
    match next.health {
        Health::Healthy => state.record(now_ms, "container-healthy", name, "its checks pass"),
        Health::Unhealthy => state.record(now_ms, "container-unhealthy", name, next.reason.clone()),
        Health::Initializing => {}
    }
}

impl Verdict {
    /// The container was started: what was found before means another process.
    fn started_again(&self, started: &str, now_ms: u64) -> Verdict {
        Verdict {
            started: started.to_owned(),
            // 0 means that it does not run.
            since_ms: now_ms.max(1),
            was_healthy: self.was_healthy,
            ..Verdict::default()
        }
    }

    fn turned(self, health: Health, reason: String, now_ms: u64) -> Verdict {
        if self.health == health {
            return self;
        }
        let lasted_ms = now_ms.saturating_sub(self.since_ms);
        Verdict {
            health,
            reason,
            since_ms: now_ms.max(1),
            was_healthy: self.was_healthy || health == Health::Healthy,
            healthy_ms: if self.health == Health::Healthy { lasted_ms } else { 0 },
            started: self.started,
        }
    }
}
