//! One host: its newest signs of life, and what they mean at a point in time.

use std::collections::BTreeMap;

use remuda_api::resource::HostState;

use super::brake::WINDOW_MS;
use super::{Alarm, DEAD_AFTER_MS, SUSPECT_AFTER_MS};
use crate::state::Loss;

/// Who heard of a host and when is kept of so many: up to three probe it, gossip comes from anywhere.
const WITNESSES_MAX: usize = 16;
/// A witness that heard of it in this time is named when it no longer does.
const WITNESS_MEMORY_MS: u64 = 60_000;

/// What is known of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub state: HostState,
    pub loss: Loss,
    pub cause: Cause,
    /// Since its last report, when the verdict was found.
    pub lease_age_ms: u64,
    /// Control-lost: who hears its agent or kernel. Suspect, dead: who did, and no longer does.
    pub witnesses: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It reports.
    Reports,
    /// It has not been heard since this server started.
    Awaited,
    /// It reports again, and has not applied an assignment yet.
    Returning,
    /// No sign of any kind.
    Silent,
    /// No report; its agent answers gossip.
    AgentCutOff,
    /// No report, no gossip; its kernel answers probes.
    AgentGone,
}

/// A sign of life that another host speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    Gossip,
    Probe,
}

pub(super) struct Host {
    /// May lie ahead: then the host has until then, and as long as any, to report first.
    lease_ms: u64,
    gossip_ms: Option<u64>,
    probe_ms: Option<u64>,
    /// It has reported since this server started.
    is_heard: bool,
    /// Nothing stands between it and being ready but a fresh report.
    is_back: bool,
    loss: Loss,
    /// None while it is not lost, and for a loss of long ago.
    lost_ms: Option<u64>,
    is_alarmed: bool,
    clock: Clock,
    witnesses: BTreeMap<(Signal, u32), u64>,
    state: HostState,
    cause: Cause,
    verdict: Verdict,
}

/// A host's clock against ours: the smallest difference seen is taken for the fastest way.
#[derive(Default)]
struct Clock {
    /// The difference, and when it was last looked at.
    fastest: Option<(u64, u64)>,
}

impl Clock {
    fn late_ms(&mut self, made_ms: u64, now_ms: u64) -> u64 {
        let difference_ms = now_ms.saturating_sub(made_ms);
        // Clocks drift, and ways get longer for good: a thousandth of the time is forgiven.
        let known_ms = self.fastest.map_or(difference_ms, |(ms, at_ms)| ms + now_ms.saturating_sub(at_ms) / 1000);
        self.fastest = Some((difference_ms.min(known_ms), now_ms));
        difference_ms.saturating_sub(known_ms)
    }
}

impl Host {
    pub(super) fn new(now_ms: u64) -> Host {
        Host { is_heard: true, is_back: true, ..Host::known(Loss::None, now_ms, HostState::Ready, Cause::Reports) }
    }

    pub(super) fn restored(loss: Loss, lease_ms: u64) -> Host {
        Host::known(loss, lease_ms, HostState::Suspect, Cause::Awaited)
    }

    fn known(loss: Loss, lease_ms: u64, state: HostState, cause: Cause) -> Host {
        Host {
            lease_ms,
            gossip_ms: None,
            probe_ms: None,
            is_heard: false,
            is_back: false,
            loss,
            lost_ms: None,
            is_alarmed: false,
            clock: Clock::default(),
            witnesses: BTreeMap::new(),
            state,
            cause,
            verdict: Verdict { state, loss, cause, lease_age_ms: 0, witnesses: Vec::new() },
        }
    }

    pub(super) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    pub(super) fn state(&self) -> HostState {
        self.state
    }

    pub(super) fn reported(&mut self, is_applied: bool, now_ms: u64) {
        (self.lease_ms, self.is_heard, self.is_alarmed) = (now_ms, true, false);
        if !is_applied {
            return;
        }
        (self.is_back, self.loss, self.lost_ms) = (true, Loss::None, None);
        // At once: a verdict from before must not be written after what this report brings.
        if self.verdict.state != HostState::Ready {
            self.judge(now_ms);
            self.conclude(&[], now_ms);
        }
    }

    /// A new report stream begins, with a clock of its own.
    pub(super) fn connected(&mut self) {
        self.clock = Clock::default();
    }

    /// By how much a report of this host was later than its fastest ones.
    pub(super) fn late_ms(&mut self, made_ms: u64, now_ms: u64) -> u64 {
        self.clock.late_ms(made_ms, now_ms)
    }

    pub(super) fn vouched(&mut self, signal: Signal, voucher: u32, at_ms: u64) {
        let newest = match signal {
            Signal::Gossip => &mut self.gossip_ms,
            Signal::Probe => &mut self.probe_ms,
        };
        *newest = (*newest).max(Some(at_ms));
        let seen = self.witnesses.entry((signal, voucher)).or_insert(at_ms);
        *seen = at_ms.max(*seen);
        if self.witnesses.len() > WITNESSES_MAX {
            let oldest = self.witnesses.iter().min_by_key(|(_, at_ms)| **at_ms).map(|(key, _)| *key);
            oldest.map(|key| self.witnesses.remove(&key));
        }
    }

    /// Finds state and cause.
    pub(super) fn judge(&mut self, now_ms: u64) {
        let silence_ms = self.silence_ms(now_ms);
        let is_fresh = |at_ms: u64| now_ms.saturating_sub(at_ms) < DEAD_AFTER_MS;
        (self.state, self.cause) = match () {
            () if silence_ms >= DEAD_AFTER_MS => (HostState::Dead, Cause::Silent),
            () if silence_ms >= SUSPECT_AFTER_MS => (HostState::Suspect, Cause::Silent),
            () if !is_fresh(self.lease_ms) && self.gossip_ms.is_some_and(is_fresh) => {
                (HostState::ControlLost, Cause::AgentCutOff)
            }
            () if !is_fresh(self.lease_ms) => (HostState::ControlLost, Cause::AgentGone),
            () if !self.is_heard => (HostState::Suspect, Cause::Awaited),
            () if !self.is_back => (HostState::Suspect, Cause::Returning),
            () => (HostState::Ready, Cause::Reports),
        };
    }

