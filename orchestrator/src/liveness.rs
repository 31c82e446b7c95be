//! Feeds the failure detector with reports and time, and writes its verdicts into the state.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use remuda_api::link::Report;
use tokio::task::JoinHandle;

use crate::detector::{self, Alarm, Detector};
use crate::fleet::Fleet;
use crate::reconcile;
use crate::report::{self, Standing};
use crate::state::State;

pub struct Liveness {
    /// Monotonic: a wall clock that jumps changes no verdict.
    started: Instant,
    detector: Mutex<Detector>,
}

impl Liveness {
    /// Awaits every host the state knows.
    pub fn of(state: &State, control_lost_timeout: Duration) -> Liveness {
        let mut detector = Detector::new(control_lost_timeout.as_millis() as u64);
        state.nodes.values().for_each(|node| detector.restore(node.id, node.loss, 0));
        Liveness { started: Instant::now(), detector: Mutex::new(detector) }
    }

    pub fn connected(&self, node_id: u32) {
        self.detector().connected(node_id);
    }

    /// A report arrived: it proves its host's life, and others' of whom it heard. One that has never applied an
    /// assignment is not judged yet.
    pub fn reported(&self, node_id: u32, report: &Report) {
        let now_ms = self.now_ms();
        let mut detector = self.detector();
        let is_applied = report.generation > 0;
        if is_applied {
            detector.add(node_id, now_ms);
        }
        detector.reported(node_id, is_applied, now_ms);
        detector.vouched(node_id, report.made_ms, &report.peers, now_ms);
    }

    /// Lets time pass.
    fn tick(&self, state: &State) -> Vec<Alarm> {
        let mut detector = self.detector();
        detector.retain(|node_id| state.nodes.contains_key(&node_id));
        detector.tick(self.now_ms())
    }

    /// What the state does not say yet.
    fn news(&self, state: &State) -> Vec<(u32, Standing)> {
        let detector = self.detector();
        let standings = detector.verdicts().filter_map(|(node_id, verdict)| {
            let (node, live) = (state.nodes.get(&node_id)?, state.live.get(&node_id)?);
            let reason = detector::reason(verdict, &node.name, |id| name(state, id));
            let standing = Standing { state: verdict.state, loss: verdict.loss, reason };
            (!standing.is_held_by(node, live)).then_some((node_id, standing))
        });
        standings.collect()
    }

    fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    fn detector(&self) -> MutexGuard<'_, Detector> {
        self.detector.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Judges hosts and lets deadlines of the state pass, until the fleet is gone.
pub async fn watch(fleet: Weak<Fleet>) {
    let mut clock = tokio::time::interval(Duration::from_millis(detector::TICK_MS));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut alarms = Vec::new();
    // A slow disk must not look like a pause of ours: the clock goes on while a change is written.
    let mut writing: Option<JoinHandle<()>> = None;
    // A deadline changes with the state only: a large fleet is not searched for it ten times a second.
    let mut due: (Weak<State>, Option<u64>) = (Weak::new(), None);
    loop {
        clock.tick().await;
        let Some(fleet) = fleet.upgrade() else { return };
        let state = fleet.state();
        alarms.extend(fleet.liveness.tick(&state));
        if !std::ptr::eq(due.0.as_ptr(), Arc::as_ptr(&state)) {
            due = (Arc::downgrade(&state), reconcile::next_deadline_ms(&state));
        }
        let is_due = due.1.is_some_and(|deadline_ms| deadline_ms <= fleet.now_ms());
        let is_idle = alarms.is_empty() && !is_due && fleet.liveness.news(&state).is_empty();
        if is_idle || writing.as_ref().is_some_and(|task| !task.is_finished()) {
            continue;
        }
        writing = Some(tokio::spawn(write(fleet, std::mem::take(&mut alarms))));
    }
}

async fn write(fleet: Arc<Fleet>, alarms: Vec<Alarm>) {
    let judge = fleet.clone();
    let outcome = fleet.change(move |state, now_ms| {
        // What the detector says now, not what it said when this change began to wait for its turn.
        for (node_id, standing) in judge.liveness.news(state) {
            report::host_state(state, node_id, standing, now_ms);
        }
        for alarm in &alarms {
            record(state, alarm, now_ms);
        }
        Ok::<(), ()>(())
    });
    if let Err(error) = outcome.await {
        tracing::error!(%error, "a verdict about a host could not be written");
    }
}

fn record(state: &mut State, alarm: &Alarm, now_ms: u64) {
    let (kind, node_id, message) = detector::alarm(alarm, |id| name(state, id));
    let object = node_id.map_or_else(|| "fleet".to_owned(), |id| name(state, id));
    tracing::warn!(kind, object, message, "alarm");
    state.record(now_ms, kind, object, message);
}

fn name(state: &State, node_id: u32) -> String {
    state.nodes.get(&node_id).map_or_else(|| format!("node {node_id}"), |node| node.name.clone())
}
