//! Steps that fail: when each is tried again, and what to say about it meanwhile.

use std::collections::BTreeMap;

use crate::action::Action;
use crate::plan::{is_due, wait_ms};
use crate::problems::Problems;

/// Steps that failed and were not done since, by their text.
#[derive(Default)]
pub struct Failures {
    steps: BTreeMap<String, Failure>,
}

struct Failure {
    count: u32,
    next_ms: u64,
    unit: Option<String>,
    error: String,
}

impl Failures {
    /// Forgets steps that nobody plans any more.
    pub fn keep_planned(&mut self, actions: &[Action], problems: &Problems) {
        let planned: std::collections::BTreeSet<_> = actions.iter().map(ToString::to_string).collect();
        let over: Vec<_> = self.steps.keys().filter(|step| !planned.contains(*step)).cloned().collect();
        for step in over {
            self.steps.remove(&step);
            problems.clear(&step);
        }
    }

    /// Whether the step may be tried at `now_ms`.
    pub fn is_due(&self, action: &Action, now_ms: u64) -> bool {
        self.steps.get(&action.to_string()).is_none_or(|failure| is_due(failure.next_ms, now_ms))
    }

    /// The earliest next try of any step.
    pub fn next_ms(&self) -> Option<u64> {
        self.steps.values().map(|failure| failure.next_ms).min()
    }

    /// The second try comes after 100 ms, then the wait doubles to 10 s.
    pub fn failed(&mut self, action: &Action, error: String, now_ms: u64, problems: &Problems) {
        let step = action.to_string();
        let held = self.steps.get(&step);
        if !is_told_by_its_container(action) {
            problems.set(&step, error.clone());
        } else if held.is_none_or(|failure| failure.error != error) {
            tracing::warn!("{step}: {error}");
        }
        let count = held.map_or(1, |failure| failure.count.saturating_add(1));
        let next_ms = now_ms.saturating_add(wait_ms(count.saturating_add(1)));
        self.steps.insert(step, Failure { count, next_ms, unit: action.unit().map(str::to_owned), error });
    }

    pub fn done(&mut self, action: &Action, problems: &Problems) {
        let step = action.to_string();
        if self.steps.remove(&step).is_some() {
            problems.clear(&step);
        }
    }

    /// Why a unit does not get on, by its name.
    pub fn by_unit(&self) -> BTreeMap<String, String> {
        let told = |(step, failure): (&String, &Failure)| {
            failure.unit.clone().map(|unit| (unit, format!("{step}: {}", failure.error)))
        };
        self.steps.iter().filter_map(told).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Nothing is wrong with the host when a container cannot begin: the container's own status says why.
fn is_told_by_its_container(action: &Action) -> bool {
    matches!(action, Action::CreateUnit(_) | Action::StartUnit(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_tried_again_later_and_later_and_forgotten_when_done_or_unplanned() {
        let (mut failures, problems) = (Failures::default(), Problems::default());
        let step = Action::StartUnit("shop-web-1".into());
        failures.failed(&step, "no such program".into(), 1000, &problems);
        assert!(!failures.is_due(&step, 1099) && failures.is_due(&step, 1100));
        failures.failed(&step, "no such program".into(), 1100, &problems);
        assert!(!failures.is_due(&step, 1299) && failures.is_due(&step, 1300));
        assert!(problems.lines().is_empty(), "the container says it");
        assert_eq!(failures.by_unit()["shop-web-1"], "start shop-web-1: no such program");
        failures.keep_planned(&[], &problems);
        assert!(failures.is_empty());
        let step = Action::RemoveUnit("shop-web-1".into());
        failures.failed(&step, "busy".into(), 2000, &problems);
        assert_eq!(problems.lines(), ["remove unit shop-web-1: busy"]);
        failures.done(&step, &problems);
        assert!(failures.is_empty() && problems.lines().is_empty());
    }
}
