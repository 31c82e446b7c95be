//! Units that an engine makes in the background.

use super::*;

fn wanted_docker() -> Desired {
    let mut assignment = two_hosts();
    let container = &mut assignment.containers[0];
    (container.runtime, container.image) = ("docker".into(), "nginx".into());
    wanted(&assignment)
}

/// What is planned for the unit when it is so.
fn planned(desired: &Desired, unit: Option<Unit>) -> Vec<String> {
    let mut observed = Observed::default();
    settle(&wanted(&two_hosts()), &mut observed);
    observed.kernel.endpoints.clear();
    observed.units = unit.into_iter().map(|unit| (unit.name.clone(), unit)).collect();
    let plan = plan(desired, &observed, &History::default(), true, NOW_MS);
    lines(&plan.actions.into_iter().filter(|action| action.unit().is_some()).collect::<Vec<_>>())
}

fn unit(state: UnitState, can_start: bool) -> Option<Unit> {
    let unit = crate::desired::tests::web_1(state, 1).remove(WEB).expect("its own");
    Some(Unit { can_start, plugged: false, started_ms: 0, ..unit })
}

const CREATE: &str = "create unit shop-web-1 (revision 1)";
const PLUG: &str = "plug shop-web-1 as 10.42.1.2";
const START: &str = "start shop-web-1";
const REMOVE: &str = "remove unit shop-web-1";

fn working() -> UnitState {
    UnitState::Working { what: "pulling nginx".into() }
}

fn failed() -> UnitState {
    UnitState::Failed { reason: "no such image".into() }
}

fn exited(code: i32) -> UnitState {
    UnitState::Exited { code, reason: String::new(), lines: vec![] }
}

#[test]
fn it_is_created_then_left_alone_then_plugged_and_started_when_its_namespace_is_there() {
    let desired = wanted_docker();
    assert_eq!(planned(&desired, None), [CREATE]);
    assert!(planned(&desired, unit(working(), false)).is_empty());
    assert_eq!(planned(&desired, unit(UnitState::Created, true)), [PLUG, START]);
}

#[test]
fn what_could_not_be_made_is_made_again_and_what_could_not_be_started_is_started_again() {
    let desired = wanted_docker();
    assert_eq!(planned(&desired, unit(failed(), false)), [CREATE]);
    assert_eq!(planned(&desired, unit(failed(), true)), [PLUG, START]);
}

#[test]
fn one_whose_namespace_went_with_its_engine_gets_a_new_one_before_it_starts() {
    let desired = wanted_docker();
    assert_eq!(planned(&desired, unit(exited(137), false)), [CREATE]);
    assert_eq!(planned(&desired, unit(exited(137), true)), [PLUG, START]);
}

#[test]
fn a_new_namespace_is_plugged_before_the_start_also_while_the_old_interface_is_still_there() {
    let (desired, mut observed) = settled();
    observed.units = unit(exited(137), true).into_iter().map(|unit| (unit.name.clone(), unit)).collect();
    let plan = plan(&desired, &observed, &History::default(), true, NOW_MS);
    assert_eq!(lines(&plan.actions)[..2], [PLUG.to_owned(), START.to_owned()]);
}

#[test]
fn one_that_shall_not_come_back_is_not_started_again_but_made_if_it_never_was() {
    let mut desired = wanted_docker();
    desired.units.get_mut(WEB).expect("wanted").restart = crate::desired::Restart::Never;
    assert!(planned(&desired, unit(exited(0), false)).is_empty());
    assert!(planned(&desired, unit(failed(), true)).is_empty());
    assert_eq!(planned(&desired, unit(failed(), false)), [CREATE]);
}

#[test]
fn one_that_is_not_wanted_any_more_is_given_up_while_it_is_made() {
    let mut desired = wanted_docker();
    desired.units.get_mut(WEB).expect("wanted").stop = true;
    assert_eq!(planned(&desired, unit(working(), false)), [REMOVE]);
    desired.units.clear();
    assert_eq!(planned(&desired, unit(working(), false)), [REMOVE]);
    assert!(planned(&desired, unit(UnitState::Stopping { pid: 0 }, false)).is_empty(), "once is enough");
}
