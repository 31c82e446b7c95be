//! What goes wrong in a run, drawn from its seed, and what that means for packets, agents and machines.

use super::random::Random;

/// Hosts are numbered from 0; the server runs on host 0, which neither crashes nor is cut off.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Of every packet that leaves or reaches one of these.
    Loss {
        hosts: Vec<usize>,
        percent: u64,
    },
    OneWay {
        from: usize,
        to: usize,
    },
    LinkCut {
        one: usize,
        other: usize,
    },
    /// These talk among themselves only.
    Cut {
        hosts: Vec<usize>,
    },
    Crash {
        hosts: Vec<usize>,
    },
    AgentKilled {
        host: usize,
    },
    AgentPaused {
        host: usize,
    },
    ServerPaused,
    /// Ages in reports are absurd meanwhile, as of an agent that goes by the wall clock.
    ClockJump {
        host: usize,
    },
    /// Both ways.
    Slow {
        host: usize,
        delay_ms: u64,
    },
}
use Fault::*;

#[derive(Clone, Debug)]
pub struct Timed {
    pub fault: Fault,
    pub from_ms: u64,
    pub until_ms: u64,
}

pub struct Faults {
    all: Vec<Timed>,
}

/// Faults begin in this time: after everybody has settled, and early enough to be judged.
const BEGIN_MS: (u64, u64) = (5_000, 25_000);

impl Faults {
    /// One to four.
    pub fn draw(random: &mut Random, hosts: usize) -> Faults {
        let count = random.range(1, 4);
        Faults { all: (0..count).map(|_| timed(random, hosts)).collect() }
    }

    pub fn all(&self) -> &[Timed] {
        &self.all
    }

    fn at(&self, ms: u64) -> impl Iterator<Item = &Fault> {
        self.all.iter().filter(move |timed| (timed.from_ms..timed.until_ms).contains(&ms)).map(|timed| &timed.fault)
    }

    /// Whether a packet on this way now is not lost.
    pub fn passes(&self, from: usize, to: usize, ms: u64, random: &mut Random) -> bool {
        if from == to {
            return self.machine_lives(from, ms);
        }
        let is_lost = |fault: &Fault| match fault {
            Loss { hosts, percent } => (hosts.contains(&from) || hosts.contains(&to)) && random.range(0, 99) < *percent,
            _ => false,
        };
        self.is_open(from, to, ms) && self.machine_lives(from, ms) && !self.at(ms).any(is_lost)
    }

    /// What arrives now arrives: the way is not cut, and the machine at its end lives.
    pub fn is_open(&self, from: usize, to: usize, ms: u64) -> bool {
        self.machine_lives(to, ms) && !self.at(ms).any(|fault| fault.parts(from, to))
    }

    pub fn delay_ms(&self, from: usize, to: usize, ms: u64, random: &mut Random) -> u64 {
        if from == to {
            return 0;
        }
        let slow = self.at(ms).filter_map(|fault| match fault {
            Slow { host, delay_ms } if *host == from || *host == to => Some(*delay_ms),
            _ => None,
        });
        let delay_ms = slow.max().unwrap_or(0);
        random.range(1, 5) + delay_ms * random.range(80, 100) / 100
    }

    pub fn machine_lives(&self, host: usize, ms: u64) -> bool {
        !self.at(ms).any(|fault| matches!(fault, Crash { hosts } if hosts.contains(&host)))
    }

    /// None = its agent lives; else when it lives again.
    pub fn agent_down_until(&self, host: usize, ms: u64) -> Option<u64> {
        let down = |fault: &Fault| match fault {
            Crash { hosts } => hosts.contains(&host),
            AgentKilled { host: killed } => *killed == host,
            _ => false,
        };
        self.latest_end(ms, down)
    }

    pub fn agent_paused_until(&self, host: usize, ms: u64) -> Option<u64> {
        self.latest_end(ms, |fault| matches!(fault, AgentPaused { host: paused } if *paused == host))
    }

    pub fn server_paused_until(&self, ms: u64) -> Option<u64> {
        self.latest_end(ms, |fault| matches!(fault, ServerPaused))
    }

    pub fn clock_is_absurd(&self, host: usize, ms: u64) -> bool {
        self.at(ms).any(|fault| matches!(fault, ClockJump { host: jumps } if *jumps == host))
    }

    fn latest_end(&self, ms: u64, is_meant: impl Fn(&Fault) -> bool) -> Option<u64> {
        let meant =
            self.all.iter().filter(|timed| (timed.from_ms..timed.until_ms).contains(&ms) && is_meant(&timed.fault));
        meant.map(|timed| timed.until_ms).max()
    }

    /// Since when nothing of this host can reach the server or a host that reports: its machine is down or cut off.
    pub fn gone_since(&self, host: usize, ms: u64) -> Option<u64> {
        let takes_away = |fault: &Fault| match fault {
            Crash { hosts } | Cut { hosts } => hosts.contains(&host),
            _ => false,
        };
        self.since(ms, takes_away)
    }

