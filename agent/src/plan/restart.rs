//! When a unit that ended is started again: at once, then after 100 ms doubling to 10 s, until it runs well again; or as
//! its limits say, which may end it for good.

use std::collections::BTreeMap;

use remuda_api::spec::RestartLimits;

use super::drain::Begun;
use crate::desired::DesiredUnit;
use crate::observed::{Unit, UnitState};

/// Wait before the second restart in a row, milliseconds.
const FIRST_WAIT_MS: u64 = 100;
/// Longest wait between restarts, milliseconds: a broken unit costs little and comes back soon after a repair.
const LONGEST_WAIT_MS: u64 = 10_000;
/// A unit that ran this long was well: its next end counts as the first.
const WELL_AFTER_MS: u64 = 10_000;

/// How often in a row each unit ended early, and when it began to drain. Lost with the agent: drains begin again, ends
/// are then counted by the starts the runtime remembers.
#[derive(Clone, Debug, Default)]
pub struct History {
    units: BTreeMap<String, Ends>,
    drains: Begun,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    /// Ends in a row, the last one included.
    count: u32,
    /// The last end that was counted, and the start before it, Unix milliseconds.
    last_ms: u64,
    started_ms: u64,
    /// It was there to be started: what could not even be made is tried on and on.
    was_made: bool,
}

impl History {
    /// Counts ends not seen before, and forgets units that are gone. `now_ms` dates an end nobody dated.
    pub fn note(&mut self, wanted: &BTreeMap<String, DesiredUnit>, units: &BTreeMap<String, Unit>, now_ms: u64) {
        self.units.retain(|name, _| units.contains_key(name));
        for unit in units.values().filter(|unit| has_ended(unit)) {
            let window_ms = wanted.get(&unit.name).and_then(|wanted| wanted.limits.window_ms).unwrap_or(WELL_AFTER_MS);
            let is_first_seen = !self.units.contains_key(&unit.name);
            let ends = self.units.entry(unit.name.clone()).or_default();
            let ended_ms = match (unit.exited_ms, ends.count) {
                (0, 0) => now_ms,
                (0, _) => ends.last_ms,
                (dated, _) => dated,
            };
            if ends.count != 0 && ended_ms == ends.last_ms {
                continue;
            }
            // A start that fails says nothing of how the unit was.
            let has_run = unit.started_ms != 0 && unit.started_ms != ends.started_ms;
            let was_well = has_run && ended_ms.saturating_sub(unit.started_ms) >= window_ms;
            ends.count = match (was_well, is_first_seen) {
                (true, _) => 1,
                (false, true) => unit.restarts.saturating_add(1),
                (false, false) => ends.count.saturating_add(1),
            };
            (ends.last_ms, ends.started_ms) = (ended_ms, unit.started_ms);
            ends.was_made = unit.started_ms != 0 || unit.can_start;
        }
    }

    /// Notes which units drain, and forgets those that do not any more. `now_ms` is of a clock that neither jumps nor
    /// goes back, so not Unix milliseconds.
    pub fn note_drains(&mut self, wanted: &BTreeMap<String, DesiredUnit>, units: &BTreeMap<String, Unit>, now_ms: u64) {
        self.drains.note(wanted, units, now_ms);
    }

    /// Milliseconds the unit had drained when drains were last noted.
    pub fn drained_ms(&self, name: &str) -> u64 {
        self.drains.drained_ms(name)
    }

    /// Milliseconds between the last end of the unit and its next start.
    pub fn wait_ms(&self, name: &str, limits: &RestartLimits) -> u64 {
        self.units.get(name).map_or(0, |ends| limits.delay_ms.unwrap_or_else(|| wait_ms(ends.count)))
    }

    /// Unix milliseconds from when on the unit may be started again; None = it may now.
    pub fn waits_until_ms(&self, name: &str, limits: &RestartLimits, now_ms: u64) -> Option<u64> {
        let ends = self.units.get(name)?;
        let wait_ms = self.wait_ms(name, limits);
        let due_ms = ends.last_ms.saturating_add(wait_ms);
        // The clock went back if it looks as if more than the whole wait were left.
        (due_ms > now_ms && due_ms - now_ms <= wait_ms).then_some(due_ms)
    }

    /// The unit was started again as often as it may be, in vain: how often that was.
    pub fn given_up_after(&self, name: &str, limits: &RestartLimits) -> Option<u32> {
        let max_attempts = limits.max_attempts?;
        self.units.get(name).filter(|ends| ends.was_made && ends.count > max_attempts).map(|_| max_attempts)
    }
}

fn has_ended(unit: &Unit) -> bool {
    matches!(unit.state, UnitState::Exited { .. } | UnitState::Failed { .. })
}

/// Whether what waits until `due_ms` is due. No wait is longer than the longest: the clock went back if it looks so.
pub(crate) fn is_due(due_ms: u64, now_ms: u64) -> bool {
    due_ms <= now_ms || due_ms - now_ms > LONGEST_WAIT_MS
}

