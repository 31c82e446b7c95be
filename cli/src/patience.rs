//! When a change counts as done: what runs must go on running, and hosts may take a moment to publish it. Pure.

use std::time::{Duration, Instant};

use crate::progress::Progress;

/// A program that ends by mistake does so within this, mostly.
const STEADY: Duration = Duration::from_millis(250);
/// One that has failed before must run for longer than its next failure takes.
const STEADY_AFTER_FAILURE: Duration = Duration::from_secs(3);
/// How long hosts may take to say that they have published a change whose containers all run. One that is busy with
/// something else must not hold this up.
const PUBLISH_LIMIT: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Done,
    /// All containers run; some host has not confirmed that it has published that.
    DoneButLate,
    /// Look again when something changes, and after this at the latest.
    Again(Duration),
}

/// What was seen so far.
pub struct Patience {
    /// Nothing was changed: what is right at the first look is right.
    is_only_asking: bool,
    looks: u32,
    good_since: Option<Instant>,
    has_failed: bool,
    restarts: u32,
}

impl Patience {
    pub fn new(is_only_asking: bool) -> Self {
        Self { is_only_asking, looks: 0, good_since: None, has_failed: false, restarts: 0 }
    }

    pub fn judge(&mut self, progress: &[Progress], now: Instant) -> Verdict {
        self.look(progress, now);
        let Some(since) = self.good_since else { return Verdict::Again(Duration::MAX) };
        let elapsed = now.saturating_duration_since(since);
        let steady = self.steady(progress);
        let is_published = progress.iter().all(Progress::is_done);
        if elapsed < steady {
            Verdict::Again(steady - elapsed)
        } else if is_published {
            Verdict::Done
        } else if elapsed >= PUBLISH_LIMIT {
            Verdict::DoneButLate
        } else {
            Verdict::Again(PUBLISH_LIMIT - elapsed)
        }
    }

    fn look(&mut self, progress: &[Progress], now: Instant) {
        let restarts = progress.iter().map(Progress::restarts).sum();
        // Containers that went away took their restarts along; only growth says that one failed between two looks.
        let failed_between = self.looks > 0 && restarts > self.restarts;
        self.restarts = restarts;
        self.looks += 1;
        self.has_failed |= failed_between || progress.iter().any(Progress::has_failed);
        self.good_since = match progress.iter().all(Progress::has_containers) {
            true if failed_between => Some(now),
            true => self.good_since.or(Some(now)),
            false => None,
        };
    }

    fn steady(&self, progress: &[Progress]) -> Duration {
        let is_empty = progress.iter().all(|progress| progress.services.iter().all(|service| service.desired == 0));
        match self.has_failed {
            _ if is_empty
                || progress.iter().all(|progress| progress.is_final)
                || (self.is_only_asking && self.looks == 1) =>
            {
                Duration::ZERO
            }
            true => STEADY_AFTER_FAILURE,
            false => STEADY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::ServiceProgress;

    fn web(done: u32, failed: u32, restarts: u32, behind: &[&str]) -> [Progress; 1] {
        let mut service = ServiceProgress { name: "shop/web".into(), desired: 2, done, restarts, ..Default::default() };
        if failed > 0 {
            service.others.insert("failed".into(), failed);
        }
        [Progress {
            services: vec![service],
            behind: behind.iter().map(|host| (*host).to_owned()).collect(),
            is_final: false,
        }]
    }

    /// Verdicts at these milliseconds.
    fn judge(is_only_asking: bool, looks: &[(u64, [Progress; 1])]) -> Vec<Verdict> {
        let (mut patience, start) = (Patience::new(is_only_asking), Instant::now());
        looks.iter().map(|(ms, progress)| patience.judge(progress, start + Duration::from_millis(*ms))).collect()
    }

    #[test]
    fn what_runs_must_go_on_running_for_a_moment() {
        let verdicts = judge(false, &[(0, web(1, 0, 0, &[])), (100, web(2, 0, 0, &[])), (350, web(2, 0, 0, &[]))]);
        let waits = [Verdict::Again(Duration::MAX), Verdict::Again(STEADY), Verdict::Done];
        assert_eq!(verdicts, waits);
    }

    #[test]
    fn a_service_that_has_failed_must_run_for_longer() {
        let verdicts = judge(false, &[(0, web(1, 1, 0, &[])), (100, web(2, 0, 1, &[])), (2_000, web(2, 0, 1, &[]))]);
        assert_eq!(verdicts[2], Verdict::Again(Duration::from_millis(1_100)));
    }

    #[test]
    fn a_failure_between_two_looks_is_seen_by_its_restart() {
        let looks = [(0, web(2, 0, 0, &[])), (200, web(2, 0, 1, &[])), (300, web(2, 0, 1, &[]))];
        assert_eq!(judge(false, &looks)[2], Verdict::Again(STEADY_AFTER_FAILURE - Duration::from_millis(100)));
    }

    #[test]
    fn who_only_asks_is_answered_at_once() {
        assert_eq!(judge(true, &[(0, web(2, 0, 5, &[]))]), [Verdict::Done]);
    }

    #[test]
    fn a_host_that_does_not_confirm_delays_and_does_not_prevent() {
        let late = || web(2, 0, 0, &["h3"]);
        let verdicts = judge(false, &[(0, late()), (1_000, late()), (3_000, late())]);
        assert_eq!(verdicts[1], Verdict::Again(Duration::from_secs(2)));
        assert_eq!(verdicts[2], Verdict::DoneButLate);
    }
}
