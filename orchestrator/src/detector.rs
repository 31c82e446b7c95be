//! Which hosts live: signs of life and monotonic time in, verdicts and alarms out. Pure, and the only judge.
//!
//! Signs are a host's own reports (the **lease**), and what other hosts heard of it: its agent answered their
//! **gossip**, its kernel answered their **probe**. The newest sign of each kind decides:
//!
//! | newest sign of any kind | newest report | verdict |
//! |---|---|---|
//! | younger than [`SUSPECT_AFTER_MS`] | younger than [`DEAD_AFTER_MS`] | ready |
//! | younger than [`SUSPECT_AFTER_MS`] | older | control-lost: by gossip its agent lives, by probe only its kernel |
//! | younger than [`DEAD_AFTER_MS`] | | suspect |
//! | older | | dead |
//!
//! A dead host is **lost**: what ran there is placed elsewhere; so is one whose agent was silent for the control-lost
//! timeout. The brake holds instead ([`Loss::Held`]) when too many go at once. Only a report ends a loss.
//!
//! Signs only ever speak for a host's life: nobody can talk a host to death, and who vouches for a dead one is named.

mod brake;
mod host;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use remuda_api::link::PeerSeen;
use remuda_api::resource::HostState;

use crate::state::Loss;
use brake::Brake;
use host::Host;
pub use host::{Cause, Signal, Verdict};
pub use words::{AWAITED, alarm, reason};

/// How often [`Detector::tick`] is called: what a verdict may be late by.
pub const TICK_MS: u64 = 100;
/// No sign of any kind for this long. Promised is 2 s after the cut: below it by a tick and the writing of a state.
pub const SUSPECT_AFTER_MS: u64 = 1_800;
/// Promised is 5 s after the cut, which may lie a round trip before the last sign.
pub const DEAD_AFTER_MS: u64 = 4_700;
/// A tick later than this means that we were away, not the hosts: five ticks, more than a busy machine is late by.
const PAUSE_MS: u64 = 500;
/// What hosts have to come back after the server started: two failed attempts to connect, 3 s each, and their waits.
const RESTART_GRACE_MS: u64 = 10_000;
/// How long a host whose agent is silent keeps what runs there, as long as its kernel answers.
pub const CONTROL_LOST_TIMEOUT_MS: u64 = 300_000;

pub struct Detector {
    hosts: BTreeMap<u32, Host>,
    control_lost_timeout_ms: u64,
    ticked_ms: Option<u64>,
    brake: Brake,
}

/// What people must hear of once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// So many hosts are silent that nothing is placed elsewhere.
    Brake { node_ids: Vec<u32> },
    /// Its agent is silent since the control-lost timeout: what ran there is placed elsewhere.
    AgentGone { node_id: u32, silent_ms: u64 },
    /// Its agent lives and does not reach the server since the control-lost timeout; nothing is moved.
    AgentCutOff { node_id: u32, silent_ms: u64 },
}

impl Detector {
    pub fn new(control_lost_timeout_ms: u64) -> Detector {
        Detector { hosts: BTreeMap::new(), control_lost_timeout_ms, ticked_ms: None, brake: Brake::default() }
    }

    /// Begins to judge a host that reported for the first time; nothing happens when it is judged already.
    pub fn add(&mut self, node_id: u32, now_ms: u64) {
        self.hosts.entry(node_id).or_insert_with(|| Host::new(now_ms));
    }

    /// Begins to judge a host known from before this server started: suspect until it reports, dead if it does not
    /// within a grace time.
    pub fn restore(&mut self, node_id: u32, loss: Loss, now_ms: u64) {
        self.hosts.insert(node_id, Host::restored(loss, now_ms + RESTART_GRACE_MS - DEAD_AFTER_MS));
    }

    /// Forgets every other host.
    pub fn retain(&mut self, is_known: impl Fn(u32) -> bool) {
        self.hosts.retain(|node_id, _| is_known(*node_id));
    }

    /// A report of the host arrived. `is_applied`: it has applied an assignment; only then is a lost host back.
    pub fn reported(&mut self, node_id: u32, is_applied: bool, now_ms: u64) {
        if let Some(host) = self.hosts.get_mut(&node_id) {
            host.reported(is_applied, now_ms);
        }
    }

