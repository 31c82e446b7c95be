//! Rings: which backend owns each slot of a frontend that is served from outside.
//!
//! Maglev (Eisenbud et al., NSDI 2016, section 3.4): each member walks the slots in an order of its own and takes the
//! first free one when its turn comes. Every host computes the same ring from the same members, and the removal of one
//! of n members moves little more than its own slots. Pure: the same input is the same ring, on every host, for ever.
//!
//! Never here: addresses, maps, clocks, randomness; anything but `core` and `alloc`.
#![no_std]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

/// The sizes a ring may have, smallest first. Each is four times the one before, so that raising a living ring
/// repeats each slot four times and its owners stay right.
pub const SIZES: [u32; 3] = [4093, 16_372, 65_488];
/// With 100 slots for each member, loads differ by a few per cent.
const SLOTS_PER_MEMBER: usize = 100;

/// One backend in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Backend id; 0 is "none" and never a member.
    pub id: u32,
    /// Its share relative to the others; 0 owns nothing.
    pub weight: u32,
}

/// The owner of each slot for these members: `slots` backend ids, all 0 when nobody can own one.
///
/// The order of `members` does not matter; of two with one id the heavier counts. `seed` is the same on all hosts
/// and differs between frontends, so that their rings do not overload the same member together.
pub fn fresh(seed: u64, members: &[Member], slots: u32) -> Vec<u32> {
    let mut members: Vec<Member> = members.iter().copied().filter(|m| m.id != 0 && m.weight != 0).collect();
    members.sort_unstable_by(|a, b| a.id.cmp(&b.id).then(b.weight.cmp(&a.weight)));
    members.dedup_by_key(|m| m.id);
    let mut ring = vec![0; slots as usize];
    let heaviest = members.iter().map(|m| m.weight).max().unwrap_or(0);
    if heaviest == 0 || slots == 0 {
        return ring;
    }
    let mut walkers: Vec<Walker> = members.iter().map(|m| Walker::of(*m, seed, slots)).collect();
    let mut free = slots;
    while free > 0 {
        for walker in &mut walkers {
            if free > 0 && walker.has_turn(heaviest) {
                walker.take(&mut ring);
                free -= 1;
            }
        }
    }
    ring
}

/// How large a fresh ring for so many members is.
pub fn slots_for(members: usize) -> u32 {
    let wanted = members.saturating_mul(SLOTS_PER_MEMBER);
    let largest = SIZES[SIZES.len() - 1];
    SIZES.into_iter().find(|size| *size as usize >= wanted).unwrap_or(largest)
}

/// One member on its way round: a permutation of all slots, given by where it starts and how far it steps.
struct Walker {
    id: u32,
    weight: u32,
    credit: u32,
    at: u32,
    step: u32,
}

impl Walker {
    fn of(member: Member, seed: u64, slots: u32) -> Walker {
        let hash = mix(seed ^ mix(u64::from(member.id)));
        let at = (hash as u32) % slots;
        let mut step = ((hash >> 32) as u32) % slots;
        // A step that shares a factor with the size would miss slots for ever.
        while step == 0 || common_factor(step, slots) != 1 {
            step = (step + 1) % slots;
            if slots == 1 {
                step = 0;
                break;
            }
        }
        Walker { id: member.id, weight: member.weight, credit: 0, at, step }
    }

    /// The heaviest member takes a slot in every round, the others as often as their weight says.
    fn has_turn(&mut self, heaviest: u32) -> bool {
        self.credit = self.credit.saturating_add(self.weight);
        let has_turn = self.credit >= heaviest;
        if has_turn {
            self.credit -= heaviest;
        }
        has_turn
    }

    /// The next free slot on its way. The caller knows that there is one.
    fn take(&mut self, ring: &mut [u32]) {
        let slots = ring.len() as u64;
        for _ in 0..slots {
            let here = self.at as usize;
            self.at = ((u64::from(self.at) + u64::from(self.step)) % slots) as u32;
            if let Some(slot) = ring.get_mut(here)
                && *slot == 0
            {
                *slot = self.id;
                return;
            }
        }
    }
}

/// splitmix64's finaliser (Steele, Lea, Flood 2014): every input bit reaches every output bit.
fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn common_factor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_factor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

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
