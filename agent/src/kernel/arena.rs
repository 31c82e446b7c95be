//! Regions of an array map: lists and rings lie back to back, and a region is reused only after a grace time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A program that has read a frontend's old value may still read its old region: microseconds later, not seconds.
const GRACE: Duration = Duration::from_secs(1);

/// Which parts of an array of `capacity` elements are taken.
#[derive(Debug)]
pub(crate) struct Arena {
    capacity: u32,
    /// First element -> (elements, resting since).
    regions: BTreeMap<u32, Region>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Region {
    len: u32,
    /// Given back then; not used again before the grace time is over.
    resting_since: Option<Instant>,
}

impl Arena {
    pub(crate) fn new(capacity: u32) -> Arena {
        Arena { capacity, regions: BTreeMap::new() }
    }

    /// Marks a region that was taken by an agent before this one.
    pub(crate) fn adopt(&mut self, base: u32, len: u32) {
        if len > 0 {
            self.regions.insert(base, Region { len, resting_since: None });
        }
    }

    /// The first gap that is large enough; `None` when the array is full.
    pub(crate) fn take(&mut self, len: u32, now: Instant) -> Option<u32> {
        self.regions.retain(|_, r| r.resting_since.is_none_or(|since| now.duration_since(since) < GRACE));
        let mut base = 0;
        for (start, region) in &self.regions {
            if start.saturating_sub(base) >= len {
                break;
            }
            base = start + region.len;
        }
        if self.capacity.saturating_sub(base) < len {
            return None;
        }
        self.adopt(base, len);
        Some(base)
    }

    /// Gives a region back.
    pub(crate) fn release(&mut self, base: u32, now: Instant) {
        if let Some(region) = self.regions.get_mut(&base) {
            region.resting_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_do_not_overlap_and_the_first_gap_is_taken() {
        let now = Instant::now();
        let mut arena = Arena::new(10);
        arena.adopt(3, 2);
        assert_eq!(arena.take(3, now), Some(0));
        assert_eq!(arena.take(4, now), Some(5));
        assert_eq!(arena.take(2, now), None);
        assert_eq!(arena.take(1, now), Some(9));
    }

    #[test]
    fn a_region_given_back_rests_before_it_is_used_again() {
        let now = Instant::now();
        let mut arena = Arena::new(4);
        assert_eq!(arena.take(4, now), Some(0));
        arena.release(0, now);
        assert_eq!(arena.take(4, now + GRACE / 2), None);
        assert_eq!(arena.take(4, now + GRACE), Some(0));
    }
}
