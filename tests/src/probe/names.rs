//! Look-ups of one name at a rate, with what was answered when.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Crew, Tally, repeat};
use crate::lookup::{Reply, look_up};

/// One look-up.
#[derive(Clone, Debug)]
pub struct Look {
    /// When the answer came (or was given up).
    pub at: Instant,
    pub outcome: Result<Reply, String>,
}

/// Look-ups from one container, until stopped.
pub struct Names {
    what: String,
    crew: Crew<Vec<Look>>,
}

impl Names {
    pub fn start(what: &str, namespace: &str, name: &str, per_second: u32) -> Result<Names> {
        let pause = Duration::from_secs(1) / per_second.max(1);
        let (asked, what) = (name.to_owned(), format!("look-ups of {name} {what}"));
        let crew = Crew::start(namespace, 1, move |is_over, _| {
            let mut looks = Vec::new();
            repeat(is_over, pause, || {
                let outcome = look_up(&asked).map_err(|error| error.to_string());
                looks.push(Look { at: Instant::now(), outcome });
            });
            looks
        })?;
        Ok(Names { what, crew })
    }

    pub fn stop(self) -> Timeline {
        let what = self.what.clone();
        Timeline { what, looks: self.crew.end().into_iter().flatten().collect() }
    }
}

/// What was answered when, oldest first.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub what: String,
    pub looks: Vec<Look>,
}

impl Timeline {
    /// Failed: no answer, an error code, or an empty list.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::new(&self.what);
        for look in &self.looks {
            tally.count(look.at, check(&look.outcome));
        }
        tally
    }

    /// When the last answer came that held one of `addresses`; `None` = never.
    pub fn last_with(&self, addresses: &[Ipv4Addr]) -> Option<Instant> {
        let holds = |look: &&Look| {
            look.outcome.as_ref().is_ok_and(|reply| reply.addresses.iter().any(|ip| addresses.contains(ip)))
        };
        self.looks.iter().rev().find(holds).map(|look| look.at)
    }

    /// How long after `begin` an answer still held one of `addresses`.
    pub fn gone_after(&self, begin: Instant, addresses: &[Ipv4Addr]) -> Duration {
        self.last_with(addresses).map_or(Duration::ZERO, |at| at.saturating_duration_since(begin))
    }

    /// Answers that held the same address twice.
    pub fn duplicates(&self) -> Vec<&Reply> {
        let has_twin = |reply: &&Reply| {
            let mut seen = reply.addresses.clone();
            seen.sort_unstable();
            seen.dedup();
            seen.len() < reply.addresses.len()
        };
        self.replies().filter(has_twin).collect()
    }

    /// The longest answer's number of addresses.
    pub fn most(&self) -> usize {
        self.replies().map(|reply| reply.addresses.len()).max().unwrap_or_default()
    }

    /// How long after `begin` the first answer with an address came; `None` = none did.
    pub fn answered_after(&self, begin: Instant) -> Option<Duration> {
        let later = self.looks.iter().find(|look| look.at > begin && check(&look.outcome).is_ok());
        later.map(|look| look.at - begin)
    }

    fn replies(&self) -> impl Iterator<Item = &Reply> {
        self.looks.iter().filter_map(|look| look.outcome.as_ref().ok())
    }
}

fn check(outcome: &Result<Reply, String>) -> Result<(), String> {
    match outcome {
        Ok(reply) if reply.rcode == 0 && !reply.addresses.is_empty() => Ok(()),
        Ok(reply) => Err(format!("code {}, {} addresses", reply.rcode, reply.addresses.len())),
        Err(error) => Err(error.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAVES: Ipv4Addr = Ipv4Addr::new(10, 42, 0, 9);
    const STAYS: Ipv4Addr = Ipv4Addr::new(10, 42, 0, 10);

    fn look(at: Instant, addresses: &[Ipv4Addr]) -> Look {
        Look { at, outcome: Ok(Reply { addresses: addresses.to_vec(), ..Reply::default() }) }
    }

    #[test]
    fn an_address_is_gone_when_no_answer_holds_it_any_more() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let looks = vec![look(at(100), &[LEAVES, STAYS]), look(at(900), &[LEAVES]), look(at(1000), &[STAYS, STAYS])];
        let line = Timeline { what: String::new(), looks };
        assert_eq!(line.gone_after(begin, &[LEAVES]), Duration::from_millis(900));
        assert_eq!(line.duplicates().len(), 1);
        assert_eq!((line.most(), line.tally().failures.len()), (2, 0));
    }
}
