//! The one place where the fleet's state changes: edit a copy, reconcile it, commit it, show it.
//!
//! Changes run one after the other. What a change answers is on disk; who watches sees states in order, the latest
//! one always, and nobody who is slow holds up anybody.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use remuda_api::link::Report;
use remuda_api::resource::HostState;
use tokio::sync::{mpsc, watch};

use crate::clock::{self, Clock};
use crate::liveness::{self, Liveness};
use crate::orders::Orders;
use crate::pki::Ca;
use crate::publish::Shared;
use crate::reconcile;
use crate::state::{Live, Loss, Node, State};
use crate::store::{Store, StoreError};
use crate::streams::Streams;
use crate::{detector, health, persist, report, resume};

/// Reports waiting to be written: more than this and agents wait for us.
const REPORTS_BACKLOG: usize = 1_024;
/// Refused joins written into the events per minute; the rest is counted in the log only.
const REFUSALS_PER_MINUTE: u32 = 20;

pub struct Fleet {
    store: Arc<dyn Store>,
    current: watch::Sender<Arc<State>>,
    /// Held by the one change in progress.
    turn: tokio::sync::Mutex<()>,
    /// Made once per generation.
    shared: Mutex<(u64, Arc<Shared>)>,
    reports: mpsc::Sender<(u32, Report)>,
    refusals: Mutex<(u64, u32)>,
    clock: Clock,
    pub ca: Ca,
    /// `ADDR:PORT` that new hosts dial.
    pub address: String,
    pub liveness: Liveness,
    pub streams: Streams,
    pub orders: Orders,
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeError<E> {
    #[error("refused")]
    Refused(E),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the change was given up half-way by a fault of ours, and nothing was changed: {0}")]
    Fault(String),
}

impl Fleet {
    /// The fleet of this store; hosts it knows are suspect until they report.
    pub async fn open(
        store: Arc<dyn Store>,
        ca: Ca,
        address: String,
        control_lost_timeout: Duration,
    ) -> Result<Arc<Fleet>, StoreError> {
        let clock = Clock::starting_at(clock::now_ms());
        let mut state = with_live(persist::read(store.load().await?)?, |_| None);
        resume::resume(&mut state, clock.now_ms());
        let liveness = Liveness::of(&state, control_lost_timeout);
        let (reports, queue) = mpsc::channel(REPORTS_BACKLOG);
        let fleet = Arc::new(Fleet {
            store,
            shared: Mutex::new((state.revision, Arc::new(Shared::of(&state)))),
            current: watch::Sender::new(Arc::new(state)),
            turn: tokio::sync::Mutex::new(()),
            reports,
            refusals: Mutex::new((0, 0)),
            clock,
            ca,
            address,
            liveness,
            streams: Streams::default(),
            orders: Orders::default(),
        });
        tokio::spawn(write_reports(Arc::downgrade(&fleet), queue));
        tokio::spawn(liveness::watch(Arc::downgrade(&fleet)));
        Ok(fleet)
    }

    pub fn state(&self) -> Arc<State> {
        self.current.borrow().clone()
    }

    /// The time every change goes by (unix ms).
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Sees the latest state, and wakes when it changed.
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.current.subscribe()
    }

    /// What all hosts are told at this state's generation.
    pub fn shared(&self, state: &State) -> Arc<Shared> {
        let mut held = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != state.revision {
            *held = (state.revision, Arc::new(Shared::of(state)));
        }
        held.1.clone()
    }

