//! What must hold, whatever goes wrong; and what is really so, known from the faults alone.

use std::collections::BTreeMap;

use remuda_api::resource::HostState;

use super::fault::{Fault, Faults};
use super::world::WITNESSES;
use crate::detector::{Alarm, Cause, DEAD_AFTER_MS, Detector, TICK_MS, Verdict};
use crate::state::Loss;

/// What is promised, from the last contact.
const DEAD_WITHIN_MS: u64 = 5_000;
const SUSPECT_WITHIN_MS: u64 = 2_000;
/// After a fault on its way, a report stream is back within this: retransmissions up to the agent's patience of
/// 4 s, and two attempts to connect.
const STREAM_BACK_MS: u64 = 12_000;
/// An answer on its way, and a paused asker.
const ANSWER_MS: u64 = 2_500;
/// Whose reports come with gaps longer than this is no witness: the server hears too little of it.
const REPORT_GAP_MS: u64 = 3_000;
const BRAKE_WINDOW_MS: u64 = 60_000;
/// Hosts gone within this of each other are judged together.
const TOGETHER_MS: u64 = 2_500;

pub struct Judge {
    hosts: usize,
    timeout_ms: u64,
    before: BTreeMap<usize, Verdict>,
    /// When each host was last not ready.
    unwell_ms: BTreeMap<usize, u64>,
    /// Since when each is not ready.
    unwell_since_ms: BTreeMap<usize, u64>,
    /// When each host last gave the answer that the server has heard of, or reported.
    contact_ms: BTreeMap<usize, u64>,
    /// When the server read each host's reports.
    reports_ms: Vec<Vec<u64>>,
    pauses: Vec<(u64, u64)>,
    brake_ms: Option<u64>,
    events: Vec<String>,
    /// From the last contact to the verdict, of hosts that really went, without pauses and slow ways.
    pub deaths_ms: Vec<u64>,
}

impl Judge {
    pub fn new(hosts: usize, timeout_ms: u64) -> Judge {
        Judge {
            hosts,
            timeout_ms,
            before: BTreeMap::new(),
            unwell_ms: BTreeMap::new(),
            unwell_since_ms: BTreeMap::new(),
            contact_ms: BTreeMap::new(),
            reports_ms: vec![Vec::new(); hosts],
            pauses: Vec::new(),
            brake_ms: None,
            events: Vec::new(),
            deaths_ms: Vec::new(),
        }
    }

    pub fn reported(&mut self, host: usize, now_ms: u64) {
        self.reports_ms[host].push(now_ms);
        self.vouched(host, now_ms);
    }

    pub fn vouched(&mut self, host: usize, given_ms: u64) {
        let contact_ms = self.contact_ms.entry(host).or_default();
        *contact_ms = given_ms.max(*contact_ms);
    }

    pub fn server_paused(&mut self, from_ms: u64, until_ms: u64) {
        self.pauses.push((from_ms, until_ms));
    }

    pub fn story(&self) -> String {
        format!("control-lost timeout {} ms\n{}\n", self.timeout_ms, self.events.join("\n"))
    }

    /// After each tick.
    pub fn check(&mut self, now_ms: u64, detector: &Detector, alarms: &[Alarm], faults: &Faults) -> Result<(), String> {
        let verdicts: BTreeMap<usize, Verdict> =
            detector.verdicts().map(|(node_id, verdict)| (node_id as usize - 1, verdict.clone())).collect();
        for (host, verdict) in &verdicts {
            if verdict.state == HostState::Ready {
                self.unwell_since_ms.remove(host);
            } else {
                self.unwell_since_ms.entry(*host).or_insert(now_ms);
                self.unwell_ms.insert(*host, now_ms);
            }
        }
        self.alarms(now_ms, alarms)?;
        for (host, verdict) in &verdicts {
            self.consistent(*host, verdict)
                .map_err(|wrong| format!("{now_ms} ms, host {host}: {wrong}: {verdict:?}"))?;
            self.changed(now_ms, *host, verdict, faults)
                .and_then(|()| self.missed(now_ms, *host, verdict, faults))
                .map_err(|wrong| format!("{now_ms} ms, host {host}: {wrong}: {verdict:?}"))?;
        }
        self.together(now_ms, &verdicts, faults)?;
        self.before = verdicts;
        Ok(())
    }

