//! A ring from nothing but its members.

use crate::{Member, walk::Walker};
use alloc::{vec, vec::Vec};

/// The owner of each slot for these members: `slots` backend ids, all 0 when nobody can own one.
///
/// The order of `members` does not matter; of two with one id the heavier counts. `seed` is the same on all hosts
/// and differs between frontends, so that their rings do not overload the same member together.
pub fn fresh(seed: u64, members: &[Member], slots: u32) -> Vec<u32> {
    let mut members = crate::member::known(members);
    members.retain(|m| m.weight != 0);
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