    /// Applies `edit` and all that follows from it; answers its value and the generation that shows it. A refused or
    /// failed change leaves everything as it was. Runs to its end even if the caller goes away.
    pub async fn change<T, E, F>(self: &Arc<Self>, edit: F) -> Result<(T, u64), ChangeError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&mut State, u64) -> Result<T, E> + Send + 'static,
    {
        let fleet = self.clone();
        let task = tokio::spawn(async move { fleet.change_now(edit).await });
        task.await.unwrap_or_else(|fault| Err(ChangeError::Fault(fault.to_string())))
    }

    /// Forgets a host, if it still `may` be: its certificate is void at once, its containers are placed elsewhere.
    /// False = there is none.
    pub async fn remove_host<E: Send + 'static>(
        self: &Arc<Self>,
        node_id: u32,
        why: &'static str,
        may: impl FnOnce(&State) -> Result<(), E> + Send + 'static,
    ) -> Result<bool, ChangeError<E>> {
        let removed = self.change(move |state, now_ms| {
            may(state)?;
            let Some(node) = state.nodes.remove(&node_id) else { return Ok(false) };
            state.live.remove(&node_id);
            state.record(now_ms, "host-removed", node.name.clone(), why);
            Ok::<_, E>(true)
        });
        let (is_removed, _) = removed.await?;
        self.orders.disconnect(node_id);
        self.streams.forget(node_id);
        Ok(is_removed)
    }

    /// Lets the change in progress finish and closes the store; later changes are refused.
    pub async fn close(&self) {
        let _turn = self.turn.lock().await;
        self.store.close().await;
    }

    async fn change_now<T, E>(
        &self,
        edit: impl FnOnce(&mut State, u64) -> Result<T, E>,
    ) -> Result<(T, u64), ChangeError<E>> {
        let _turn = self.turn.lock().await;
        let (old, now_ms) = (self.state(), self.now_ms());
        let mut next = State { revision: old.revision + 1, ..(*old).clone() };
        let value = edit(&mut next, now_ms).map_err(ChangeError::Refused)?;
        reconcile::reconcile(&mut next, now_ms);
        let writes = persist::writes(&old, &next)?;
        if writes.is_empty() {
            next.revision = old.revision;
            if next.live != old.live {
                self.current.send_replace(Arc::new(next));
            }
            return Ok((value, old.revision));
        }
        match self.store.commit(old.revision, writes).await {
            Ok(revision) => {
                self.current.send_replace(Arc::new(next));
                Ok((value, revision))
            }
            Err(error @ StoreError::Conflict { .. }) => {
                self.reload(&old).await?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The store has moved on without us: what it holds is the truth.
    async fn reload(&self, old: &State) -> Result<(), StoreError> {
        let mut state = persist::read(self.store.load().await?)?;
        resume::resume(&mut state, self.now_ms());
        self.current.send_replace(Arc::new(with_live(state, |node_id| old.live.get(&node_id).cloned())));
        Ok(())
    }

    /// Hands a report over to be written, together with others that came meanwhile.
    pub async fn report(&self, node_id: u32, report: Report) {
        // The writer lives as long as the fleet.
        let _ = self.reports.send((node_id, report)).await;
    }

    /// Writes a refused join into the events, within a limit: strangers must not fill the store.
    pub async fn audit_refusal(self: &Arc<Self>, object: String, message: String) {
        tracing::warn!(object, message, "refused");
        if !self.may_audit(self.now_ms() / 60_000) {
            return;
        }
        let outcome = self.change(move |state, now_ms| {
            state.record(now_ms, "refused", object, message);
            Ok::<(), ()>(())
        });
        if let Err(error) = outcome.await {
            tracing::error!(%error, "a refusal could not be written into the events");
        }
    }

    fn may_audit(&self, minute: u64) -> bool {
        let mut held = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != minute {
            *held = (minute, 0);
        }
        held.1 += 1;
        held.1 <= REFUSALS_PER_MINUTE
    }
}

fn with_live(mut state: State, known: impl Fn(u32) -> Option<Live>) -> State {
    let fresh = |node: &Node| Live {
        state: HostState::Suspect,
        is_lost: node.loss == Loss::Lost,
        is_avoided: node.loss != Loss::None,
        reason: detector::AWAITED.into(),
        ..Live::default()
    };
    state.live = state.nodes.iter().map(|(id, node)| (*id, known(*id).unwrap_or_else(|| fresh(node)))).collect();
    health::ask(&mut state);
    state
}

/// Writes reports, all that are waiting in one change: a disk write per batch, not per report.
async fn write_reports(fleet: std::sync::Weak<Fleet>, mut queue: mpsc::Receiver<(u32, Report)>) {
    let mut batch = Vec::new();
    while queue.recv_many(&mut batch, REPORTS_BACKLOG).await > 0 {
        let Some(fleet) = fleet.upgrade() else { return };
        let reports = std::mem::take(&mut batch);
        let hosts: HashSet<u32> = reports.iter().map(|(node_id, _)| *node_id).collect();
        let outcome = fleet.change(move |state, now_ms| {
            reports.iter().for_each(|(node_id, said)| report::apply(state, *node_id, said, now_ms));
            Ok::<(), ()>(())
        });
        if let Err(error) = outcome.await {
            // Their streams end, and each agent says everything again when it has reconnected.
            tracing::error!(%error, "reports could not be written");
            hosts.iter().for_each(|node_id| fleet.streams.restart(*node_id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{self, Standing};

    fn restarted(loss: Loss) -> State {
        let mut state = State { revision: 7, ..State::default() };
        state.nodes.insert(1, Arc::new(Node { id: 1, name: "h1".into(), loss, ..Node::default() }));
        with_live(state, |_| None)
    }

    #[test]
    fn after_a_restart_a_host_that_was_given_up_is_avoided_and_one_that_is_awaited_is_not() {
        let is_avoided = [Loss::None, Loss::Held, Loss::Lost].map(|loss| restarted(loss).is_avoided(1));
        assert_eq!(is_avoided, [false, true, true]);
    }

    #[test]
    fn a_host_that_begins_to_be_avoided_makes_a_generation_although_it_was_suspect_before() {
        let old = restarted(Loss::None);
        let mut next = old.clone();
        let standing = Standing { state: HostState::Suspect, loss: Loss::None, reason: "silent".into() };
        report::host_state(&mut next, 1, standing, 0);
        assert!(next.is_avoided(1));
        let writes = persist::writes(&old, &next).expect("records");
        assert!(!writes.is_empty(), "hosts are told by generations");
    }
}
