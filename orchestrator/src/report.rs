//! What a host says about itself, written into the state. A host speaks for its own containers only.

use std::collections::BTreeSet;
use std::sync::Arc;

use remuda_api::link::{ContainerStatus, HostFacts, Report};
use remuda_api::resource::{ContainerState, HostState};

use crate::state::{Container, Live, Loss, Node, Stage, State};
use crate::{facts, health};

/// Longest text of a host's that is kept: a reason is a sentence.
const TEXT_MAX_BYTES: usize = 1_024;
/// Longest name of a state, or date.
const WORD_MAX_BYTES: usize = 64;

/// Applies one report of host `node_id`.
pub fn apply(state: &mut State, node_id: u32, report: &Report, now_ms: u64) {
    if !state.nodes.contains_key(&node_id) {
        return;
    }
    if let Some(facts) = &report.facts {
        update_facts(state, node_id, facts, now_ms);
    }
    for status in &report.containers {
        update_container(state, node_id, status, now_ms);
    }
    drop_leftovers(state, node_id, report);
    for name in gone(state, node_id, report) {
        forget_container(state, &name, now_ms);
    }
    update_host(state, node_id, report, now_ms);
    health::hear(state, node_id, report, now_ms);
}

/// How a host stands: a verdict of the failure detector ([`crate::detector`]), or of the host's own report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    pub state: HostState,
    pub loss: Loss,
    /// Empty = it is ready.
    pub reason: String,
}

impl Standing {
    pub const READY: Standing = Standing { state: HostState::Ready, loss: Loss::None, reason: String::new() };

    /// It is what the records say already.
    pub fn is_held_by(&self, node: &Node, live: &Live) -> bool {
        (self.state, self.loss, &self.reason) == (live.state, node.loss, &live.reason)
    }
}

/// Writes how a host stands: the one place that does.
pub fn host_state(state: &mut State, node_id: u32, standing: Standing, now_ms: u64) {
    let Some(node) = state.nodes.get_mut(&node_id) else { return };
    let live = state.live.entry(node_id).or_default();
    if standing.is_held_by(node, live) {
        return;
    }
    let is_avoided = matches!(standing.state, HostState::Suspect | HostState::Dead);
    // What is avoided is told to every host: a change that is seen there needs a generation of its own.
    let is_news = (live.state, live.is_avoided) != (standing.state, is_avoided);
    let is_reachable = |state| matches!(state, HostState::Ready | HostState::ControlLost);
    if matches!(live.state, HostState::Suspect | HostState::Dead) && is_reachable(standing.state) {
        // 0 means that it always was.
        live.reachable_since_ms = now_ms.max(1);
    }
    (live.state, live.is_lost, live.reason) = (standing.state, standing.loss == Loss::Lost, standing.reason.clone());
    live.is_avoided = is_avoided;
    if node.loss != standing.loss {
        Arc::make_mut(node).loss = standing.loss;
    }
    if is_news {
        let (kind, message) = event(standing);
        let name = node.name.clone();
        state.record(now_ms, kind, name, message);
    }
}

fn event(standing: Standing) -> (&'static str, String) {
    match standing.state {
        HostState::Ready => ("host-ready", "is heard, and has applied its assignment".into()),
        HostState::Suspect => ("host-suspect", standing.reason),
        HostState::Dead => ("host-dead", standing.reason),
        HostState::Joining => ("host-joining", "connected".into()),
        HostState::ControlLost => ("host-control-lost", standing.reason),
    }
}

/// Facts as the agent says them now; labels stay what operators made of them.
pub fn update_facts(state: &mut State, node_id: u32, facts: &HostFacts, now_ms: u64) {
    let facts = &facts::clean(facts, &state.fleet.pools());
    // The address must be one that others can send to, and nobody else's: hosts refuse an assignment with two.
    let is_taken = state.nodes.values().any(|node| node.id != node_id && node.facts.underlay_ip == facts.underlay_ip);
    let valid = !is_taken && facts.underlay_ip.parse::<std::net::Ipv4Addr>().is_ok();
    let Some(node) = state.nodes.get_mut(&node_id) else { return };
    let facts = HostFacts {
        name: node.name.clone(),
        underlay_ip: if valid { facts.underlay_ip.clone() } else { node.facts.underlay_ip.clone() },
        ..facts.clone()
    };
    if node.facts == facts {
        return;
    }
    let moved = node.facts.underlay_ip != facts.underlay_ip;
    let message = format!("underlay address {} -> {}", node.facts.underlay_ip, facts.underlay_ip);
    let name = node.name.clone();
    Arc::make_mut(node).facts = facts;
    if moved {
        state.record(now_ms, "host-moved", name, message);
    }
}

fn update_container(state: &mut State, node_id: u32, status: &ContainerStatus, now_ms: u64) {
    let Some(held) = state.containers.get(&status.name).filter(|container| container.node_id == node_id) else {
        return;
    };
    let status = clipped(status);
    if held.status.as_ref() == Some(&status) {
        return;
    }
    let happened = happened(held, &status);
    let name = held.name.clone();
    state.edit_container(&name, |container| container.status = Some(status));
    if let Some((kind, message)) = happened {
        state.record(now_ms, kind, name, message);
    }
}

