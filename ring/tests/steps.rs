//! What holds for any history of member changes.

use proptest::prelude::*;
use remuda_ring::*;
use std::collections::{BTreeMap, BTreeSet};

const SEED: u64 = 7;
const SLOTS: u32 = SIZES[0];

fn members(ids: impl IntoIterator<Item = u32>) -> Vec<Member> {
    ids.into_iter().map(|id| Member { id, weight: 1 }).collect()
}
fn shares(ring: &Ring) -> BTreeMap<u32, u32> {
    let mut shares = BTreeMap::new();
    ring.slots().iter().for_each(|s| *shares.entry(s.owner).or_default() += 1);
    shares
}

#[test]
fn a_step_with_the_same_members_moves_nothing() {
    let ring = Ring::fresh(SEED, &members(1..=7), SLOTS);
    let step = ring.step(SEED, &members(1..=7));
    assert_eq!((step.ring, step.moved, step.forgotten), (ring, 0, 0));
}

#[test]
fn removing_one_of_ten_moves_exactly_its_own_slots() {
    let ring = Ring::fresh(SEED, &members(1..=10), SLOTS);
    let step = ring.step(SEED, &members(1..=9));
    assert_eq!(step.moved, shares(&ring)[&10]);
    assert!(ring.slots().iter().zip(step.ring.slots()).all(|(old, new)| old.owner == 10 || old == new));
    assert!(step.ring.slots().iter().all(|s| s.previous == [0; 3]), "who is gone is forgotten");
}

#[test]
fn adding_an_eleventh_moves_one_share_and_every_moved_slot_remembers_its_owner() {
    let ring = Ring::fresh(SEED, &members(1..=10), SLOTS);
    let step = ring.step(SEED, &members(1..=11));
    assert_eq!(step.moved, shares(&step.ring)[&11]);
    assert!(step.moved.abs_diff(SLOTS / 11) <= 1);
    for (old, new) in ring.slots().iter().zip(step.ring.slots()) {
        assert!(new.owner == old.owner || (new.owner == 11 && new.previous == [old.owner, 0, 0]));
    }
}

#[test]
fn a_draining_member_owns_nothing_and_is_remembered_until_it_is_gone() {
    let ring = Ring::fresh(SEED, &members(1..=3), SLOTS);
    let mut draining = members(1..=3);
    draining[2].weight = 0;
    let drained = ring.step(SEED, &draining).ring;
    for (old, new) in ring.slots().iter().zip(drained.slots()) {
        assert_eq!(old.owner == 3, new.previous == [3, 0, 0]);
        assert_ne!(new.owner, 3);
    }
    let gone = drained.step(SEED, &members(1..=2));
    assert_eq!(gone.moved, 0);
    assert!(gone.ring.slots().iter().all(|s| s.previous == [0; 3]));
}

#[test]
fn without_anybody_of_weight_every_slot_is_nobodys_and_remembers() {
    let ring = Ring::fresh(SEED, &members(1..=1), SLOTS);
    let step = ring.step(SEED, &[Member { id: 1, weight: 0 }]);
    assert!(step.ring.slots().iter().all(|s| s.owner == 0 && s.previous == [1, 0, 0]));
    let back = step.ring.step(SEED, &members(1..=1)).ring;
    assert!(back.slots().iter().all(|s| s.owner == 1 && s.previous == [0; 3]));
}

#[test]
fn a_ring_that_grows_by_one_at_a_time_leaves_nobody_idle_and_never_forgets_who_drains() {
    let mut ring = Ring::fresh(SEED, &members(1..=1), SLOTS);
    for newest in 2..=40 {
        ring = ring.step(SEED, &members(1..=newest)).ring;
        let least = shares(&ring).into_values().min().unwrap_or(0);
        assert!(shares(&ring).len() == newest as usize && least >= SLOTS / newest / 2, "{newest}: {least}");
    }
    let mut draining = members(1..=41);
    draining.iter_mut().filter(|m| m.id <= 3).for_each(|m| m.weight = 0);
    let step = ring.step(SEED, &draining);
    let remembers = |slot: &Slot, id: u32| slot.owner == id || slot.previous.contains(&id);
    for (old, new) in ring.slots().iter().zip(step.ring.slots()) {
        assert!((1..=3).all(|id| !remembers(old, id) || remembers(new, id)));
    }
}

#[test]
fn raising_repeats_every_slot_and_only_multiples_are_sizes() {
    let ring = Ring::fresh(SEED, &members(1..=5), SLOTS);
    let raised = ring.raised(SIZES[1]).unwrap();
    assert!((0..SIZES[1] as usize).all(|i| raised.slots()[i] == ring.slots()[i / 4]));
    assert_eq!(ring.raised(SLOTS + 1), None);
    assert_eq!(raised.raised(SLOTS), None);
}

#[test]
fn a_digest_tells_rings_apart() {
    let ring = Ring::fresh(SEED, &members(1..=5), SLOTS);
    assert_eq!(ring.digest(), Ring::from_slots(ring.slots().to_vec()).digest());
    assert_ne!(ring.digest(), ring.step(SEED, &members(1..=6)).ring.digest());
    assert_ne!(ring.digest(), ring.raised(SIZES[1]).unwrap().digest());
}

fn history() -> impl Strategy<Value = Vec<Vec<Member>>> {
    let member = (1..12u32, 0..4u32).prop_map(|(id, weight)| Member { id, weight });
    prop::collection::vec(prop::collection::vec(member, 0..10), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn through_any_history_slots_stay_owned_balanced_and_truly_remembered(history in history()) {
        let mut ring = Ring::fresh(SEED, &members(1..=4), 509);
        for now in history {
            let step = ring.step(SEED, &now);
            prop_assert_eq!(&step, &ring.step(SEED, &now.iter().rev().copied().collect::<Vec<_>>()));
            let exists: BTreeSet<u32> = now.iter().map(|m| m.id).collect();
            let mut weights = BTreeMap::<u32, u32>::new();
            now.iter().for_each(|m| { let w = weights.entry(m.id).or_default(); *w = (*w).max(m.weight) });
            let total: u32 = weights.values().sum();
            let mut moved = 0;
            for (old, new) in ring.slots().iter().zip(step.ring.slots()) {
                prop_assert_eq!(new.owner == 0, total == 0);
                prop_assert!(new.owner == 0 || weights[&new.owner] > 0);
                moved += u32::from(old.owner != new.owner);
                let known: Vec<u32> = new.previous.into_iter().filter(|id| *id != 0).collect();
                prop_assert!(known.iter().all(|id| exists.contains(id) && *id != new.owner));
                prop_assert_eq!(known.iter().collect::<BTreeSet<_>>().len(), known.len());
                let was = |id: &u32| *id == old.owner || old.previous.contains(id);
                prop_assert!(known.iter().all(was), "memory is of what was");
                if old.owner != new.owner && exists.contains(&old.owner) {
                    prop_assert_eq!(new.previous[0], old.owner);
                }
            }
            prop_assert_eq!(moved, step.moved);
            ring = step.ring;
            let has_room = ring.slots().iter().all(|s| s.previous.contains(&0));
            for (id, weight) in weights.iter().filter(|_| total > 0 && has_room) {
                let share = shares(&ring).get(id).copied().unwrap_or(0);
                let exact = f64::from(*weight) * 509.0 / f64::from(total);
                prop_assert!((f64::from(share) - exact).abs() <= 12.0, "{id}: {share}, not {exact}");
            }
        }
    }
}
