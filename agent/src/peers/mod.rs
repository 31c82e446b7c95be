//! What this host sees of the others, told in each report; what follows from it the orchestrator alone decides.
//!
//! Reading order: [`roster`] (who the peers are), [`seal`] (one datagram), [`window`] (each counter once), [`talks`]
//! (who is believed, what proves a round trip), [`swim`] (whom to ping when), all pure; [`gossip`] does it over UDP
//! 8445; [`probe`] asks the host endpoints of the next three hosts through the overlay, which their kernel answers
//! without their agent.

pub mod gossip;
pub mod probe;
pub mod roster;
pub mod seal;
pub mod swim;
pub mod talks;
pub mod window;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use remuda_api::link::PeerSeen;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::agent::Agent;
use roster::Roster;
use seal::Refusal;

/// After so long without a word from anyone, this host was probably cut off: when a peer is heard again, the way to
/// the orchestrator is tried at once. Longer than a lost ping, shorter than what makes a host suspect.
const SILENCE: Duration = Duration::from_millis(1500);

/// The roster of the moment; None before the first assignment.
pub type Rosters = watch::Receiver<Option<Arc<Roster>>>;

/// What was seen of the peers, and what was counted. Clones share it.
#[derive(Clone, Default)]
pub struct Peers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    counts: Counts,
    /// Everyone who waits to try again is woken when the first peer is heard after silence.
    is_back: Arc<Notify>,
}

#[derive(Default)]
struct Seen {
    gossip: BTreeMap<u16, Sign>,
    probe: BTreeMap<u16, Sign>,
    last_word: Option<Instant>,
}

/// The newest proof of one kind that a peer lives.
struct Sign {
    lived_after: Instant,
    is_told: bool,
}

/// Monotonic since the agent's start.
#[derive(Default)]
pub struct Counts {
    pub sent: AtomicU64,
    pub received: AtomicU64,
    dropped: [AtomicU64; Refusal::ALL.len()],
    pub probes_sent: AtomicU64,
    pub probes_answered: AtomicU64,
}

impl Peers {
    /// `is_back` wakes those who wait to reach the orchestrator.
    pub fn new(is_back: Arc<Notify>) -> Peers {
        Peers(Arc::new(Shared { is_back, ..Shared::default() }))
    }

    /// Who proved to live since this was last asked, and how long ago.
    pub fn take_seen(&self) -> Vec<PeerSeen> {
        let mut seen = self.seen();
        let news = seen.ages(|sign| !sign.is_told);
        let Seen { gossip, probe, .. } = &mut *seen;
        gossip.values_mut().chain(probe.values_mut()).for_each(|sign| sign.is_told = true);
        news
    }

    /// Who ever proved to live, and how long ago.
    pub fn ages(&self) -> Vec<PeerSeen> {
        self.seen().ages(|_| true)
    }

    /// Forgets whoever is not on the roster any more.
    fn keep(&self, roster: &Roster) {
        let mut seen = self.seen();
        seen.gossip.retain(|node_id, _| roster.peers.contains_key(node_id));
        seen.probe.retain(|node_id, _| roster.peers.contains_key(node_id));
    }

    /// When any peer's agent was last proved to live.
    pub fn last_word(&self) -> Option<Instant> {
        self.seen().last_word
    }

    /// The peer's agent lived after this time.
    fn heard(&self, node_id: u16, lived_after: Instant) {
        let mut seen = self.seen();
        put(&mut seen.gossip, node_id, lived_after);
        let last = seen.last_word;
        seen.last_word = last.max(Some(lived_after));
        if last.is_none_or(|last| lived_after.saturating_duration_since(last) >= SILENCE) {
            self.0.is_back.notify_waiters();
        }
    }

    /// The peer's host endpoint answered a probe sent at this time.
    fn answered(&self, node_id: u16, lived_after: Instant) {
        put(&mut self.seen().probe, node_id, lived_after);
    }

    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn ages(&self, is_wanted: impl Fn(&Sign) -> bool) -> Vec<PeerSeen> {
        let now = Instant::now();
        let age_ms = |sign: &Sign| {
            let age = now.saturating_duration_since(sign.lived_after);
            is_wanted(sign).then(|| u32::try_from(age.as_millis()).unwrap_or(u32::MAX))
        };
        let mut peers: BTreeMap<u16, PeerSeen> = BTreeMap::new();
        for (node_id, sign) in &self.gossip {
            peers.entry(*node_id).or_default().gossip_ms = age_ms(sign);
        }
        for (node_id, sign) in &self.probe {
            peers.entry(*node_id).or_default().probe_ms = age_ms(sign);
        }
        let all = peers.into_iter().map(|(node_id, seen)| PeerSeen { node_id: node_id.into(), ..seen });
        all.filter(|seen| seen.gossip_ms.or(seen.probe_ms).is_some()).collect()
    }
}