/// What is kept of a status: words of a host's are bounded before they are stored.
fn clipped(status: &ContainerStatus) -> ContainerStatus {
    ContainerStatus {
        state: clip(&status.state, WORD_MAX_BYTES),
        health: clip(&status.health, WORD_MAX_BYTES),
        started: clip(&status.started, WORD_MAX_BYTES),
        reason: shorten(&status.reason),
        ..status.clone()
    }
}

/// The event a new status means, if any.
fn happened(held: &Container, status: &ContainerStatus) -> Option<(&'static str, String)> {
    let next = Container { status: Some(status.clone()), ..held.clone() };
    let restarts = |status: &Option<ContainerStatus>| status.as_ref().map_or(0, |status| status.restarts);
    if restarts(&next.status) > restarts(&held.status) {
        let reason = if status.reason.is_empty() { "it ended" } else { &status.reason };
        return Some(("container-restarted", format!("restart {}: {reason}", status.restarts)));
    }
    if next.state() == held.state() {
        return None;
    }
    match next.state() {
        ContainerState::Running => Some(("container-started", format!("running as process {}", status.pid))),
        ContainerState::Failed => Some(("container-failed", status.reason.clone())),
        ContainerState::Complete => Some(("container-complete", format!("exit code {}", status.exit_code))),
        _ => None,
    }
}

/// Containers of this host that it no longer has.
fn gone(state: &State, node_id: u32, report: &Report) -> Vec<String> {
    let said: BTreeSet<&str> = report.gone.iter().map(String::as_str).collect();
    let present: BTreeSet<&str> = report.containers.iter().map(|status| status.name.as_str()).collect();
    let is_gone = |name: &str| said.contains(name) || (report.complete && !present.contains(name));
    let mine = state.containers.values().filter(|container| container.node_id == node_id);
    let is_out = |container: &Container| {
        // A stopped one that was told to stop: what is left of it there goes with its record.
        let is_stopped = container.status.as_ref().is_some_and(|status| status.state == "stopped");
        is_gone(&container.name) || (container.stage == Stage::Stopping && is_stopped)
    };
    mine.filter(|container| is_out(container)).map(|container| container.name.clone()).collect()
}

/// What was placed elsewhere while this host was lost, and is no longer there.
fn drop_leftovers(state: &mut State, node_id: u32, report: &Report) {
    let present = |name: &str| report.containers.iter().any(|status| status.name == name);
    let is_gone = |name: &String| report.gone.contains(name) || (report.complete && !present(name));
    let Some(node) = state.nodes.get_mut(&node_id) else { return };
    if node.leftovers.iter().any(|leftover| is_gone(&leftover.name)) {
        Arc::make_mut(node).leftovers.retain(|leftover| !is_gone(&leftover.name));
    }
}

/// One on its way out is done; a wanted one starts again, by its host, from nothing.
fn forget_container(state: &mut State, name: &str, now_ms: u64) {
    let Some(held) = state.containers.get(name) else { return };
    if held.stage != Stage::Wanted {
        state.containers.remove(name);
        state.record(now_ms, "container-stopped", name, "stopped and removed");
    } else if held.status.is_some() {
        state.edit_container(name, |container| container.status = None);
        state.record(now_ms, "container-lost", name, "its host no longer has it and starts it again");
    }
}

fn update_host(state: &mut State, node_id: u32, report: &Report, now_ms: u64) {
    let problems: Vec<String> = report.problems.iter().take(16).map(|problem| shorten(problem)).collect();
    let name = state.nodes.get(&node_id).map(|node| node.name.clone()).unwrap_or_default();
    let live = state.live.entry(node_id).or_default();
    live.generation = report.generation;
    let new: Vec<String> = problems.iter().filter(|problem| !live.problems.contains(problem)).cloned().collect();
    live.problems = problems;
    for problem in new {
        state.record(now_ms, "host-problem", name.clone(), problem);
    }
    if report.has_applied() {
        host_state(state, node_id, Standing::READY, now_ms);
    }
}

/// A host that connected: known to be there, not yet to have applied anything. `held_generation`: what it goes by;
/// one that this store never reached means that the store is a copy from before, and the host is told nothing more.
pub fn connected(state: &mut State, node_id: u32, facts: Option<&HostFacts>, held_generation: u64, now_ms: u64) {
    if let Some(facts) = facts {
        update_facts(state, node_id, facts, now_ms);
    }
    state.live.entry(node_id).or_default();
    // Inside a change `revision` is the one to come.
    let is_ahead = held_generation >= state.revision;
    let Some(node) = state.nodes.get_mut(&node_id) else { return };
    if is_ahead && node.ahead_generation == 0 {
        Arc::make_mut(node).ahead_generation = held_generation;
        let (name, why) = (node.name.clone(), RolledBack(held_generation).to_string());
        state.record(now_ms, "store-rolled-back", name, why);
    }
}

/// A host goes by a generation that this server's store never reached. Remembered, as the store soon counts further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server's assignment is older than the one held, generation {0}: its store is a copy from before, and this host \
     goes on with what it has. Put the newest store back, or give this host up: `remuda leave` on it, and join again"
)]
pub struct RolledBack(pub u64);

fn shorten(text: &str) -> String {
    clip(text, TEXT_MAX_BYTES)
}

fn clip(text: &str, max_bytes: usize) -> String {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
