//! Who may own slots, and how many each.

use alloc::{vec, vec::Vec};

/// One backend in a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Backend id; 0 is "none" and never a member.
    pub id: u32,
    /// Its share relative to the others; 0 owns nothing. A draining backend is a member of weight 0: it
    /// keeps its place in the slots' memory until it is no member any more.
    pub weight: u32,
}

/// Members by id, each once; of two with one id the heavier counts.
pub(crate) fn known(members: &[Member]) -> Vec<Member> {
    let mut members: Vec<Member> = members.iter().copied().filter(|m| m.id != 0).collect();
    members.sort_unstable_by(|a, b| a.id.cmp(&b.id).then(b.weight.cmp(&a.weight)));
    members.dedup_by_key(|m| m.id);
    members
}

/// How many slots each of `members` (by id, each once) shall own: by weight, the rest one each from the
/// first. All 0 if nobody has weight.
pub(crate) fn quotas(members: &[Member], slots: u32) -> Vec<u32> {
    let total: u64 = members.iter().map(|m| u64::from(m.weight)).sum();
    if total == 0 {
        return vec![0; members.len()];
    }
    let share = |m: &Member| (u64::from(slots) * u64::from(m.weight) / total) as u32;
    let mut quotas: Vec<u32> = members.iter().map(share).collect();
    let mut rest = slots - quotas.iter().sum::<u32>();
    for (quota, member) in quotas.iter_mut().zip(members) {
        if rest > 0 && member.weight > 0 {
            *quota += 1;
            rest -= 1;
        }
    }
    quotas
}
