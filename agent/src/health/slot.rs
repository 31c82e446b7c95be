//! When a check is due: each has a place of its own within its interval, by hash, so that never all begin at once.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A new check begins within this time, milliseconds, however long its interval is: a new container waits for it.
const FIRST_WITHIN_MS: u64 = 500;

/// The place of a check in every interval. Other hosts that check the same container have other places.
pub fn place(node_id: u16, key: impl Hash) -> u64 {
    // Fixed keys: the same place after a restart.
    let mut hasher = DefaultHasher::new();
    (node_id, key).hash(&mut hasher);
    hasher.finish()
}

/// When a check that is new at `now_ms` begins.
pub fn first_ms(place: u64, now_ms: u64, interval_ms: u64) -> u64 {
    now_ms + place % interval_ms.clamp(1, FIRST_WITHIN_MS)
}

/// When the next one after that of `began_ms` begins: at its place in the interval, at least half an interval later, so
/// on average one interval later the first time and exactly one from then on.
pub fn next_ms(place: u64, began_ms: u64, interval_ms: u64) -> u64 {
    let interval_ms = interval_ms.max(1);
    let earliest_ms = began_ms.saturating_add((interval_ms / 2).max(1));
    let phase = place % interval_ms;
    let ahead = (phase + interval_ms - earliest_ms % interval_ms) % interval_ms;
    earliest_ms.saturating_add(ahead)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn from_the_second_time_on_a_check_begins_every_interval() {
        let place = place(1, 17);
        let first = first_ms(place, 12_345, 2000);
        let second = next_ms(place, first, 2000);
        let third = next_ms(place, second, 2000);
        assert_eq!((third - second, next_ms(place, third, 2000) - third), (2000, 2000));
        assert_eq!(next_ms(place, second + 300, 2000), third, "lateness does not add up");
    }

    #[test]
    fn a_thousand_checks_are_spread_over_the_interval() {
        let tenth = |id: u32| place(1, id) % 2000 / 200;
        for n in 0..10 {
            let count = (0..1000_u32).filter(|id| tenth(*id) == n).count();
            assert!((60..140).contains(&count), "{count} of 1000 in tenth {n}");
        }
    }

    proptest! {
        #[test]
        fn the_next_begin_is_half_an_interval_to_one_and_a_half_later(
            place: u64, began_ms in 0_u64..1 << 40, interval_ms in 2_u64..1 << 30,
        ) {
            let wait_ms = next_ms(place, began_ms, interval_ms) - began_ms;
            prop_assert!(interval_ms / 2 <= wait_ms && wait_ms < interval_ms / 2 + interval_ms);
        }
    }
}