/// Answers may overtake each other, and one may prove no more than the one before.
fn put(signs: &mut BTreeMap<u16, Sign>, node_id: u16, lived_after: Instant) {
    if signs.get(&node_id).is_none_or(|sign| sign.lived_after < lived_after) {
        signs.insert(node_id, Sign { lived_after, is_told: false });
    }
}

impl Counts {
    fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn dropped(&self, refusal: Refusal) {
        Counts::add(&self.dropped[refusal as usize]);
    }

    /// Dropped datagrams by reason, all reasons there are.
    pub fn drops(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().map(|refusal| (refusal, self.dropped[refusal as usize].load(Ordering::Relaxed)))
    }
}

/// Starts gossip and probes; they follow the assignment.
pub(crate) fn spawn(tasks: &mut JoinSet<()>, agent: &Agent) {
    let (send, rosters) = watch::channel(None);
    tasks.spawn(follow(agent.clone(), send));
    tasks.spawn(gossip::run(rosters.clone(), agent.peers.clone(), agent.parts.problems.clone()));
    tasks.spawn(probe::run(rosters, agent.peers.clone(), agent.parts.problems.clone()));
}

/// Most assignments change containers; the roster is told only when hosts changed.
async fn follow(mut agent: Agent, rosters: watch::Sender<Option<Arc<Roster>>>) {
    let mut last = None;
    loop {
        let assignment = agent.shown.borrow_and_update().assignment.clone();
        let is_same = match (&assignment, &last) {
            (Some(assignment), Some(last)) => Arc::ptr_eq(assignment, last),
            (assignment, _) => assignment.is_none(),
        };
        if !is_same {
            let roster = assignment.as_deref().and_then(Roster::of);
            roster.iter().for_each(|roster| agent.peers.keep(roster));
            rosters.send_if_modified(|held| {
                let is_news = held.as_deref() != roster.as_ref();
                if is_news {
                    *held = roster.map(Arc::new);
                }
                is_news
            });
            last = assignment;
        }
        if agent.shown.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_told_once_with_its_age() {
        let peers = Peers::default();
        let now = Instant::now();
        peers.heard(2, now - Duration::from_millis(400));
        peers.heard(2, now - Duration::from_millis(900));
        peers.answered(2, now);
        peers.answered(3, now);
        let seen = peers.take_seen();
        assert!((400..500).contains(&seen[0].gossip_ms.expect("heard")), "{seen:?}");
        assert_eq!(
            seen.iter().map(|seen| (seen.node_id, seen.gossip_ms.is_some())).collect::<Vec<_>>(),
            [(2, true), (3, false)]
        );
        assert!(seen.iter().all(|seen| seen.probe_ms.is_some()));
        assert!(peers.take_seen().is_empty());
        peers.heard(3, now);
        peers.heard(2, now - Duration::from_millis(400));
        let news: Vec<_> = peers.take_seen().iter().map(|seen| (seen.node_id, seen.probe_ms.is_some())).collect();
        assert_eq!(news, [(3, false)], "an echo of the same datagram is no news");
        assert_eq!(peers.ages().len(), 2, "operators see what was told too");
    }

    #[tokio::test]
    async fn the_first_word_after_silence_wakes_whoever_waits_and_the_next_ones_do_not() {
        let is_back = Arc::new(Notify::new());
        let peers = Peers::new(is_back.clone());
        let begin = Instant::now();
        let woken_by = async |after_ms| {
            let woken = is_back.notified();
            tokio::pin!(woken);
            woken.as_mut().enable();
            peers.heard(2, begin + Duration::from_millis(after_ms));
            futures::poll!(woken).is_ready()
        };
        assert!(woken_by(0).await);
        assert!(!woken_by(500).await);
        assert!(!woken_by(1900).await);
        assert!(woken_by(3500).await);
    }

    #[test]
    fn every_reason_has_a_counter_and_a_name_of_its_own() {
        let counts = Counts::default();
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index);
            counts.dropped(refusal);
        }
        assert!(counts.drops().all(|(_, count)| count == 1));
        let names: std::collections::BTreeSet<_> = Refusal::ALL.map(Refusal::name).into();
        assert_eq!(names.len(), Refusal::ALL.len());
    }
}
