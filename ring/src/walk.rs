//! Each member's own way round the slots (Eisenbud et al., section 3.4).

use crate::Member;

/// One member on its way round: a permutation of all slots, given by where it starts and how far it steps.
pub(crate) struct Walker {
    pub(crate) id: u32,
    weight: u32,
    credit: u32,
    at: u32,
    step: u32,
}

impl Walker {
    pub(crate) fn of(member: Member, seed: u64, slots: u32) -> Walker {
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
    pub(crate) fn has_turn(&mut self, heaviest: u32) -> bool {
        self.credit = self.credit.saturating_add(self.weight);
        let has_turn = self.credit >= heaviest;
        if has_turn {
            self.credit -= heaviest;
        }
        has_turn
    }

    /// The next free slot on its way. The caller knows that there is one.
    pub(crate) fn take(&mut self, ring: &mut [u32]) {
        if let Some(slot) = self.find(ring.len() as u32, |at| ring.get(at as usize).is_some_and(|s| *s == 0))
            && let Some(owner) = ring.get_mut(slot as usize)
        {
            *owner = self.id;
        }
    }

    /// The next slot on its way that `wanted` accepts; `None` after a whole round without one.
    pub(crate) fn find(&mut self, slots: u32, wanted: impl Fn(u32) -> bool) -> Option<u32> {
        for _ in 0..slots {
            let here = self.at;
            self.at = ((u64::from(self.at) + u64::from(self.step)) % u64::from(slots)) as u32;
            if wanted(here) {
                return Some(here);
            }
        }
        None
    }
}

/// splitmix64's finaliser (Steele, Lea, Flood 2014): every input bit reaches every output bit.
pub(crate) fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn common_factor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_factor(b, a % b) }
}
