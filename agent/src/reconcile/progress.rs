//! How far this host has come with what it was told.

use crate::action::Action;
use crate::desired::Desired;
use crate::observed::{Observed, Unit, UnitState};
use crate::plan::Plan;

/// Lost with the agent: what was reached is found again by looking.
#[derive(Default)]
pub(super) struct Progress {
    /// The last generation whose every step is done.
    pub(super) reached: u64,
    /// Every step was tried once, and what all others need is there. What still ends or keeps failing since then says nothing
    /// about the host.
    pub(super) is_applied: bool,
    is_round_made: bool,
}

impl Progress {
    /// Goes by what is left to do; `is_due`: some of it now.
    pub(super) fn note(&mut self, desired: &Desired, observed: &Observed, plan: &Plan, is_due: bool) {
        if is_done(desired, observed, plan) {
            self.reached = desired.generation;
        }
        let is_host_set = !plan.actions.iter().any(|action| matches!(action, Action::SetHost(_)));
        self.is_applied |= is_host_set && (self.is_round_made || !is_due);
    }

    /// Everything that was due was tried.
    pub(super) fn round_made(&mut self) {
        self.is_round_made = true;
    }
}

/// Every step is done: nothing is planned and nothing still ends. What drains has left names and rings already.
fn is_done(desired: &Desired, observed: &Observed, plan: &Plan) -> bool {
    let ends = |unit: &Unit| matches!(unit.state, UnitState::Stopping { .. });
    let is_surplus = |unit: &Unit| !desired.units.contains_key(&unit.name);
    plan.actions.is_empty() && !observed.units.values().any(|unit| ends(unit) || is_surplus(unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::desired;
    use crate::desired::tests::{two_hosts, web_1};

    fn wanted() -> Desired {
        desired(&two_hosts(), &["eth0".into()]).expect("valid")
    }

    fn running() -> Observed {
        Observed { units: web_1(UnitState::Running { pid: 9 }, 1), ..Observed::default() }
    }

    fn planned(actions: Vec<Action>) -> Plan {
        Plan { actions, again_ms: None }
    }

    #[test]
    fn a_restarted_agent_whose_unit_is_slow_to_end_has_applied_its_assignment_and_reaches_it_later() {
        let (wanted, ending) = (wanted(), web_1(UnitState::Stopping { pid: 9 }, 1));
        let mut progress = Progress::default();
        progress.note(&wanted, &Observed { units: ending, ..Observed::default() }, &Plan::default(), false);
        assert_eq!((progress.is_applied, progress.reached), (true, 0));
        progress.note(&wanted, &Observed::default(), &Plan::default(), false);
        assert_eq!(progress.reached, wanted.generation);
    }

    #[test]
    fn a_step_that_keeps_failing_was_tried_once_and_that_is_enough() {
        let (wanted, failing) = (wanted(), planned(vec![Action::StartUnit("shop-web-1".into())]));
        let mut progress = Progress::default();
        progress.note(&wanted, &Observed::default(), &failing, true);
        assert!(!progress.is_applied, "it has yet to be tried");
        progress.round_made();
        progress.note(&wanted, &Observed::default(), &failing, true);
        assert_eq!((progress.is_applied, progress.reached), (true, 0));
    }

    #[test]
    fn a_host_whose_dataplane_cannot_be_set_up_has_applied_nothing() {
        let wanted = wanted();
        let failing = planned(vec![Action::SetHost(wanted.host.clone())]);
        let mut progress = Progress::default();
        progress.round_made();
        progress.note(&wanted, &Observed::default(), &failing, false);
        assert!(!progress.is_applied);
        progress.note(&wanted, &running(), &planned(vec![]), false);
        assert_eq!((progress.is_applied, progress.reached), (true, wanted.generation));
    }

    #[test]
    fn a_unit_that_drains_holds_up_no_generation_and_one_that_ends_does() {
        let mut stopping = two_hosts();
        (stopping.containers[0].stop, stopping.containers[0].drain_ms) = (true, 10_000);
        let desired = desired(&stopping, &[]).expect("valid");
        let is_done = |state: UnitState| {
            is_done(&desired, &Observed { units: web_1(state, 1), ..Observed::default() }, &Plan::default())
        };
        assert!(is_done(UnitState::Running { pid: 9 }));
        assert!(!is_done(UnitState::Stopping { pid: 9 }));
    }
}