    /// Makes the verdict of what was judged, if that is another one; `reporting` are hosts that may be named.
    pub(super) fn conclude(&mut self, reporting: &[u32], now_ms: u64) {
        let held = (self.verdict.state, self.verdict.loss, self.verdict.cause);
        if held == (self.state, self.loss, self.cause) {
            return;
        }
        self.verdict = Verdict {
            state: self.state,
            loss: self.loss,
            cause: self.cause,
            lease_age_ms: now_ms.saturating_sub(self.lease_ms),
            witnesses: self.witnesses(reporting, now_ms),
        };
    }

    fn witnesses(&self, reporting: &[u32], now_ms: u64) -> Vec<u32> {
        let (signal, memory_ms) = match self.cause {
            Cause::AgentCutOff => (Signal::Gossip, DEAD_AFTER_MS),
            Cause::AgentGone => (Signal::Probe, DEAD_AFTER_MS),
            Cause::Silent => (Signal::Probe, WITNESS_MEMORY_MS),
            Cause::Reports | Cause::Awaited | Cause::Returning => return Vec::new(),
        };
        let seen =
            self.witnesses.iter().filter(|((kind, _), at)| *kind == signal && now_ms.saturating_sub(**at) < memory_ms);
        seen.map(|((_, voucher), _)| *voucher).filter(|voucher| reporting.contains(voucher)).collect()
    }

    pub(super) fn silence_ms(&self, now_ms: u64) -> u64 {
        let newest_ms = self.lease_ms.max(self.gossip_ms.unwrap_or(0)).max(self.probe_ms.unwrap_or(0));
        now_ms.saturating_sub(newest_ms)
    }

    pub(super) fn agent_silence_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.lease_ms.max(self.gossip_ms.unwrap_or(0)))
    }

    pub(super) fn is_reporting(&self, now_ms: u64) -> bool {
        self.is_heard && now_ms.saturating_sub(self.lease_ms) < SUSPECT_AFTER_MS
    }

    /// It would be lost now.
    pub(super) fn is_going(&self, timeout_ms: u64, now_ms: u64) -> bool {
        let is_given_up = self.cause == Cause::AgentGone && self.agent_silence_ms(now_ms) >= timeout_ms;
        self.loss == Loss::None && (self.state == HostState::Dead || is_given_up)
    }

    /// It counts among those lost in the brake's window: lost in it, or on the way.
    pub(super) fn has_fallen(&self, timeout_ms: u64, now_ms: u64) -> bool {
        let is_silent = self.silence_ms(now_ms) >= SUSPECT_AFTER_MS;
        let is_given_up_soon =
            self.cause == Cause::AgentGone && self.agent_silence_ms(now_ms) + WINDOW_MS >= timeout_ms;
        self.is_recent(now_ms) && (self.loss != Loss::None || is_silent || is_given_up_soon)
    }

    /// It is not one of those lost before the brake's window.
    pub(super) fn is_recent(&self, now_ms: u64) -> bool {
        let in_window = |lost_ms: u64| now_ms.saturating_sub(lost_ms) <= WINDOW_MS;
        self.loss == Loss::None || self.lost_ms.is_some_and(in_window)
    }

    pub(super) fn lose(&mut self, loss: Loss, now_ms: u64) {
        (self.loss, self.lost_ms, self.is_back) = (loss, Some(now_ms), false);
    }

    pub(super) fn cut_off_alarm(&mut self, node_id: u32, timeout_ms: u64, now_ms: u64) -> Option<Alarm> {
        let silent_ms = now_ms.saturating_sub(self.lease_ms);
        if self.is_alarmed || self.cause != Cause::AgentCutOff || silent_ms < timeout_ms {
            return None;
        }
        self.is_alarmed = true;
        Some(Alarm::AgentCutOff { node_id, silent_ms })
    }

    /// We were away for `gap_ms`: what was heard before is younger by that. After an absence that would have made
    /// anybody suspect, connections are gone too: who was ready starts afresh, who was suspect is so for as long again.
    pub(super) fn forgive(&mut self, gap_ms: u64, now_ms: u64) {
        let signs = [Some(&mut self.lease_ms), self.gossip_ms.as_mut(), self.probe_ms.as_mut()];
        signs.into_iter().flatten().for_each(|at_ms| *at_ms = now_ms.min(*at_ms + gap_ms).max(*at_ms));
        let silence_max_ms = match self.state {
            HostState::Ready | HostState::ControlLost | HostState::Joining => 0,
            HostState::Suspect => SUSPECT_AFTER_MS,
            HostState::Dead => return,
        };
        if gap_ms >= SUSPECT_AFTER_MS {
            self.freshen(now_ms.saturating_sub(silence_max_ms));
        }
    }

    /// Makes its newest sign at least as new as this.
    fn freshen(&mut self, at_ms: u64) {
        let others_ms = self.gossip_ms.max(self.probe_ms);
        if self.state == HostState::Ready || others_ms <= Some(self.lease_ms) {
            self.lease_ms = self.lease_ms.max(at_ms);
        } else if self.probe_ms == others_ms {
            self.probe_ms = others_ms.max(Some(at_ms));
        } else {
            self.gossip_ms = others_ms.max(Some(at_ms));
        }
    }
}
