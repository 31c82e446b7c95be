//! Agents, kernels and the server, and what they send each other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use remuda_api::link::PeerSeen;

use super::REPORT_MS;
use super::event::Event::{self, *};
use super::fault::Faults;
use super::judge::Judge;
use super::random::Random;
use super::stream::Stream;
use crate::detector::{Detector, TICK_MS};

/// A new connection that gets no answer is tried again by the kernel, and given up by the agent.
const SYN_AGAIN_MS: u64 = 1_000;
const CONNECT_TIMEOUT_MS: u64 = 3_000;
/// The agent's wait between attempts, at most.
const PATIENCE_MS: u64 = 1_000;
/// Hosts that each host probes: those after it.
pub const WITNESSES: usize = 3;

pub struct World {
    pub judge: Judge,
    /// The detector is told of reports only.
    pub is_deaf: bool,
    pub faults: Faults,
    pub detector: Detector,
    random: Random,
    hosts: Vec<Agent>,
    reports: Vec<Report>,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    queued: u64,
    now_ms: u64,
    is_told: bool,
    told: Vec<String>,
}

#[derive(Default)]
struct Agent {
    stream: Stream,
    /// Of each host, its last answers by gossip and by probe; what the last report did not say yet.
    heard: BTreeMap<usize, [Option<Heard>; 2]>,
    began_ms: u64,
    is_down: bool,
    is_applied: bool,
}

/// An answer: when it was given, and when it was heard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Heard {
    given_ms: u64,
    heard_ms: u64,
}

struct Report {
    made_ms: u64,
    is_applied: bool,
    peers: Vec<PeerSeen>,
    /// The truth about them.
    heard: Vec<(usize, Heard)>,
}

impl World {
    pub fn new(mut random: Random, is_told: bool) -> World {
        let count = random.range(3, 12) as usize;
        let timeout_ms = if random.range(0, 1) == 0 { 20_000 } else { 300_000 };
        let mut world = World {
            judge: Judge::new(count, timeout_ms),
            is_deaf: false,
            faults: Faults::draw(&mut random, count),
            detector: Detector::new(timeout_ms),
            random,
            hosts: (0..count).map(|_| Agent { is_applied: true, ..Agent::default() }).collect(),
            reports: Vec::new(),
            queue: BinaryHeap::new(),
            queued: 0,
            now_ms: 0,
            is_told,
            told: Vec::new(),
        };
        world.at(TICK_MS, Tick);
        for host in 0..count {
            world.detector.add(host as u32 + 1, 0);
            world.at(0, Connected { host, connection: 0 });
            let phase_ms = world.random.range(0, REPORT_MS);
            world.at(phase_ms, Beat { host });
        }
        world
    }

    /// Ends early with what must not be.
    pub fn run(&mut self, end_ms: u64) -> Result<(), String> {
        while let Some(Reverse((at_ms, _, event))) = self.queue.pop()
            && at_ms < end_ms
        {
            self.now_ms = at_ms;
            match event {
                Tick => self.tick()?,
                event => self.handle(event),
            }
        }
        Ok(())
    }

    /// Faults, and what the detector said.
    pub fn story(&self) -> String {
        let faults = self
            .faults
            .all()
            .iter()
            .map(|timed| format!("{} to {} ms: {:?}\n", timed.from_ms, timed.until_ms, timed.fault));
        let hosts = format!("{} hosts, numbered from 0\n", self.hosts.len());
        hosts + &faults.collect::<String>() + &self.judge.story() + &self.told.join("\n")
    }

