//! How long a unit that is to be stopped may go on for the flows it has.

use std::collections::BTreeMap;

use crate::desired::DesiredUnit;
use crate::observed::{Unit, UnitState};

/// The least a unit drains, milliseconds: names are answered with a TTL of 1 s, and the slowest host needs a moment to
/// hear that this one left them. Until then somebody may still begin a flow.
pub(crate) const LEAST_MS: u64 = 1_500;
/// How often its flows are counted meanwhile, milliseconds.
const LOOK_EVERY_MS: u64 = 100;

/// What to do with a unit that drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    LookAgainAt(u64),
    Over,
}

/// Decides at `now_ms`; the drain began at `began_ms`. `flows` are its inbound TCP flows; None = they cannot be
/// counted: a unit on the host's own network waits out the least time, another one its deadline.
pub(super) fn drain(unit: &DesiredUnit, began_ms: u64, flows: Option<usize>, now_ms: u64) -> Drain {
    let deadline_ms = began_ms.saturating_add(unit.drain_ms);
    let least_ms = began_ms.saturating_add(LEAST_MS).min(deadline_ms);
    let end_ms = match (unit.spec.network_mode.as_str(), flows) {
        // Nobody can reach it.
        ("none", _) => began_ms,
        ("host", _) | (_, Some(0)) => least_ms,
        _ => deadline_ms,
    };
    match now_ms >= end_ms {
        true => Drain::Over,
        false => Drain::LookAgainAt(end_ms.min(now_ms.saturating_add(LOOK_EVERY_MS))),
    }
}

/// Whether the unit is to be stopped and may finish its flows before.
pub(crate) fn drains(wanted: &DesiredUnit, unit: &Unit) -> bool {
    wanted.stop && wanted.drain_ms > 0 && matches!(unit.state, UnitState::Running { .. })
}

/// When each drain began, Unix milliseconds. Lost with the agent; a drain then begins again.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(BTreeMap<String, u64>);

impl Begun {
    pub(super) fn note(&mut self, wanted: &BTreeMap<String, DesiredUnit>, units: &BTreeMap<String, Unit>, now_ms: u64) {
        let is_draining =
            |name: &String| wanted.get(name).zip(units.get(name)).is_some_and(|(wanted, unit)| drains(wanted, unit));
        self.0.retain(|name, _| is_draining(name));
        for name in units.keys().filter(|name| is_draining(name)) {
            let began_ms = self.0.entry(name.clone()).or_insert(now_ms);
            // A clock that went back must not make the drain longer than it may be.
            *began_ms = now_ms.min(*began_ms);
        }
    }

    pub(super) fn ms(&self, name: &str) -> Option<u64> {
        self.0.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::desired::desired;
    use crate::desired::tests::two_hosts;

    const BEGAN_MS: u64 = 1_000_000;
    const DRAIN_MS: u64 = 10_000;

    fn unit(network_mode: &str, drain_ms: u64) -> DesiredUnit {
        let mut unit = desired(&two_hosts(), &[]).expect("valid").units["shop-web-1"].clone();
        (unit.stop, unit.drain_ms, unit.spec.network_mode) = (true, drain_ms, network_mode.into());
        unit
    }

    /// How long a drain lasts if every look finds `flows`.
    fn lasts_ms(unit: &DesiredUnit, flows: Option<usize>) -> u64 {
        let mut now_ms = BEGAN_MS;
        while let Drain::LookAgainAt(next_ms) = drain(unit, BEGAN_MS, flows, now_ms) {
            assert!(next_ms > now_ms && next_ms <= now_ms + 100, "from {now_ms} to {next_ms}");
            now_ms = next_ms;
        }
        now_ms - BEGAN_MS
    }

    #[test]
    fn a_unit_without_flows_waits_until_nobody_holds_its_address_and_one_with_flows_until_its_deadline() {
        let managed = unit("managed", DRAIN_MS);
        assert_eq!(lasts_ms(&managed, Some(0)), LEAST_MS);
        assert_eq!(lasts_ms(&managed, Some(3)), DRAIN_MS);
        assert_eq!(lasts_ms(&managed, None), DRAIN_MS, "what cannot be counted may be there");
        assert_eq!(lasts_ms(&unit("managed", 400), Some(0)), 400, "the deadline comes first");
    }

    #[test]
    fn it_ends_when_the_last_flow_does() {
        let managed = unit("managed", DRAIN_MS);
        assert_eq!(drain(&managed, BEGAN_MS, Some(1), BEGAN_MS + 4000), Drain::LookAgainAt(BEGAN_MS + 4100));
        assert_eq!(drain(&managed, BEGAN_MS, Some(0), BEGAN_MS + 4100), Drain::Over);
    }

    #[test]
    fn on_the_hosts_network_flows_are_not_known_and_without_a_network_there_are_none() {
        assert_eq!(lasts_ms(&unit("host", DRAIN_MS), None), LEAST_MS);
        assert_eq!(lasts_ms(&unit("none", DRAIN_MS), None), 0);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_make_it_longer() {
        let wanted = BTreeMap::from([("shop-web-1".to_owned(), unit("managed", DRAIN_MS))]);
        let units = crate::desired::tests::web_1(UnitState::Running { pid: 9 }, 1);
        let mut begun = Begun::default();
        begun.note(&wanted, &units, BEGAN_MS);
        begun.note(&wanted, &units, BEGAN_MS - 900_000);
        assert_eq!(begun.ms("shop-web-1"), Some(BEGAN_MS - 900_000));
        begun.note(&wanted, &BTreeMap::new(), BEGAN_MS);
        assert_eq!(begun.ms("shop-web-1"), None);
    }

    proptest! {
        #[test]
        fn a_drain_lasts_as_long_as_its_least_time_and_never_longer_than_it_may(
            drain_ms in 1_u64..20_000, flows in proptest::option::of(0_usize..3),
        ) {
            let lasts_ms = lasts_ms(&unit("managed", drain_ms), flows);
            prop_assert!(lasts_ms <= drain_ms && lasts_ms >= drain_ms.min(LEAST_MS));
        }
    }
}
