//! A ring with its memory.

use crate::{Member, fresh, walk::mix};
use alloc::vec::Vec;

/// Previous owners a slot remembers.
pub const REMEMBERED: usize = 3;

/// One slot: who owns it, and who did before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Backend id; 0 = nobody.
    pub owner: u32,
    /// Other owners that still exist, newest first; 0 = none.
    pub previous: [u32; REMEMBERED],
}

/// All slots of a frontend. [`Ring::slots`] as it lies is the checkpoint a host without the ring receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    slots: Vec<Slot>,
}

impl Ring {
    /// A ring nobody remembers: see [`fresh`].
    pub fn fresh(seed: u64, members: &[Member], slots: u32) -> Ring {
        let owners = fresh(seed, members, slots).into_iter();
        Ring { slots: owners.map(|owner| Slot { owner, previous: [0; REMEMBERED] }).collect() }
    }

    /// From a checkpoint.
    pub fn from_slots(slots: Vec<Slot>) -> Ring {
        Ring { slots }
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The same ring with `slots` slots: each old one repeated, so that every hash keeps its owner.
    /// `None` unless `slots` is a multiple of the present size.
    pub fn raised(&self, slots: u32) -> Option<Ring> {
        let (old, new) = (self.slots.len(), slots as usize);
        if old == 0 || new < old || !new.is_multiple_of(old) {
            return None;
        }
        let times = new / old;
        let repeated = self.slots.iter().flat_map(|slot| core::iter::repeat_n(*slot, times));
        Some(Ring { slots: repeated.collect() })
    }

    /// Proves that two hosts hold the same ring. No defence against forgery.
    pub fn digest(&self) -> u64 {
        let words = self.slots.iter().flat_map(|s| core::iter::once(s.owner).chain(s.previous));
        words.fold(self.slots.len() as u64, |digest, word| mix(digest.rotate_left(5) ^ u64::from(word)))
    }
}
