//! What the time that passed without a server means for the state it goes on from: nothing was decided meanwhile.

use std::sync::Arc;

use crate::state::{Container, Stage, State};

/// Readies a state that was just read from the store. No time of it lies ahead: by a clock that was set back since,
/// nothing would be due before that time. And what is drained waits anew for another one in its place: none could come.
pub fn resume(state: &mut State, now_ms: u64) {
    for container in state.containers.values_mut() {
        let resumed = resumed(container, now_ms);
        if **container != resumed {
            *container = Arc::new(resumed);
        }
    }
    for service in state.services.values_mut().filter(|service| service.recreation.at_ms > now_ms) {
        Arc::make_mut(service).recreation.at_ms = now_ms;
    }
}

fn resumed(held: &Container, now_ms: u64) -> Container {
    let mut container = held.clone();
    container.verdict.since_ms = held.verdict.since_ms.min(now_ms);
    container.moving_since_ms = match held.moving_since_ms {
        Some(_) if held.is_wanted() => Some(now_ms),
        since_ms => since_ms.map(|since_ms| since_ms.min(now_ms)),
    };
    if let Stage::Draining { revision, since_ms } = held.stage {
        container.stage = Stage::Draining { revision, since_ms: since_ms.min(now_ms) };
    }
    container
}

#[cfg(test)]
mod tests {
    use remuda_api::resource::Health;

    use super::*;
    use crate::health::Recreation;
    use crate::state::{Service, Verdict};

    const NOW_MS: u64 = 1_700_000_000_000;
    const A_DAY_MS: u64 = 86_400_000;

    fn resumed_with(container: Container, recreated_ms: u64) -> State {
        let recreation = Recreation { at_ms: recreated_ms, in_vain: 3 };
        let service = Service { id: 7, recreation, ..Service::default() };
        let mut state = State::default();
        state.services.insert(7, Arc::new(service));
        state.containers.insert("c".into(), Arc::new(Container { name: "c".into(), service_id: 7, ..container }));
        resume(&mut state, NOW_MS);
        state
    }

    #[test]
    fn no_time_lies_ahead_when_the_clock_was_set_back() {
        let ahead_ms = NOW_MS + A_DAY_MS;
        let verdict = Verdict { health: Health::Initializing, since_ms: ahead_ms, ..Verdict::default() };
        let draining = Stage::Draining { revision: 4, since_ms: ahead_ms };
        let held = Container { stage: draining, verdict, moving_since_ms: Some(ahead_ms), ..Container::default() };
        let state = resumed_with(held, ahead_ms);
        let container = &state.containers["c"];
        assert_eq!(container.verdict.since_ms, NOW_MS);
        assert_eq!(container.stage, Stage::Draining { revision: 4, since_ms: NOW_MS });
        assert_eq!(container.moving_since_ms, Some(NOW_MS));
        assert_eq!(state.services[&7].recreation, Recreation { at_ms: NOW_MS, in_vain: 3 });
    }

    #[test]
    fn times_that_have_passed_stay_as_they_are() {
        let verdict = Verdict { since_ms: NOW_MS - 5, ..Verdict::default() };
        let held = Container { stage: Stage::Draining { revision: 4, since_ms: 9 }, verdict, ..Container::default() };
        let state = resumed_with(held.clone(), 8);
        let expected = Container { name: "c".into(), service_id: 7, ..held };
        assert_eq!((&*state.containers["c"], state.services[&7].recreation.at_ms), (&expected, 8));
    }

    #[test]
    fn what_is_drained_waits_anew_as_nothing_could_take_its_place_without_a_server() {
        let held = Container { moving_since_ms: Some(NOW_MS - A_DAY_MS), ..Container::default() };
        assert_eq!(resumed_with(held, 0).containers["c"].moving_since_ms, Some(NOW_MS));
        assert_eq!(resumed_with(Container::default(), 0).containers["c"].moving_since_ms, None);
    }
}
