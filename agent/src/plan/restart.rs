//! When a unit that ended is started again: at once, then after 100 ms doubling to 10 s, until it runs well again.

use std::collections::BTreeMap;

use super::drain::Begun;
use crate::desired::DesiredUnit;
use crate::observed::{Unit, UnitState};

/// Wait before the second restart in a row, milliseconds.
const FIRST_WAIT_MS: u64 = 100;
/// Longest wait between restarts, milliseconds: a broken unit costs little and comes back soon after a repair.
const LONGEST_WAIT_MS: u64 = 10_000;
/// A unit that ran this long was well: its next end counts as the first.
const WELL_AFTER_MS: u64 = 10_000;

/// How often in a row each unit ended early, and when it began to drain. Lost with the agent; both then begin again.
#[derive(Clone, Debug, Default)]
pub struct History {
    units: BTreeMap<String, Ends>,
    drains: Begun,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    /// Ends in a row, the last one included.
    count: u32,
    /// The last end that was counted, Unix milliseconds.
    last_ms: u64,
}

impl History {
    /// Counts ends not seen before, and forgets units that are gone. `now_ms` dates an end nobody dated.
    pub fn note(&mut self, units: &BTreeMap<String, Unit>, now_ms: u64) {
        self.units.retain(|name, _| units.contains_key(name));
        for unit in units.values().filter(|unit| has_ended(unit)) {
            let ends = self.units.entry(unit.name.clone()).or_default();
            let ended_ms = match (unit.exited_ms, ends.count) {
                (0, 0) => now_ms,
                (0, _) => ends.last_ms,
                (dated, _) => dated,
            };
            if ends.count != 0 && ended_ms == ends.last_ms {
                continue;
            }
            let was_well = unit.started_ms != 0 && ended_ms.saturating_sub(unit.started_ms) >= WELL_AFTER_MS;
            ends.count = if was_well { 1 } else { ends.count.saturating_add(1) };
            ends.last_ms = ended_ms;
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
    pub fn wait_ms(&self, name: &str) -> u64 {
        self.units.get(name).map_or(0, |ends| wait_ms(ends.count))
    }

    /// Unix milliseconds from when on the unit may be started again.
    pub fn due_ms(&self, name: &str) -> u64 {
        self.units.get(name).map_or(0, |ends| ends.last_ms.saturating_add(wait_ms(ends.count)))
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

    #[test]
    fn the_first_restart_is_immediate_and_the_next_ones_wait_twice_as_long_up_to_ten_seconds() {
        let mut history = History::default();
        let mut waits = Vec::new();
        for end in 1..=10 {
            history.note(&ended(end * 1000, end * 1000 + 1), 0);
            waits.push(history.due_ms(WEB) - (end * 1000 + 1));
        }
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn the_same_end_is_counted_once_however_often_it_is_seen() {
        let mut history = History::default();
        (0..5).for_each(|_| history.note(&ended(1, 2), 0));
        assert_eq!(history.due_ms(WEB), 2);
    }

    #[test]
    fn a_clock_that_went_back_an_hour_delays_nothing() {
        assert!(is_due(5_000, 5_000) && !is_due(5_001, 5_000) && is_due(3_605_000, 5_000));
    }

    #[test]
    fn ten_seconds_of_running_start_the_count_afresh() {
        let mut history = History::default();
        (1..6).for_each(|end| history.note(&ended(end * 10, end * 10 + 1), 0));
        history.note(&ended(100, 10_100), 0);
        assert_eq!(history.due_ms(WEB), 10_100);
    }
}