    /// A host's report stream begins.
    pub fn connected(&mut self, node_id: u32) {
        if let Some(host) = self.hosts.get_mut(&node_id) {
            host.connected();
        }
    }

    /// What host `voucher` heard of others since its last report, which arrived now and was made at `made_ms` of its
    /// stream's clock. Strangers do not vouch, nor does anybody for itself; ages beyond belief are as old as they say
    /// and change nothing.
    pub fn vouched(&mut self, voucher: u32, made_ms: Option<u64>, peers: &[PeerSeen], now_ms: u64) {
        let Some(host) = self.hosts.get_mut(&voucher) else { return };
        let made_at_ms = now_ms.saturating_sub(made_ms.map_or(0, |made_ms| host.late_ms(made_ms, now_ms)));
        // Each host is named once at most; a longer list is a flood.
        for peer in peers.iter().take(self.hosts.len()).filter(|peer| peer.node_id != voucher) {
            let Some(host) = self.hosts.get_mut(&peer.node_id) else { continue };
            for (signal, age_ms) in [(Signal::Gossip, peer.gossip_ms), (Signal::Probe, peer.probe_ms)] {
                if let Some(age_ms) = age_ms {
                    host.vouched(signal, voucher, made_at_ms.saturating_sub(age_ms.into()));
                }
            }
        }
    }

    /// Judges every host; [`Detector::verdicts`] shows the outcome. Answers what people must hear of now.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Alarm> {
        self.forgive_pause(now_ms);
        self.hosts.values_mut().for_each(|host| host.judge(now_ms));
        let mut alarms = self.lose(now_ms);
        let timeout_ms = self.control_lost_timeout_ms;
        let cut_off = self.hosts.iter_mut().filter_map(|(id, host)| host.cut_off_alarm(*id, timeout_ms, now_ms));
        alarms.extend(cut_off);
        let reporting: Vec<u32> =
            self.hosts.iter().filter(|(_, host)| host.is_reporting(now_ms)).map(|(id, _)| *id).collect();
        self.hosts.values_mut().for_each(|host| host.conclude(&reporting, now_ms));
        alarms
    }

    /// Every host's verdict as of the last tick, or of a report since.
    pub fn verdicts(&self) -> impl Iterator<Item = (u32, &Verdict)> {
        self.hosts.iter().map(|(node_id, host)| (*node_id, host.verdict()))
    }

    /// Our own absence is nobody's silence: the clock of every host stood still meanwhile.
    fn forgive_pause(&mut self, now_ms: u64) {
        let before = self.ticked_ms.replace(now_ms);
        let gap_ms = before.map_or(0, |before| now_ms.saturating_sub(before));
        if gap_ms > PAUSE_MS {
            self.hosts.values_mut().for_each(|host| host.forgive(gap_ms - TICK_MS, now_ms));
        }
    }

    /// Decides about hosts that would be lost now: placed elsewhere, or held by the brake.
    fn lose(&mut self, now_ms: u64) -> Vec<Alarm> {
        let timeout_ms = self.control_lost_timeout_ms;
        let is_going = |host: &Host| host.is_going(timeout_ms, now_ms);
        let going: Vec<u32> = self.hosts.iter().filter(|(_, host)| is_going(host)).map(|(id, _)| *id).collect();
        if going.is_empty() {
            return Vec::new();
        }
        let mut alarms = Vec::new();
        let pull = self.brake.pull(&self.hosts, timeout_ms, now_ms);
        let loss = if pull.holds { Loss::Held } else { Loss::Lost };
        if let Some(node_ids) = pull.alarm {
            alarms.push(Alarm::Brake { node_ids });
        }
        for node_id in going {
            let Some(host) = self.hosts.get_mut(&node_id) else { continue };
            host.lose(loss, now_ms);
            if loss == Loss::Lost && host.state() == HostState::ControlLost {
                alarms.push(Alarm::AgentGone { node_id, silent_ms: host.agent_silence_ms(now_ms) });
            }
        }
        alarms
    }
}
