//! What the results of a health command amount to, as Docker defines it.

use remuda_api::health::HealthCommand;

use crate::observed::{Health, Verdict};

/// One start of a unit, as its health command sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    pub health: Health,
    /// Failures in a row.
    failures: u32,
}

impl Streak {
    /// Goes on from what an agent before knew.
    pub fn from(health: Health) -> Streak {
        Streak { health, failures: 0 }
    }

    /// Takes the result of a command begun `since_start_ms` after the unit was started. Within the start period,
    /// failures before the first pass count for nothing. Returns whether the verdict changed; a new reason alone is no news.
    pub fn note(&mut self, command: &HealthCommand, since_start_ms: u64, result: Result<(), String>) -> bool {
        let before = self.health.verdict;
        match result {
            Ok(()) => *self = Streak::from(Health { verdict: Verdict::Healthy, reason: String::new() }),
            Err(_) if self.is_starting(command, since_start_ms) => {}
            Err(reason) => {
                self.failures = self.failures.saturating_add(1);
                if self.failures >= command.retries.max(1) || before == Verdict::Unhealthy {
                    self.health = Health { verdict: Verdict::Unhealthy, reason };
                }
            }
        }
        self.health.verdict != before
    }

    /// From the start, or from the end of one command, to the begin of the next.
    pub fn wait_ms(&self, command: &HealthCommand, since_start_ms: u64) -> u64 {
        match self.is_starting(command, since_start_ms) {
            true => command.start_interval_ms,
            false => command.interval_ms,
        }
    }

    fn is_starting(&self, command: &HealthCommand, since_start_ms: u64) -> bool {
        self.health.verdict == Verdict::Initializing && since_start_ms < command.start_period_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> HealthCommand {
        HealthCommand { start_period_ms: 10_000, start_interval_ms: 500, ..HealthCommand::new(vec!["true".into()]) }
    }

    fn failure() -> Result<(), String> {
        Err("exited with code 1".into())
    }

    #[test]
    fn it_is_unhealthy_after_three_failures_in_a_row_and_healthy_after_one_pass() {
        let (mut streak, command) = (Streak::default(), command());
        assert!(!streak.note(&command, 20_000, failure()) && !streak.note(&command, 20_000, failure()));
        assert_eq!(streak.health.verdict, Verdict::Initializing);
        assert!(streak.note(&command, 20_000, failure()));
        assert_eq!(streak.health, Health { verdict: Verdict::Unhealthy, reason: "exited with code 1".into() });
        assert!(streak.note(&command, 20_000, Ok(())));
        assert_eq!(streak.health, Health { verdict: Verdict::Healthy, reason: String::new() });
        assert!(!streak.note(&command, 20_000, failure()), "the count begins afresh");
    }

    #[test]
    fn failures_in_the_start_period_count_for_nothing_until_the_first_pass() {
        let (mut streak, command) = (Streak::default(), command());
        (0..50).for_each(|_| assert!(!streak.note(&command, 9_999, failure())));
        assert!(streak.note(&command, 9_999, Ok(())));
        for _ in 0..3 {
            streak.note(&command, 9_999, failure());
        }
        assert_eq!(streak.health.verdict, Verdict::Unhealthy, "the first pass ended the start period");
    }

    #[test]
    fn within_the_start_period_it_is_asked_more_often() {
        let (mut streak, command) = (Streak::default(), command());
        assert_eq!((streak.wait_ms(&command, 0), streak.wait_ms(&command, 10_000)), (500, 30_000));
        streak.note(&command, 0, Ok(()));
        assert_eq!(streak.wait_ms(&command, 0), 30_000);
    }

    #[test]
    fn an_unhealthy_one_has_its_last_reason_and_that_alone_is_no_news() {
        let mut streak = Streak::from(Health { verdict: Verdict::Unhealthy, reason: "exited with code 1".into() });
        assert!(!streak.note(&command(), 20_000, Err("no answer within 5 ms".into())));
        assert_eq!(streak.health.reason, "no answer within 5 ms");
    }
}
