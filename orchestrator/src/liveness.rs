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
use crate::watchdog::Watchdog;

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
        let is_applied = report.has_applied();
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

/// A disk that is slow for this long is a disk that hangs.
const WRITE_MAX: Duration = Duration::from_secs(60);

/// Judges hosts and lets deadlines of the state pass, until the fleet is gone.
pub async fn watch(fleet: Weak<Fleet>) {
    let mut clock = tokio::time::interval(Duration::from_millis(detector::TICK_MS));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut alarms = Vec::new();
    // A slow disk must not look like a pause of ours: the clock goes on while a change is written.
    let mut writing: Option<JoinHandle<Vec<Alarm>>> = None;
    let (mut watchdog, mut idle) = (Watchdog::of_environment(), Instant::now());
    // A deadline changes with the state only: a large fleet is not searched for it ten times a second.
    let mut due: (Weak<State>, Option<u64>) = (Weak::new(), None);
    loop {
        clock.tick().await;
        let Some(fleet) = fleet.upgrade() else { return };
        let state = fleet.state();
        if let Some(written) = writing.take_if(|task| task.is_finished()) {
            // A task that panicked has said so, and took what it was given with it.
            alarms.extend(written.await.unwrap_or_default());
        }
        if writing.is_none() {
            idle = Instant::now();
        }
        // A change that is not written for this long never will be: the supervisor may start us again.
        if idle.elapsed() < WRITE_MAX {
            watchdog.alive(Instant::now());
        }
        let raised = fleet.liveness.tick(&state);
        raised.iter().for_each(|alarm| log(&state, alarm));
        alarms.extend(raised);
        if !std::ptr::eq(due.0.as_ptr(), Arc::as_ptr(&state)) {
            due = (Arc::downgrade(&state), reconcile::next_deadline_ms(&state));
        }
        let is_due = due.1.is_some_and(|deadline_ms| deadline_ms <= fleet.now_ms());
        let is_idle = alarms.is_empty() && !is_due && fleet.liveness.news(&state).is_empty();
        if is_idle || writing.is_some() {
            continue;
        }
        writing = Some(tokio::spawn(write(fleet, std::mem::take(&mut alarms))));
    }
}

/// Answers the alarms that are not written: they are raised once only, and must be tried again.
async fn write(fleet: Arc<Fleet>, alarms: Vec<Alarm>) -> Vec<Alarm> {
    let (judge, raised) = (fleet.clone(), alarms.clone());
    let outcome = fleet.change(move |state, now_ms| {
        // What the detector says now, not what it said when this change began to wait for its turn.
        for (node_id, standing) in judge.liveness.news(state) {
            report::host_state(state, node_id, standing, now_ms);
        }
        for alarm in &raised {
            let (kind, object, message) = said(state, alarm);
            state.record(now_ms, kind, object, message);
        }
        Ok::<(), ()>(())
    });
    match outcome.await {
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::error!(%error, "a verdict about a host could not be written");
            alarms
        }
    }
}

fn log(state: &State, alarm: &Alarm) {
    let (kind, object, message) = said(state, alarm);
    tracing::warn!(kind, object, message, "alarm");
}

/// Kind, object and words of an alarm's event.
fn said(state: &State, alarm: &Alarm) -> (&'static str, String, String) {
    let (kind, node_id, message) = detector::alarm(alarm, |id| name(state, id));
    (kind, node_id.map_or_else(|| "fleet".to_owned(), |id| name(state, id)), message)
}

fn name(state: &State, node_id: u32) -> String {
    state.nodes.get(&node_id).map_or_else(|| format!("node {node_id}"), |node| node.name.clone())
}

#[cfg(test)]
mod tests {
    use remuda_api::resource::HostState;

    use super::*;
    use crate::pki::Ca;
    use crate::state::{Live, Node};
    use crate::store::redb::RedbStore;

    #[test]
    fn a_host_that_has_tried_every_step_is_ready_also_while_something_ends_or_fails_there() {
        let mut state = State::default();
        state.nodes.insert(1, Arc::new(Node { id: 1, ..Node::default() }));
        let liveness = Liveness::of(&state, Duration::from_secs(300));
        let found = |report: &Report| {
            liveness.reported(1, report);
            liveness.detector().verdicts().map(|(_, verdict)| verdict.state).collect::<Vec<_>>()
        };
        assert_eq!(found(&Report::default()), [HostState::Suspect]);
        let tried = Report { is_applied: true, generation: 0, ..Report::default() };
        assert_eq!(found(&tried), [HostState::Ready]);
        state.live.insert(1, Live { state: HostState::Suspect, ..Live::default() });
        report::apply(&mut state, 1, &tried, 0);
        assert_eq!(state.host_state(1), HostState::Ready);
    }

    #[tokio::test]
    async fn an_alarm_that_cannot_be_written_is_kept_for_the_next_try() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = RedbStore::open(&dir.path().join("fleet.redb")).expect("a new store");
        let ca = Ca::open(dir.path()).expect("a new CA");
        let fleet = Fleet::open(Arc::new(store), ca, "192.0.2.1:8443".into(), Duration::from_secs(300)).await;
        let fleet = fleet.expect("an empty fleet");
        let alarm = Alarm::Brake { node_ids: vec![1, 2] };
        assert_eq!(write(fleet.clone(), vec![alarm.clone()]).await, []);
        let brakes = |fleet: &Fleet| fleet.state().events.iter().filter(|event| event.kind == "brake").count();
        assert_eq!(brakes(&fleet), 1);
        fleet.close().await;
        assert_eq!(write(fleet.clone(), vec![alarm.clone()]).await, [alarm]);
        assert_eq!(brakes(&fleet), 1, "nothing was changed");
    }
}