    fn consistent(&self, host: usize, verdict: &Verdict) -> Result<(), &'static str> {
        let before = self.before.get(&host).map_or(Loss::None, |before| before.loss);
        match (verdict.state, verdict.loss) {
            (HostState::Ready, Loss::Held | Loss::Lost) => Err("ready and lost"),
            (HostState::Dead, Loss::None) => Err("dead and not lost"),
            (_, Loss::Lost) if before == Loss::Held => Err("moved although it was held"),
            (_, Loss::Held) if before == Loss::Lost => Err("held although it was moved"),
            (HostState::Joining, _) => Err("joining again"),
            _ => Ok(()),
        }
    }

    /// A verdict that is new must be right.
    fn changed(&mut self, now_ms: u64, host: usize, verdict: &Verdict, faults: &Faults) -> Result<(), &'static str> {
        let before = self.before.get(&host).cloned();
        if before.as_ref() == Some(verdict) {
            return Ok(());
        }
        self.events.push(format!("{now_ms} host {host}: {verdict:?}"));
        let was = |test: &dyn Fn(&Verdict) -> bool| before.as_ref().is_some_and(test);
        if verdict.state == HostState::Dead && !was(&|v| v.state == HostState::Dead) {
            self.died(now_ms, host, faults)?;
        }
        if verdict.loss != Loss::None && verdict.state == HostState::ControlLost && was(&|v| v.loss == Loss::None) {
            self.given_up(now_ms, host, verdict, faults)?;
        }
        if verdict.loss == Loss::Held && !was(&|v| v.loss == Loss::Held) && !self.may_brake(now_ms) {
            return Err("held without need");
        }
        Ok(())
    }

    fn died(&mut self, now_ms: u64, host: usize, faults: &Faults) -> Result<(), &'static str> {
        if let Some(since_ms) = faults.gone_since(host, now_ms) {
            let contact_ms = self.contact_ms(host).max(since_ms);
            let is_plain = self.pauses.is_empty() && faults.slowest_ms(0, now_ms) == 0;
            if is_plain {
                self.deaths_ms.push(now_ms - contact_ms);
            }
            return Ok(());
        }
        let from_ms = now_ms.saturating_sub(DEAD_AFTER_MS);
        let has_reporter = self.witnesses(host).any(|witness| self.could_vouch(witness, host, from_ms, now_ms, faults));
        if faults.machine_is_up(host, from_ms, now_ms) && has_reporter { Err("false death") } else { Ok(()) }
    }

    /// Those whose word keeps it alive: itself, and the hosts that probe it.
    fn witnesses(&self, host: usize) -> impl Iterator<Item = usize> {
        let hosts = self.hosts;
        (0..=WITNESSES.min(hosts - 1)).map(move |back| (host + hosts - back) % hosts)
    }

    fn could_vouch(&self, witness: usize, host: usize, from_ms: u64, now_ms: u64, faults: &Faults) -> bool {
        let long_before_ms = from_ms.saturating_sub(STREAM_BACK_MS);
        let reads = self.reports_ms[witness].iter().copied().filter(|ms| *ms > from_ms).chain([now_ms]);
        let longest_gap_ms = reads.scan(from_ms, |last, ms| Some(ms - std::mem::replace(last, ms))).max();
        longest_gap_ms <= Some(REPORT_GAP_MS)
            && faults.agent_is_up(witness, long_before_ms, now_ms)
            && faults.is_two_way(witness, 0, long_before_ms, now_ms)
            && faults.is_two_way(witness, host, from_ms.saturating_sub(ANSWER_MS), now_ms)
    }

    fn given_up(&self, now_ms: u64, host: usize, verdict: &Verdict, faults: &Faults) -> Result<(), &'static str> {
        let from_ms = now_ms.saturating_sub(self.timeout_ms);
        let has_agent = faults.is_free_of(
            from_ms,
            now_ms,
            |fault| matches!(fault, Fault::AgentKilled { host: killed } if *killed == host),
        );
        if verdict.cause == Cause::AgentGone && !has_agent { Ok(()) } else { Err("given up with a living agent") }
    }

    /// What is so for long enough must be seen.
    fn missed(&self, now_ms: u64, host: usize, verdict: &Verdict, faults: &Faults) -> Result<(), &'static str> {
        if let Some(since_ms) = faults.gone_since(host, now_ms) {
            let patience_ms =
                now_ms.saturating_sub(self.excused_until_ms(self.contact_ms(host).max(since_ms), now_ms, faults));
            match verdict.state {
                HostState::Dead => {}
                _ if patience_ms > DEAD_WITHIN_MS => return Err("missed death"),
                HostState::Ready if patience_ms > SUSPECT_WITHIN_MS => return Err("ready although it is gone"),
                _ => {}
            }
        }
        let reported_ms = self.reports_ms[host].last().copied().unwrap_or(0);
        if let Some(since_ms) = faults.agent_down_since(host, now_ms)
            && verdict.state == HostState::Ready
            && now_ms > self.excused_until_ms(reported_ms.max(since_ms), now_ms, faults) + DEAD_WITHIN_MS
        {
            return Err("ready without an agent");
        }
        Ok(())
    }

    /// When the server last heard of it, by the time the host said so: it may have answered others that were cut off
    /// with it, and told later.
    fn contact_ms(&self, host: usize) -> u64 {
        self.contact_ms.get(&host).copied().unwrap_or(0)
    }

    /// From when on the promised times count for what is so since then: slow ways have their time, the server's pauses
    /// and one tick.
    fn excused_until_ms(&self, since_ms: u64, now_ms: u64, faults: &Faults) -> u64 {
        let slow_ms = faults.slowest_ms(since_ms.saturating_sub(STREAM_BACK_MS), now_ms);
        let pauses = self.pauses.iter().filter(|(from_ms, until_ms)| *until_ms > since_ms && *from_ms <= now_ms);
        let (mut since_ms, mut credit_ms) = (since_ms, 0);
        for (from_ms, until_ms) in pauses {
            if until_ms - from_ms >= 1_500 {
                (since_ms, credit_ms) = (*until_ms, 0);
            } else {
                credit_ms += until_ms - from_ms + TICK_MS;
            }
        }
        since_ms + credit_ms + slow_ms + TICK_MS
    }

    /// At least three hosts and more than half of those not lost long ago are not well.
    fn may_brake(&self, now_ms: u64) -> bool {
        let unwell = self.unwell_ms.values().filter(|at_ms| now_ms - **at_ms <= BRAKE_WINDOW_MS).count();
        // Nothing is long ago in a run shorter than the window.
        unwell >= 3 && unwell * 2 > self.hosts
    }

    fn alarms(&mut self, now_ms: u64, alarms: &[Alarm]) -> Result<(), String> {
        for alarm in alarms {
            self.events.push(format!("{now_ms} {alarm:?}"));
            if let Alarm::Brake { .. } = alarm {
                let is_second = self.brake_ms.replace(now_ms).is_some_and(|before| now_ms - before < BRAKE_WINDOW_MS);
                if is_second || !self.may_brake(now_ms) {
                    return Err(format!("{now_ms} ms: a brake alarm too many"));
                }
            }
        }
        Ok(())
    }

    /// Of hosts that went together, more than half and three of them, none is moved.
    fn together(&self, now_ms: u64, verdicts: &BTreeMap<usize, Verdict>, faults: &Faults) -> Result<(), String> {
        // It may not have been heard since an earlier fault.
        let went_ms = |host: usize| Some(faults.gone_since(host, now_ms)?.min(self.contact_ms(host)));
        let gone: Vec<(usize, u64)> = (0..self.hosts).filter_map(|host| Some((host, went_ms(host)?))).collect();
        for (_, first_ms) in &gone {
            let together: Vec<usize> = gone
                .iter()
                .filter(|(_, ms)| (*first_ms..first_ms + TOGETHER_MS).contains(ms))
                .map(|(host, _)| *host)
                .collect();
            let is_moved = |host: &usize| verdicts[host].loss == Loss::Lost;
            let was_well = |host: &usize| self.unwell_since_ms.get(host).is_none_or(|ms| ms >= first_ms);
            if together.len() >= 3
                && together.len() * 2 > self.hosts
                && together.iter().all(was_well)
                && let Some(moved) = together.iter().find(|host| is_moved(host))
            {
                return Err(format!("{now_ms} ms: host {moved} is moved although {together:?} went together"));
            }
        }
        Ok(())
    }
}
