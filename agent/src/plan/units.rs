//! Steps for the units of this host: create, plug, start; stop, unplug, remove.

use crate::action::{Action, Plug};
use crate::desired::{Desired, DesiredUnit, Restart};
use crate::observed::{Observed, Plugged, Unit, UnitState};

use super::drain::{Drain, drain, drains};
use super::restart::History;

/// How long a unit that nobody asks for any more may take to stop: what it was granted is gone with its record.
const SURPLUS_GRACE_MS: u64 = 10_000;

#[derive(Default)]
pub(super) struct UnitSteps {
    pub(super) adding: Vec<Action>,
    pub(super) removing: Vec<Action>,
    pub(super) again_ms: Option<u64>,
}

/// What one unit needs next.
enum Step {
    Nothing,
    Create,
    /// Namespace exists; plug it if need be, and start it.
    Start,
    /// Running; plug it if need be.
    Keep,
    WaitUntil(u64),
    Stop,
    Remove,
}

pub(super) fn plan(
    desired: &Desired,
    observed: &Observed,
    history: &History,
    may_remove: bool,
    now_ms: u64,
) -> UnitSteps {
    let mut steps = UnitSteps::default();
    let (mut creates, mut plugs, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for (name, unit) in &desired.units {
        let observed_unit = observed.units.get(name);
        match step(unit, observed_unit, observed, history, now_ms) {
            Step::Nothing => {}
            Step::WaitUntil(due_ms) => steps.again_ms = Some(steps.again_ms.map_or(due_ms, |ms| ms.min(due_ms))),
            Step::Create => {
                creates.push(Action::CreateUnit(Box::new(unit.spec.clone())));
                if !takes_time(unit) {
                    plugs.extend(unit.plug.clone().map(Action::PlugEndpoint));
                    starts.push(Action::StartUnit(name.clone()));
                }
            }
            Step::Start => {
                // Its namespace may be a new one, while the old one's interface is still on its way out.
                let is_bare = observed_unit.is_some_and(|held| !held.plugged);
                let bare = || unit.plug.clone().filter(|_| is_bare).map(Action::PlugEndpoint);
                plugs.extend(missing_plug(unit, observed).or_else(bare));
                starts.push(Action::StartUnit(name.clone()));
            }
            Step::Keep => plugs.extend(missing_plug(unit, observed)),
            Step::Stop => steps.removing.push(stop(name, &unit.stop_signal, unit.grace_ms)),
            Step::Remove => remove(name, observed, &mut steps.removing),
        }
    }
    steps.adding = [creates, plugs, starts].concat();
    if may_remove {
        surplus(desired, observed, &mut steps.removing);
    }
    steps
}

fn step(unit: &DesiredUnit, held: Option<&Unit>, observed: &Observed, history: &History, now_ms: u64) -> Step {
    let name = &unit.spec.name;
    let when_due = |step: Step| history.waits_until_ms(name, &unit.limits, now_ms).map_or(step, Step::WaitUntil);
    let is_given_up = history.given_up_after(name, &unit.limits).is_some();
    let Some(held) = held else {
        return if unit.stop { Step::Nothing } else { when_due(Step::Create) };
    };
    let is_outdated = !unit.is_made_as_wanted(held);
    match &held.state {
        UnitState::Running { .. } if drains(unit, held) => {
            match drain(unit, history.drained_ms(name), observed.flows.get(name).copied()) {
                Drain::LookAgainIn(ms) => Step::WaitUntil(now_ms.saturating_add(ms)),
                Drain::Over => Step::Stop,
            }
        }
        UnitState::Running { .. } if unit.stop || is_outdated => Step::Stop,
        UnitState::Running { .. } => Step::Keep,
        UnitState::Stopping { .. } => Step::Nothing,
        // What is still being made is given up.
        _ if is_outdated || unit.stop => Step::Remove,
        UnitState::Working { .. } => Step::Nothing,
        UnitState::Exited { .. } | UnitState::Failed { .. } if is_given_up => Step::Nothing,
        state if is_to_start(unit, held, state) => when_due(if held.can_start { Step::Start } else { Step::Create }),
        UnitState::Created | UnitState::Exited { .. } | UnitState::Failed { .. } => Step::Nothing,
    }
}

/// By the restart policy, which says nothing about a unit that could not even be made.
fn is_to_start(unit: &DesiredUnit, held: &Unit, state: &UnitState) -> bool {
    match state {
        UnitState::Exited { code, .. } => comes_back(unit.restart, *code),
        UnitState::Failed { .. } => unit.restart != Restart::Never || (held.started_ms == 0 && !held.can_start),
        _ => true,
    }
}

/// An engine makes it in the background: its namespace is plugged, and its program started, when they are there.
fn takes_time(unit: &DesiredUnit) -> bool {
    unit.spec.runtime == "docker"
}

/// The restart policy.
pub(crate) fn comes_back(restart: Restart, code: i32) -> bool {
    match restart {
        Restart::Always => true,
        Restart::OnFailure => code != 0,
        Restart::Never => false,
    }
}

fn missing_plug(unit: &DesiredUnit, observed: &Observed) -> Option<Action> {
    let plug = unit.plug.as_ref()?;
    let held = observed.kernel.endpoints.get(&plug.ip);
    (held != Some(&plugged(plug))).then(|| Action::PlugEndpoint(plug.clone()))
}

pub(super) fn plugged(plug: &Plug) -> Plugged {
    Plugged { name: plug.name.clone(), endpoint_id: plug.endpoint_id, mtu: plug.mtu, no_egress: plug.no_egress }
}

fn stop(name: &str, signal: &str, grace_ms: u64) -> Action {
    Action::StopUnit { name: name.to_owned(), signal: signal.to_owned(), grace_ms }
}

fn remove(name: &str, observed: &Observed, actions: &mut Vec<Action>) {
    let endpoints = observed.kernel.endpoints.iter().filter(|(_, plugged)| plugged.name == name);
    actions.extend(endpoints.map(|(ip, _)| Action::UnplugEndpoint { name: name.to_owned(), ip: *ip }));
    actions.push(Action::RemoveUnit(name.to_owned()));
}

/// Units and endpoints nobody asks for.
fn surplus(desired: &Desired, observed: &Observed, actions: &mut Vec<Action>) {
    for unit in observed.units.values().filter(|unit| !desired.units.contains_key(&unit.name)) {
        match unit.state {
            UnitState::Running { .. } => actions.push(stop(&unit.name, "", SURPLUS_GRACE_MS)),
            UnitState::Stopping { .. } => {}
            _ => remove(&unit.name, observed, actions),
        }
    }
    let orphans = observed.kernel.endpoints.iter().filter(|(ip, plugged)| {
        let wanted = desired.units.get(&plugged.name).and_then(|unit| unit.plug.as_ref());
        !observed.units.contains_key(&plugged.name) && wanted.is_none_or(|plug| plug.ip != **ip)
    });
    let unplug =
        |(ip, plugged): (&std::net::Ipv4Addr, &Plugged)| Action::UnplugEndpoint { name: plugged.name.clone(), ip: *ip };
    actions.extend(orphans.map(unplug));
}
