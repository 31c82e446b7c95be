//! How long a unit that is to be stopped may go on for the flows it has.

use std::collections::BTreeMap;

use crate::desired::DesiredUnit;
use crate::observed::{Unit, UnitState};

/// The least a unit drains, milliseconds: names are answered with a TTL of 1 s, and the slowest host needs a moment to
/// hear that this one left them. Until then somebody may still begin a flow.
pub(crate) const LEAST_MS: u64 = 1_500;
/// How often its flows are counted meanwhile, milliseconds: often while most drains end, then seldom enough for those
/// that last an hour.
const LOOK_EVERY_MS: u64 = 100;
const LOOK_OFTEN_MS: u64 = 3_000;
const LOOK_LATER_EVERY_MS: u64 = 500;

/// What to do with a unit that drains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    /// After as many milliseconds.
    LookAgainIn(u64),
    Over,
}

/// Decides when it has drained for `drained_ms`. `flows` are its inbound TCP flows; None = they cannot be counted: a
/// unit on the host's own network waits out the least time, another one its deadline.
pub(super) fn drain(unit: &DesiredUnit, drained_ms: u64, flows: Option<usize>) -> Drain {
    let end_ms = match (unit.spec.network_mode.as_str(), flows) {
        // Nobody can reach it.
        ("none", _) => 0,
        ("host", _) | (_, Some(0)) => LEAST_MS.min(unit.drain_ms),
        _ => unit.drain_ms,
    };
    let look_ms = if drained_ms < LOOK_OFTEN_MS { LOOK_EVERY_MS } else { LOOK_LATER_EVERY_MS };
    match end_ms.saturating_sub(drained_ms) {
        0 => Drain::Over,
        left_ms => Drain::LookAgainIn(left_ms.min(look_ms)),
    }
}

/// Whether the unit is to be stopped and may finish its flows before.
pub(crate) fn drains(wanted: &DesiredUnit, unit: &Unit) -> bool {
    wanted.stop && wanted.drain_ms > 0 && matches!(unit.state, UnitState::Running { .. })
}

/// How long each unit has drained. Lost with the agent; a drain then begins again.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun {
    /// Both by a clock that neither jumps nor goes back, milliseconds: a wall clock that is set ends no drain.
    began_ms: BTreeMap<String, u64>,
    now_ms: u64,
}

impl Begun {
    pub(super) fn note(&mut self, wanted: &BTreeMap<String, DesiredUnit>, units: &BTreeMap<String, Unit>, now_ms: u64) {
        let is_draining =
            |name: &String| wanted.get(name).zip(units.get(name)).is_some_and(|(wanted, unit)| drains(wanted, unit));
        self.began_ms.retain(|name, _| is_draining(name));
        for name in units.keys().filter(|name| is_draining(name)) {
            self.began_ms.entry(name.clone()).or_insert(now_ms);
        }
        self.now_ms = now_ms;
    }

    /// 0 for one that was not noted.
    pub(super) fn drained_ms(&self, name: &str) -> u64 {
        self.began_ms.get(name).map_or(0, |began_ms| self.now_ms.saturating_sub(*began_ms))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::desired::desired;
    use crate::desired::tests::two_hosts;

    const DRAIN_MS: u64 = 10_000;

    fn unit(network_mode: &str, drain_ms: u64) -> DesiredUnit {
        let mut unit = desired(&two_hosts(), &[]).expect("valid").units["shop-web-1"].clone();
        (unit.stop, unit.drain_ms, unit.spec.network_mode) = (true, drain_ms, network_mode.into());
        unit
    }

    /// How long a drain lasts if every look finds `flows`.
    fn lasts_ms(unit: &DesiredUnit, flows: Option<usize>) -> u64 {
        let mut drained_ms = 0;
        while let Drain::LookAgainIn(wait_ms) = drain(unit, drained_ms, flows) {
            assert!((1..=500).contains(&wait_ms), "{wait_ms} ms after {drained_ms}");
            drained_ms += wait_ms;
        }
        drained_ms
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
        assert_eq!(drain(&managed, 2000, Some(1)), Drain::LookAgainIn(100));
        assert_eq!(drain(&managed, 2100, Some(0)), Drain::Over);
    }

    #[test]
    fn one_that_lasts_is_looked_at_less_often() {
        assert_eq!(drain(&unit("managed", 3_600_000), 3000, Some(1)), Drain::LookAgainIn(500));
    }

    #[test]
    fn on_the_hosts_network_flows_are_not_known_and_without_a_network_there_are_none() {
        assert_eq!(lasts_ms(&unit("host", DRAIN_MS), None), LEAST_MS);
        assert_eq!(lasts_ms(&unit("none", DRAIN_MS), None), 0);
    }

    #[test]
    fn it_is_counted_from_its_first_look_and_forgotten_when_it_is_not_wanted_any_more() {
        let wanted = BTreeMap::from([("shop-web-1".to_owned(), unit("managed", DRAIN_MS))]);
        let units = crate::desired::tests::web_1(UnitState::Running { pid: 9 }, 1);
        let mut begun = Begun::default();
        begun.note(&wanted, &units, 700);
        begun.note(&wanted, &units, 1000);
        assert_eq!(begun.drained_ms("shop-web-1"), 300);
        begun.note(&BTreeMap::new(), &units, 1100);
        begun.note(&wanted, &units, 1200);
        assert_eq!(begun.drained_ms("shop-web-1"), 0);
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