    fn tick(&mut self) -> Result<(), String> {
        if let Some(until_ms) = self.faults.server_paused_until(self.now_ms) {
            self.judge.server_paused(self.now_ms, until_ms);
            self.at(until_ms, Tick);
            return Ok(());
        }
        self.at(self.now_ms + TICK_MS, Tick);
        let alarms = self.detector.tick(self.now_ms);
        self.judge.check(self.now_ms, &self.detector, &alarms, &self.faults)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Tick => {}
            Beat { host } => self.beat(host),
            Question { by, of, is_probe } => self.question(by, of, is_probe),
            Answer { by, of, is_probe, given_ms } => self.answer(by, of, is_probe, given_ms),
            Connect { host, connection, is_second_try } if self.is_current(host, connection) => {
                self.connect(host, is_second_try);
            }
            Connected { host, connection } if self.is_current(host, connection) => {
                self.hosts[host].stream.connect(self.now_ms);
                self.hosts[host].began_ms = self.now_ms;
                self.detector.connected(host as u32 + 1);
                self.report(host);
            }
            Segment { host, connection, sequence } if self.is_current(host, connection) => self.segment(host, sequence),
            Read { host, report } => self.read(host, report),
            Acknowledged { host, connection, up_to, is_read } if self.is_current(host, connection) => {
                self.acknowledged(host, up_to, is_read);
            }
            Timer { host, connection, timer } if self.is_current(host, connection) => self.timer(host, timer),
            Connect { .. } | Connected { .. } | Segment { .. } | Acknowledged { .. } | Timer { .. } => {}
        }
    }

    fn beat(&mut self, host: usize) {
        if let Some(until_ms) = self.faults.agent_down_until(host, self.now_ms) {
            let agent = &mut self.hosts[host];
            agent.stream.disconnect();
            (agent.is_down, agent.is_applied) = (true, false);
            agent.heard.clear();
            return self.at(until_ms, Beat { host });
        }
        if let Some(until_ms) = self.faults.agent_paused_until(host, self.now_ms) {
            return self.at(until_ms, Beat { host });
        }
        self.at(self.now_ms + REPORT_MS, Beat { host });
        if std::mem::take(&mut self.hosts[host].is_down) {
            self.dial(host, self.now_ms);
        }
        if self.hosts[host].stream.is_given_up(self.now_ms) {
            self.hosts[host].stream.disconnect();
            self.dial_again(host, self.now_ms);
        }
        self.report(host);
        self.hosts[host].is_applied = true;
        self.ask(host);
    }

    fn ask(&mut self, by: usize) {
        let count = self.hosts.len();
        let others = (by + 1..by + count).map(|of| of % count);
        let probes: Vec<(usize, bool)> = others.take(WITNESSES).map(|of| (of, true)).collect();
        let gossip = ((by + self.random.range(1, count as u64 - 1) as usize) % count, false);
        for (of, is_probe) in probes.into_iter().chain([gossip]) {
            self.send(by, of, Question { by, of, is_probe });
        }
    }

    fn question(&mut self, by: usize, of: usize, is_probe: bool) {
        if !is_probe {
            if self.faults.agent_down_until(of, self.now_ms).is_some() {
                return;
            }
            if let Some(until_ms) = self.faults.agent_paused_until(of, self.now_ms) {
                return self.at(until_ms, Question { by, of, is_probe });
            }
        }
        self.send(of, by, Answer { by, of, is_probe, given_ms: self.now_ms });
    }

    fn answer(&mut self, by: usize, of: usize, is_probe: bool, given_ms: u64) {
        if self.faults.agent_down_until(by, self.now_ms).is_some() {
            return;
        }
        match self.faults.agent_paused_until(by, self.now_ms) {
            Some(until_ms) => self.at(until_ms, Answer { by, of, is_probe, given_ms }),
            None => {
                let heard = Heard { given_ms, heard_ms: self.now_ms };
                self.hosts[by].heard.entry(of).or_default()[usize::from(is_probe)] = Some(heard);
            }
        }
    }

    fn dial(&mut self, host: usize, at_ms: u64) {
        let connection = self.hosts[host].stream.connection;
        self.at(at_ms, Connect { host, connection, is_second_try: false });
    }

    fn dial_again(&mut self, host: usize, from_ms: u64) {
        let wait_ms = self.random.range(PATIENCE_MS / 2, PATIENCE_MS);
        self.dial(host, from_ms + wait_ms);
    }

    fn connect(&mut self, host: usize, is_second_try: bool) {
        if self.faults.agent_down_until(host, self.now_ms).is_some() {
            return;
        }
        if let Some(until_ms) = self.faults.server_paused_until(self.now_ms) {
            return self.dial_again(host, until_ms.min(self.now_ms + CONNECT_TIMEOUT_MS));
        }
        let connection = self.hosts[host].stream.connection;
        match self.round_trip_ms(host) {
            // As much again for TLS.
            Some(rtt_ms) => self.at(self.now_ms + 2 * rtt_ms, Connected { host, connection }),
            None if is_second_try => self.dial_again(host, self.now_ms + CONNECT_TIMEOUT_MS - SYN_AGAIN_MS),
            None => self.at(self.now_ms + SYN_AGAIN_MS, Connect { host, connection, is_second_try: true }),
        }
    }

    fn round_trip_ms(&mut self, host: usize) -> Option<u64> {
        let World { faults, random, now_ms, .. } = self;
        let passes = faults.passes(host, 0, *now_ms, random) && faults.passes(0, host, *now_ms, random);
        passes.then(|| faults.delay_ms(host, 0, *now_ms, random) + faults.delay_ms(0, host, *now_ms, random))
    }

    fn report(&mut self, host: usize) {
        if !self.hosts[host].stream.is_connected() {
            return;
        }
        let is_absurd = self.faults.clock_is_absurd(host, self.now_ms);
        let now_ms = self.now_ms;
        let age = |heard: &Heard| if is_absurd { u32::MAX } else { (now_ms - heard.heard_ms) as u32 };
        let heard = std::mem::take(&mut self.hosts[host].heard);
        let peers = heard.iter().map(|(peer, [gossip, probe])| PeerSeen {
            node_id: *peer as u32 + 1,
            gossip_ms: gossip.as_ref().map(age),
            probe_ms: probe.as_ref().map(age),
        });
        self.reports.push(Report {
            made_ms: now_ms - self.hosts[host].began_ms,
            is_applied: self.hosts[host].is_applied,
            peers: peers.collect(),
            heard: heard
                .iter()
                .filter_map(|(peer, both)| Some((*peer, both.iter().flatten().copied().max()?)))
                .collect(),
        });
        let is_only = self.hosts[host].stream.oldest().is_none();
        if let Some(sequence) = self.hosts[host].stream.push(self.reports.len() - 1) {
            self.transmit(host, sequence);
        }
        if is_only {
            self.set_timer(host);
        }
    }

    fn transmit(&mut self, host: usize, sequence: usize) {
        let connection = self.hosts[host].stream.connection;
        self.send(host, 0, Segment { host, connection, sequence });
    }

    fn set_timer(&mut self, host: usize) {
        let Stream { connection, timer, rto_ms, .. } = self.hosts[host].stream;
        // The time of a slow way is in it, as TCP measures it.
        let way_ms = self.faults.delay_ms(host, 0, self.now_ms, &mut Random(0)) * 2;
        self.at(self.now_ms + rto_ms + way_ms, Timer { host, connection, timer });
    }

    fn segment(&mut self, host: usize, sequence: usize) {
        for report in self.hosts[host].stream.arrive(sequence) {
            let paused_until_ms = self.faults.server_paused_until(self.now_ms);
            // What waited is read after the pause, one host's after the other's.
            let at_ms = paused_until_ms.map_or(self.now_ms, |until_ms| until_ms + host as u64 * 7);
            self.at(at_ms, Read { host, report });
        }
        let (connection, up_to) = (self.hosts[host].stream.connection, self.hosts[host].stream.delivered());
        let is_read = self.faults.server_paused_until(self.now_ms).is_none();
        self.send(0, host, Acknowledged { host, connection, up_to, is_read });
    }

    fn read(&mut self, host: usize, report: usize) {
        let report = &self.reports[report];
        let node_id = host as u32 + 1;
        self.detector.reported(node_id, report.is_applied, self.now_ms);
        if !self.is_deaf {
            self.detector.vouched(node_id, Some(report.made_ms), &report.peers, self.now_ms);
        }
        self.judge.reported(host, self.now_ms);
        for (peer, heard) in &report.heard {
            self.judge.vouched(*peer, heard.given_ms);
        }
    }

    fn acknowledged(&mut self, host: usize, up_to: usize, is_read: bool) {
        let progress_ms = self.hosts[host].stream.progress_ms;
        let more = self.hosts[host].stream.acknowledge(up_to, self.now_ms);
        if !is_read {
            self.hosts[host].stream.progress_ms = progress_ms;
        }
        more.for_each(|sequence| self.transmit(host, sequence));
        if self.hosts[host].stream.oldest().is_some() {
            self.set_timer(host);
        }
    }

    fn timer(&mut self, host: usize, timer: u64) {
        if self.hosts[host].stream.timer != timer {
            return;
        }
        if let Some(sequence) = self.hosts[host].stream.oldest() {
            self.transmit(host, sequence);
            self.hosts[host].stream.rto_ms *= 2;
            self.set_timer(host);
        }
    }

    fn is_current(&self, host: usize, connection: u64) -> bool {
        self.hosts[host].stream.connection == connection
    }

    /// A packet: the event happens on its arrival, if it does arrive.
    fn send(&mut self, from: usize, to: usize, event: Event) {
        let World { faults, random, now_ms, .. } = self;
        if !faults.passes(from, to, *now_ms, random) {
            return;
        }
        let arrival_ms = *now_ms + faults.delay_ms(from, to, *now_ms, random);
        if faults.is_open(from, to, arrival_ms) {
            self.at(arrival_ms, event);
        }
    }

    fn at(&mut self, at_ms: u64, event: Event) {
        self.queued += 1;
        if self.is_told && matches!(event, Connect { .. } | Connected { .. } | Read { .. }) {
            self.told.push(format!("{at_ms} {event:?}"));
        }
        self.queue.push(Reverse((at_ms, self.queued, event)));
    }
}