    pub fn agent_down_since(&self, host: usize, ms: u64) -> Option<u64> {
        self.since(ms, |fault| match fault {
            Crash { hosts } => hosts.contains(&host),
            AgentKilled { host: killed } => *killed == host,
            _ => false,
        })
    }

    /// Since when there is such a fault, without a gap.
    fn since(&self, ms: u64, is_meant: impl Fn(&Fault) -> bool) -> Option<u64> {
        let starts = |ms: u64| {
            let now = self.all.iter().filter(|timed| (timed.from_ms..timed.until_ms).contains(&ms));
            now.filter(|timed| is_meant(&timed.fault)).map(|timed| timed.from_ms).min()
        };
        let mut since_ms = starts(ms)?;
        // One may begin before another one ends.
        while let Some(earlier_ms) = starts(since_ms - 1) {
            since_ms = earlier_ms;
        }
        Some(since_ms)
    }

    /// No fault that `is_meant` touches this time.
    pub fn is_free_of(&self, from_ms: u64, until_ms: u64, is_meant: impl Fn(&Fault) -> bool) -> bool {
        !self.all.iter().any(|timed| timed.from_ms <= until_ms && from_ms < timed.until_ms && is_meant(&timed.fault))
    }

    /// Packets pass between the two in both directions all the time, but for loss.
    pub fn is_two_way(&self, one: usize, other: usize, from_ms: u64, until_ms: u64) -> bool {
        one == other || self.is_free_of(from_ms, until_ms, |fault| fault.parts(one, other) || fault.parts(other, one))
    }

    /// An answer and a report on the slowest way of this time; 0 = no way was slow.
    pub fn slowest_ms(&self, from_ms: u64, until_ms: u64) -> u64 {
        let touching = self.all.iter().filter(|timed| timed.from_ms <= until_ms && from_ms < timed.until_ms);
        let delays = touching.filter_map(|timed| match timed.fault {
            Slow { delay_ms, .. } => Some(2 * delay_ms),
            _ => None,
        });
        delays.max().unwrap_or(0)
    }

    pub fn machine_is_up(&self, host: usize, from_ms: u64, until_ms: u64) -> bool {
        self.is_free_of(from_ms, until_ms, |fault| matches!(fault, Crash { hosts } if hosts.contains(&host)))
    }

    pub fn agent_is_up(&self, host: usize, from_ms: u64, until_ms: u64) -> bool {
        let kills = |fault: &Fault| matches!(fault, AgentKilled { host: killed } if *killed == host);
        self.machine_is_up(host, from_ms, until_ms) && self.is_free_of(from_ms, until_ms, kills)
    }
}

impl Fault {
    fn parts(&self, from: usize, to: usize) -> bool {
        match self {
            OneWay { from: a, to: b } => (*a, *b) == (from, to),
            LinkCut { one, other } => (*one, *other) == (from, to) || (*other, *one) == (from, to),
            Cut { hosts } => hosts.contains(&from) != hosts.contains(&to),
            _ => false,
        }
    }
}

fn timed(random: &mut Random, hosts: usize) -> Timed {
    let host = random.range(1, hosts as u64 - 1) as usize;
    let any = random.range(0, hosts as u64 - 1) as usize;
    let other = (host + random.range(1, hosts as u64 - 1) as usize) % hosts;
    let from_ms = random.range(BEGIN_MS.0, BEGIN_MS.1);
    let some_time = [random.range(200, 6_000), random.range(6_000, 30_000), super::END_MS][random.range(0, 2) as usize];
    let (fault, length_ms) = match random.range(0, 10) {
        0 => (Loss { hosts: vec![any], percent: random.range(5, 30) }, random.range(1_000, 10_000)),
        1 => (Loss { hosts: (0..hosts).collect(), percent: random.range(5, 30) }, random.range(1_000, 10_000)),
        2 => (OneWay { from: host, to: other }, some_time),
        3 => (LinkCut { one: host, other }, some_time),
        4 => (Cut { hosts: several(random, hosts) }, some_time),
        5 => (Crash { hosts: several(random, hosts) }, some_time.max(8_000)),
        6 => (AgentKilled { host: any }, some_time),
        7 => (AgentPaused { host: any }, random.range(200, 1_500)),
        8 => (ServerPaused, [random.range(200, 2_000), random.range(2_000, 15_000)][random.range(0, 1) as usize]),
        9 => (ClockJump { host: any }, random.range(400, 3_000)),
        _ => (Slow { host, delay_ms: random.range(50, 1_000) }, random.range(1_000, 20_000)),
    };
    Timed { fault, from_ms, until_ms: from_ms + length_ms }
}

/// One, or any number, of the hosts but the server's.
fn several(random: &mut Random, hosts: usize) -> Vec<usize> {
    let count = if random.range(0, 1) == 0 { 1 } else { random.range(1, hosts as u64 - 1) };
    let mut all: Vec<usize> = (1..hosts).collect();
    random.shuffle(&mut all);
    all.truncate(count as usize);
    all
}
