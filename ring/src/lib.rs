//! Rings: which backend owns each slot of a frontend that is served from outside.
//!
//! Maglev (Eisenbud et al., NSDI 2016, section 3.4): each member walks the slots in an order of its own and takes the
//! first free one when its turn comes. Every host computes the same ring from the same members. A living ring changes
//! by steps: each is a pure function of the ring before and the members now, moves only what must move, and leaves in
//! every slot the memory of its last owners, so that hosts which took the same steps hold the same bytes.
//!
//! - [`fresh`]: owners from members alone, for a ring nobody remembers
//! - [`Ring`]: slots with owner and memory; [`Ring::step`], [`Ring::raised`], [`Ring::digest`]
//! - [`Member`], [`slots_for`]: who takes part, and how large a ring is
//!
//! Never here: addresses, maps, clocks, randomness; anything but `core` and `alloc`.
#![no_std]

extern crate alloc;

mod fresh;
mod member;
mod ring;
mod step;
mod walk;

pub use fresh::fresh;
pub use member::Member;
pub use ring::{REMEMBERED, Ring, Slot};
pub use step::Step;

/// The sizes a ring may have, smallest first. Each is four times the one before, so that raising a living ring
/// repeats each slot four times and its owners stay right.
pub const SIZES: [u32; 3] = [4093, 16_372, 65_488];
/// With 100 slots for each member, loads differ by a few per cent.
const SLOTS_PER_MEMBER: usize = 100;

/// How large a fresh ring for so many members is.
pub fn slots_for(members: usize) -> u32 {
    let wanted = members.saturating_mul(SLOTS_PER_MEMBER);
    let largest = SIZES[SIZES.len() - 1];
    SIZES.into_iter().find(|size| *size as usize >= wanted).unwrap_or(largest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn members(ids: core::ops::RangeInclusive<u32>) -> Vec<Member> {
        ids.map(|id| Member { id, weight: 1 }).collect()
    }

    fn share(ring: &[u32], id: u32) -> usize {
        ring.iter().filter(|owner| **owner == id).count()
    }

    #[test]
    fn every_slot_has_an_owner_and_shares_differ_by_one() {
        for count in [1, 2, 3, 7, 40] {
            let ring = fresh(7, &members(1..=count), 4093);
            let shares: Vec<usize> = (1..=count).map(|id| share(&ring, id)).collect();
            assert_eq!(shares.iter().sum::<usize>(), 4093);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1, "{shares:?}");
        }
    }

    #[test]
    fn removing_one_of_ten_moves_its_own_slots_and_few_others() {
        let before = fresh(7, &members(1..=10), 4093);
        let after = fresh(7, &members(1..=9), 4093);
        let moved = before.iter().zip(&after).filter(|(b, a)| b != a && **b != 10).count();
        assert!(moved < 4093 / 10, "{moved} slots of living members moved");
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let mut reversed = members(1..=9);
        reversed.reverse();
        assert_eq!(fresh(3, &members(1..=9), 16_372), fresh(3, &reversed, 16_372));
    }

    #[test]
    fn a_member_of_twice_the_weight_owns_twice_the_slots() {
        let ring = fresh(1, &[Member { id: 1, weight: 2 }, Member { id: 2, weight: 1 }], 4093);
        assert!(share(&ring, 1).abs_diff(2 * share(&ring, 2)) <= 3);
    }

    #[test]
    fn nobody_owns_an_empty_ring() {
        assert!(fresh(1, &[], 4093).iter().all(|owner| *owner == 0));
        assert!(fresh(1, &[Member { id: 5, weight: 0 }], 4093).iter().all(|owner| *owner == 0));
    }

    #[test]
    fn a_ring_has_at_least_a_hundred_slots_for_each_member_while_it_can() {
        assert_eq!([0, 40, 41, 163, 164, 5000].map(slots_for), [4093, 4093, 16_372, 16_372, 65_488, 65_488]);
    }
}
