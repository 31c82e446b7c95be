//! What a probe counted: how many tries, which failed, when and why.

use std::time::{Duration, Instant};

/// One try that did not get what it should.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When the try began.
    pub at: Instant,
    pub why: String,
}

/// Everything a probe did. Prints as one line.
#[derive(Clone, Debug)]
pub struct Tally {
    /// `new connections h1 -> VIP`.
    pub what: String,
    pub tries: usize,
    pub failures: Vec<Failure>,
}

/// So many failures are told one by one.
const TOLD: usize = 5;

impl Tally {
    pub fn new(what: &str) -> Self {
        Self { what: what.to_owned(), tries: 0, failures: Vec::new() }
    }

    pub fn count(&mut self, at: Instant, outcome: Result<(), String>) {
        self.tries += 1;
        if let Err(why) = outcome {
            self.failures.push(Failure { at, why });
        }
    }

    /// Several workers' tallies as one, failures in order of time.
    pub fn sum(what: &str, parts: impl IntoIterator<Item = Tally>) -> Tally {
        let mut total = Tally::new(what);
        for part in parts {
            total.tries += part.tries;
            total.failures.extend(part.failures);
        }
        total.failures.sort_by_key(|failure| failure.at);
        total
    }

    /// Nothing failed, and something was tried.
    pub fn assert_clean(&self) {
        assert!(self.tries > 0, "{}: the probe did nothing", self.what);
        assert!(self.failures.is_empty(), "{self}");
    }

    /// From `begin` to the begin of the last try that failed; zero when none did after it.
    pub fn failing_for(&self, begin: Instant) -> Duration {
        self.failures.last().map_or(Duration::ZERO, |last| last.at.saturating_duration_since(begin))
    }

    /// Failures of tries that began after `begin`.
    pub fn failed_after(&self, begin: Instant) -> usize {
        self.failures.iter().filter(|failure| failure.at > begin).count()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} tries, {} failed", self.what, self.tries, self.failures.len())?;
        let Some(first) = self.failures.first() else { return Ok(()) };
        for failure in self.failures.iter().take(TOLD) {
            write!(f, "\n  {:.2} s after the first failure: {}", (failure.at - first.at).as_secs_f64(), failure.why)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_several_workers_are_told_in_order_of_time() {
        let begin = Instant::now();
        let later = begin + Duration::from_millis(1500);
        let (mut one, mut two) = (Tally::new("one"), Tally::new("two"));
        one.count(later, Err("reset".into()));
        two.count(begin, Ok(()));
        let sum = Tally::sum("both", [one, two]);
        assert_eq!((sum.tries, sum.failures.len()), (2, 1));
        assert_eq!(sum.failing_for(begin), Duration::from_millis(1500));
        assert_eq!(sum.failed_after(later), 0);
        assert!(sum.to_string().contains("2 tries, 1 failed"), "{sum}");
    }
}
