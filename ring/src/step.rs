//! One step from ring and members to the next ring: only what must move does.

use crate::{
    Member, REMEMBERED, Ring, Slot,
    member::{known, quotas},
    walk::Walker,
};
use alloc::{vec, vec::Vec};

/// What a step made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub ring: Ring,
    /// Slots with another owner than before.
    pub moved: u32,
    /// Owners still alive that a slot had to forget, because its memory was full and its owner went.
    pub forgotten: u32,
}

impl Ring {
    /// The ring for these members, from this one.
    ///
    /// Slots of owners that are gone or of weight 0 move; then as many of the overloaded as balance needs, but
    /// not those whose memory is full. Only for a member that would own less than half its share even they move,
    /// unless all they remember drain: without that, a service that grew by one at a time would
    /// leave its newest members idle. Who is no member any more is forgotten; who has weight 0 (draining) is
    /// remembered. With nobody of weight, every slot is nobody's and remembers its last owner. `seed` is the
    /// frontend's, as for [`crate::fresh`].
    pub fn step(&self, seed: u64, members: &[Member]) -> Step {
        let members = known(members);
        let mut next = Next::new(self, &members);
        let slots = self.slots().len() as u32;
        let mut walkers: Vec<Walker> = members.iter().map(|m| Walker::of(*m, seed, slots.max(1))).collect();
        next.hand_out(&mut walkers, Next::is_free, |quota| quota);
        next.hand_out(&mut walkers, Next::may_be_taken, |quota| quota);
        next.hand_out(&mut walkers, Next::may_forget, |quota| quota / 2);
        next.leave_to_nobody();
        let moved = self.slots().iter().zip(&next.slots).filter(|(old, new)| old.owner != new.owner).count() as u32;
        Step { ring: Ring::from_slots(next.slots), moved, forgotten: next.forgotten }
    }
}

/// The ring in the making.
struct Next<'a> {
    members: &'a [Member],
    quotas: Vec<u32>,
    counts: Vec<u32>,
    slots: Vec<Slot>,
    forgotten: u32,
}

impl<'a> Next<'a> {
    fn new(ring: &Ring, members: &'a [Member]) -> Self {
        let quotas = quotas(members, ring.slots().len() as u32);
        let mut next = Next { members, quotas, counts: vec![0; members.len()], slots: Vec::new(), forgotten: 0 };
        next.slots = ring.slots().iter().map(|slot| next.without_the_gone(slot)).collect();
        for slot in &next.slots {
            if let Some(i) = position(members, slot.owner)
                && let Some(count) = next.counts.get_mut(i)
            {
                *count += 1;
            }
        }
        next
    }

    /// An owner that is gone stays, as a mark that the slot must move, until it is handed out.
    fn without_the_gone(&self, slot: &Slot) -> Slot {
        let living = slot.previous.into_iter().filter(|id| position(self.members, *id).is_some());
        Slot { owner: slot.owner, previous: remembered(living) }
    }

    /// Members with less than `enough` of their quota take, in turn, the next slot on their way that fits.
    fn hand_out(&mut self, walkers: &mut [Walker], fits: fn(&Self, u32) -> bool, enough: fn(u32) -> u32) {
        let slots = self.slots.len() as u32;
        let mut is_done = vec![false; walkers.len()];
        while is_done.iter().any(|done| !done) {
            for (i, walker) in walkers.iter_mut().enumerate() {
                let has_all = self.counts.get(i).copied() >= self.quotas.get(i).map(|quota| enough(*quota));
                let found = if has_all || is_done[i] { None } else { walker.find(slots, |at| fits(self, at)) };
                match found {
                    Some(at) => self.give(at, i),
                    None => is_done[i] = true,
                }
            }
        }
    }

    /// Its owner is gone, or owns nothing any more.
    fn is_free(&self, at: u32) -> bool {
        self.slots.get(at as usize).is_some_and(|s| self.weight(s.owner) == 0)
    }

    /// Its owner has too many, and the slot can remember one more.
    fn may_be_taken(&self, at: u32) -> bool {
        self.is_of_overloaded(at) && self.slots.get(at as usize).is_some_and(|slot| slot.previous.contains(&0))
    }

    /// Its owner has too many, and the slot can forget somebody who does not drain.
    fn may_forget(&self, at: u32) -> bool {
        let can_forget = |slot: &Slot| slot.previous.iter().any(|id| self.weight(*id) != 0);
        self.is_of_overloaded(at) && self.slots.get(at as usize).is_some_and(can_forget)
    }

    fn is_of_overloaded(&self, at: u32) -> bool {
        let owner = self.slots.get(at as usize).and_then(|slot| position(self.members, slot.owner));
        owner.is_some_and(|i| self.counts.get(i) > self.quotas.get(i))
    }

    fn give(&mut self, at: u32, to: usize) {
        let (Some(slot), Some(member)) = (self.slots.get(at as usize).copied(), self.members.get(to)) else { return };
        let old = position(self.members, slot.owner);
        self.write(at, slot, member.id);
        if let Some(count) = old.and_then(|i| self.counts.get_mut(i)) {
            *count -= 1;
        }
        if let Some(count) = self.counts.get_mut(to) {
            *count += 1;
        }
    }

    /// The new owner, and the old one first in memory if it still exists. Who drains is forgotten last: its flows
    /// are why it drains.
    fn write(&mut self, at: u32, slot: Slot, owner: u32) {
        let old = position(self.members, slot.owner).map(|_| slot.owner);
        let others = old.into_iter().chain(slot.previous).filter(|id| *id != 0 && *id != owner);
        let mut all: Vec<u32> = others.collect();
        while all.len() > REMEMBERED {
            all.remove(all.iter().rposition(|id| self.weight(*id) != 0).unwrap_or(REMEMBERED));
            self.forgotten += 1;
        }
        if let Some(place) = self.slots.get_mut(at as usize) {
            *place = Slot { owner, previous: remembered(all.into_iter()) };
        }
    }

    /// What could not be handed out, because nobody has weight.
    fn leave_to_nobody(&mut self) {
        for at in 0..self.slots.len() as u32 {
            if let Some(slot) = self.slots.get(at as usize).copied()
                && slot.owner != 0
                && self.weight(slot.owner) == 0
            {
                self.write(at, slot, 0);
            }
        }
    }

    fn weight(&self, id: u32) -> u32 {
        position(self.members, id).and_then(|i| self.members.get(i)).map_or(0, |m| m.weight)
    }
}

/// Members are sorted by id.
fn position(members: &[Member], id: u32) -> Option<usize> {
    members.binary_search_by(|m| m.id.cmp(&id)).ok()
}

fn remembered(ids: impl Iterator<Item = u32>) -> [u32; REMEMBERED] {
    let mut previous = [0; REMEMBERED];
    for (place, id) in previous.iter_mut().zip(ids) {
        *place = id;
    }
    previous
}
