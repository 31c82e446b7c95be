//! Who has reported lately: a lease per host, on monotonic time, and the verdict when it runs out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use remuda_api::resource::HostState;
use tokio::sync::Notify;

use crate::clock::now_ms;
use crate::fleet::Fleet;
use crate::state::State;
use crate::{reconcile, report};

pub const SUSPECT_AFTER: Duration = Duration::from_secs(2);
pub const DEAD_AFTER: Duration = Duration::from_secs(5);
/// How exactly the two above are kept.
const CHECK_EVERY: Duration = Duration::from_millis(200);

#[derive(Default)]
pub struct Leases {
    hosts: Mutex<HashMap<u32, Lease>>,
}

struct Lease {
    renewed: Instant,
    /// Ends the report stream that renews it.
    restart: Arc<Notify>,
}

impl Leases {
    pub fn renew(&self, node_id: u32) {
        let fresh = || Lease { renewed: Instant::now(), restart: Arc::default() };
        self.hosts().entry(node_id).or_insert_with(fresh).renewed = Instant::now();
    }

    /// A new report stream of this host; resolves when it shall end. An older stream of the host ends now.
    pub fn connect(&self, node_id: u32) -> Arc<Notify> {
        let restart = Arc::new(Notify::new());
        let lease = Lease { renewed: Instant::now(), restart: restart.clone() };
        if let Some(older) = self.hosts().insert(node_id, lease) {
            older.restart.notify_one();
        }
        restart
    }

    /// Ends the host's report stream: the agent dials again and says everything.
    pub fn restart(&self, node_id: u32) {
        if let Some(lease) = self.hosts().get(&node_id) {
            lease.restart.notify_one();
        }
    }

    pub fn forget(&self, node_id: u32) {
        if let Some(lease) = self.hosts().remove(&node_id) {
            lease.restart.notify_one();
        }
    }

    fn hosts(&self) -> std::sync::MutexGuard<'_, HashMap<u32, Lease>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hosts whose state is worse now than the state says.
    fn verdicts(&self, state: &State, now: Instant) -> Vec<(u32, HostState)> {
        let hosts = self.hosts();
        let silence = |node_id: &u32| hosts.get(node_id).map(|lease| now.saturating_duration_since(lease.renewed));
        let judged = state.live.iter().filter_map(|(node_id, live)| Some((*node_id, live.state, silence(node_id)?)));
        judged.filter_map(|(node_id, held, silence)| Some((node_id, worse(held, silence)?))).collect()
    }
}

/// The verdict on a host in state `held` after `silence`, if it is a new one.
pub fn worse(held: HostState, silence: Duration) -> Option<HostState> {
    match held {
        // It has never reported; there is nothing to lose yet.
        HostState::Joining | HostState::Dead | HostState::ControlLost => None,
        HostState::Ready | HostState::Suspect if silence >= DEAD_AFTER => Some(HostState::Dead),
        HostState::Ready if silence >= SUSPECT_AFTER => Some(HostState::Suspect),
        HostState::Ready | HostState::Suspect => None,
    }
}

/// Judges leases and lets deadlines of the state pass, until the fleet is gone.
pub async fn watch(fleet: Weak<Fleet>) {
    let mut clock = tokio::time::interval(CHECK_EVERY);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        clock.tick().await;
        let Some(fleet) = fleet.upgrade() else { return };
        let state = fleet.state();
        let verdicts = fleet.leases.verdicts(&state, Instant::now());
        let is_due = reconcile::next_deadline_ms(&state).is_some_and(|deadline| deadline <= now_ms());
        if verdicts.is_empty() && !is_due {
            continue;
        }
        let outcome = fleet.change(move |state, now_ms| {
            verdicts.iter().for_each(|(node_id, verdict)| report::host_state(state, *node_id, *verdict, now_ms));
            Ok::<(), ()>(())
        });
        if let Err(error) = outcome.await {
            tracing::error!(%error, "a verdict about a host could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_host_is_suspect_after_two_seconds_and_dead_after_five() {
        let after = |ms| worse(HostState::Ready, Duration::from_millis(ms));
        assert_eq!([after(1_999), after(2_000), after(5_000)], [None, Some(HostState::Suspect), Some(HostState::Dead)]);
        assert_eq!(worse(HostState::Suspect, Duration::from_millis(4_999)), None);
        assert_eq!(worse(HostState::Joining, Duration::from_secs(60)), None);
    }
}