/// The wait after that many ends (or failures of a step) in a row, milliseconds.
pub(crate) fn wait_ms(ends: u32) -> u64 {
    match ends {
        0 | 1 => 0,
        n => FIRST_WAIT_MS.saturating_mul(1 << (n - 2).min(20)).min(LONGEST_WAIT_MS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Health;

    const WEB: &str = "shop-web-1";

    fn ended(started_ms: u64, exited_ms: u64) -> BTreeMap<String, Unit> {
        let unit = Unit {
            name: WEB.into(),
            spec_revision: 1,
            ip: None,
            state: UnitState::Exited { code: 1, reason: String::new(), lines: vec![] },
            restarts: 0,
            started_ms,
            exited_ms,
            can_start: true,
            plugged: false,
            health: Health::default(),
            image_health: None,
        };
        BTreeMap::from([(WEB.to_owned(), unit)])
    }

    fn wanted(limits: RestartLimits) -> BTreeMap<String, DesiredUnit> {
        let desired = crate::desired::desired(&crate::desired::tests::two_hosts(), &[]).expect("valid");
        BTreeMap::from([(WEB.to_owned(), DesiredUnit { limits, ..desired.units[WEB].clone() })])
    }

    const NO_LIMITS: RestartLimits = RestartLimits { delay_ms: None, max_attempts: None, window_ms: None };

    impl History {
        fn see(&mut self, units: &BTreeMap<String, Unit>) {
            self.note(&BTreeMap::new(), units, 0);
        }

        /// Of a unit without limits.
        fn due_ms(&self, name: &str) -> u64 {
            self.units[name].last_ms + self.wait_ms(name, &NO_LIMITS)
        }
    }

    #[test]
    fn a_delay_takes_the_place_of_the_growing_wait() {
        let limits = RestartLimits { delay_ms: Some(60_000), ..NO_LIMITS };
        let mut history = History::default();
        (1..5).for_each(|end| history.see(&ended(end * 1000, end * 1000 + 1)));
        assert_eq!(history.waits_until_ms(WEB, &limits, 4_002), Some(64_001));
        assert_eq!(history.waits_until_ms(WEB, &limits, 64_001), None);
    }

    #[test]
    fn after_so_many_attempts_it_is_given_up_until_it_ran_for_its_window() {
        let limits = RestartLimits { max_attempts: Some(3), window_ms: Some(5_000), ..NO_LIMITS };
        let wanted = wanted(limits);
        let mut history = History::default();
        let mut given_up = Vec::new();
        for end in 1..=4 {
            history.note(&wanted, &ended(end * 1000, end * 1000 + 1), 0);
            given_up.push(history.given_up_after(WEB, &limits));
        }
        assert_eq!(given_up, [None, None, None, Some(3)]);
        history.note(&wanted, &ended(10_000, 15_000), 0);
        assert_eq!(history.given_up_after(WEB, &limits), None, "it was well");
    }

    #[test]
    fn what_was_given_up_stays_so_under_another_agent() {
        let limits = RestartLimits { max_attempts: Some(3), ..NO_LIMITS };
        let mut units = ended(1_000, 1_001);
        units.get_mut(WEB).expect("one").restarts = 3;
        let mut history = History::default();
        history.see(&units);
        assert_eq!(history.given_up_after(WEB, &limits), Some(3));
    }

    #[test]
    fn the_first_restart_is_immediate_and_the_next_ones_wait_twice_as_long_up_to_ten_seconds() {
        let mut history = History::default();
        let mut waits = Vec::new();
        for end in 1..=10 {
            history.see(&ended(end * 1000, end * 1000 + 1));
            waits.push(history.due_ms(WEB) - (end * 1000 + 1));
        }
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn the_same_end_is_counted_once_however_often_it_is_seen() {
        let mut history = History::default();
        (0..5).for_each(|_| history.see(&ended(1, 2)));
        assert_eq!(history.due_ms(WEB), 2);
    }

    #[test]
    fn a_clock_that_went_back_an_hour_delays_nothing() {
        assert!(is_due(5_000, 5_000) && !is_due(5_001, 5_000) && is_due(3_605_000, 5_000));
    }

    #[test]
    fn starts_that_fail_after_a_long_run_wait_longer_and_longer() {
        let mut history = History::default();
        let waits = (0..4).map(|failure| {
            history.note(&BTreeMap::new(), &ended(1, 60_000 + failure), 0);
            history.wait_ms(WEB, &RestartLimits::default())
        });
        assert_eq!(waits.collect::<Vec<_>>(), [0, 100, 200, 400]);
    }

    #[test]
    fn ten_seconds_of_running_start_the_count_afresh() {
        let mut history = History::default();
        (1..6).for_each(|end| history.see(&ended(end * 10, end * 10 + 1)));
        history.see(&ended(100, 10_100));
        assert_eq!(history.due_ms(WEB), 10_100);
    }
}
