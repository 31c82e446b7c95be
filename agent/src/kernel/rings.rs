//! Rings of frontends served from outside: each is one step from the ring before, so that few slots move and those
//! that move remember whose they were.
//!
//! The map holds what programs need: each slot's owner by backend id, its previous owners by node id. Which backends
//! those were, and who drains, is kept here and under `DATA_DIR/rings` for the next agent; lost, it is guessed from the
//! map.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use remuda_abi::frontend::RingSlot;
use remuda_ring::{Member, REMEMBERED, Ring, Slot, slots_for};

use crate::action::Frontend;

/// The rings this agent has written, by frontend id.
pub(crate) struct Rings {
    dir: PathBuf,
    kept: BTreeMap<u32, Kept>,
}

#[derive(Debug, PartialEq)]
struct Kept {
    ring: Ring,
    draining: Vec<u32>,
    silent: Vec<u32>,
}

impl Rings {
    /// What an agent before this one kept; a file that makes no sense is none.
    pub(crate) fn open(dir: PathBuf) -> Rings {
        let files = fs::read_dir(&dir).into_iter().flatten().flatten();
        let kept = files.filter_map(|file| {
            let frontend_id = file.file_name().to_str()?.parse().ok()?;
            Some((frontend_id, decoded(&fs::read(file.path()).ok()?)?))
        });
        Rings { kept: kept.collect(), dir }
    }

    /// Who drains and who is silent, as far as this agent or the one before it has been told.
    pub(crate) fn told(&self, frontend_id: u32) -> (Vec<u32>, Vec<u32>) {
        let kept = self.kept.get(&frontend_id);
        kept.map_or_else(Default::default, |kept| (kept.draining.clone(), kept.silent.clone()))
    }

    /// The ring behind the slots of the map, with the backends it remembers.
    pub(crate) fn behind(&self, frontend: &Frontend, slots: &[u64], node_of: &impl Fn(u32) -> u16) -> Ring {
        let kept = self.kept.get(&frontend.id);
        // Those were silent that were so when it was written.
        let fits = kept.filter(|kept| encoded(&kept.ring, &heard(&kept.silent, node_of)) == slots);
        fits.map_or_else(|| guessed(frontend, slots, node_of), |kept| kept.ring.clone())
    }

    /// Keeps the ring that was written. A file that cannot be written costs the next agent its certainty about who is
    /// remembered, nothing else.
    pub(crate) fn keep(&mut self, frontend: &Frontend, ring: Ring) {
        let kept = Kept { ring, draining: frontend.draining.clone(), silent: frontend.silent.clone() };
        if self.kept.get(&frontend.id) == Some(&kept) {
            return;
        }
        if let Err(error) = self.save(frontend.id, &kept) {
            tracing::warn!(frontend = %frontend.key, %error, "the memory of a ring could not be written");
        }
        self.kept.insert(frontend.id, kept);
    }

    /// Only where there is something to remember.
    fn save(&self, frontend_id: u32, kept: &Kept) -> io::Result<()> {
        let path = self.path(frontend_id);
        let has_memory = kept.ring.slots().iter().any(|slot| slot.previous != [0; REMEMBERED]);
        if !has_memory && kept.draining.is_empty() && kept.silent.is_empty() {
            let _ = fs::remove_file(&path);
            return Ok(());
        }
        let temporary = path.with_extension("new");
        fs::create_dir_all(&self.dir)?;
        fs::write(&temporary, bytes(kept))?;
        fs::rename(&temporary, &path)
    }

    /// The frontend is gone.
    pub(crate) fn forget(&mut self, frontend_id: u32) {
        self.kept.remove(&frontend_id);
        let _ = fs::remove_file(self.path(frontend_id));
    }

    /// Only these frontends exist: others went while no agent looked.
    pub(crate) fn retain(&mut self, frontend_ids: &BTreeSet<u32>) {
        let gone: Vec<u32> = self.kept.keys().filter(|id| !frontend_ids.contains(id)).copied().collect();
        gone.into_iter().for_each(|id| self.forget(id));
    }

    /// All frontends are.
    pub(crate) fn forget_all(&mut self) {
        self.kept.clear();
        let _ = fs::remove_dir_all(&self.dir);
    }

    fn path(&self, frontend_id: u32) -> PathBuf {
        self.dir.join(frontend_id.to_string())
    }
}

/// The ring for a frontend's members, from the one before. Hosts that took the same steps hold the same ring; a host
/// that has none starts afresh from the members, the environment's seed and the frontend's id.
pub(crate) fn next(seed: u32, frontend: &Frontend, before: Option<Ring>) -> Ring {
    let of_weight = |ids: &[u32], weight: u32| ids.iter().map(|id| Member { id: *id, weight }).collect::<Vec<_>>();
    let members = [of_weight(&frontend.backends, 1), of_weight(&frontend.draining, 0)].concat();
    let seed = u64::from(seed) << 32 | u64::from(frontend.id);
    let size = slots_for(frontend.backends.len());
    let before = before.map(|ring| ring.raised(size).unwrap_or(ring));
    match before {
        Some(ring) if !ring.slots().is_empty() => ring.step(seed, &members).ring,
        _ => Ring::fresh(seed, &members, size),
    }
}

/// The ring as the map holds it. A node is named once in a slot, and not if the owner is there, too: a host knows all
/// its flows.
pub(crate) fn encoded(ring: &Ring, node_of: &impl Fn(u32) -> u16) -> Vec<u64> {
    let slot = |slot: &Slot| {
        let mut nodes = [0; REMEMBERED];
        let mut free = nodes.iter_mut();
        let mut named = vec![0, node_of(slot.owner)];
        for node_id in slot.previous.iter().map(|id| node_of(*id)) {
            if !named.contains(&node_id)
                && let Some(place) = free.next()
            {
                *place = node_id;
                named.push(node_id);
            }
        }
        RingSlot::new(slot.owner, nodes).0
    };
    ring.slots().iter().map(slot).collect()
}

/// Nodes by backend as slots may name them: who is silent is on none, so that no packet waits for an answer from the
/// dead. The ring remembers it all the same, and names it again when its host is back.
pub(crate) fn heard(silent: &[u32], node_of: &impl Fn(u32) -> u16) -> impl Fn(u32) -> u16 {
    move |id| if silent.contains(&id) { 0 } else { node_of(id) }
}

/// A ring whose memory is lost but for the nodes: any backend there stands for the one that was, one that drains
/// first, because nodes are remembered for its sake.
fn guessed(frontend: &Frontend, slots: &[u64], node_of: &impl Fn(u32) -> u16) -> Ring {
    let mut on_node: BTreeMap<u16, u32> = BTreeMap::new();
    for id in frontend.draining.iter().chain(&frontend.backends) {
        on_node.entry(node_of(*id)).or_insert(*id);
    }
    let slot = |slot: &u64| {
        let slot = RingSlot(*slot);
        let of_node = |node_id: u16| if node_id == 0 { 0 } else { on_node.get(&node_id).copied().unwrap_or(0) };
        Slot { owner: slot.backend_id(), previous: slot.previous_node_ids().map(of_node) }
    };
    Ring::from_slots(slots.iter().map(slot).collect())
}

/// Little-endian words: how many drain, who; how many are silent, who; then for each slot its owner and previous
/// owners.
fn bytes(kept: &Kept) -> Vec<u8> {
    let listed = |ids: &[u32]| [&[ids.len() as u32], ids].concat();
    let slots = kept.ring.slots().iter().flat_map(|slot| std::iter::once(slot.owner).chain(slot.previous));
    let lists = [listed(&kept.draining), listed(&kept.silent)].concat();
    lists.into_iter().chain(slots).flat_map(u32::to_le_bytes).collect()
}

fn decoded(bytes: &[u8]) -> Option<Kept> {
    let words: Vec<u32> = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let (draining, rest) = list(&words)?;
    let (silent, slots) = list(rest)?;
    let slots = slots.as_chunks().0.iter().map(|[owner, a, b, c]| Slot { owner: *owner, previous: [*a, *b, *c] });
    Some(Kept { draining: draining.to_vec(), silent: silent.to_vec(), ring: Ring::from_slots(slots.collect()) })
}

/// A list that begins with its length, and what follows it.
fn list(words: &[u32]) -> Option<(&[u32], &[u32])> {
    let (count, rest) = words.split_first()?;
    rest.split_at_checked(*count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::FrontendKey;

    fn frontend(backends: &[u32], draining: &[u32]) -> Frontend {
        let key = FrontendKey::Published { protocol: 6, port: 80 };
        let (backends, draining) = (backends.to_vec(), draining.to_vec());
        Frontend { key, by_port: false, id: 3, target_port: 0, backends, draining, silent: Vec::new() }
    }
    /// Backends 11 to 19 are on node 1, 21 to 29 on node 2.
    fn node_of(id: u32) -> u16 {
        (id / 10) as u16
    }
    fn slots_of(ring: &Ring) -> Vec<RingSlot> {
        encoded(ring, &node_of).into_iter().map(RingSlot).collect()
    }
    fn dir(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("remuda-rings-{name}-{}", std::process::id()))
    }

    #[test]
    fn hosts_with_the_same_members_have_the_same_ring() {
        let ring = next(7, &frontend(&[11, 12, 13], &[]), None);
        assert_eq!(ring, next(7, &frontend(&[13, 12, 11], &[]), None));
        assert_eq!(ring.slots().len(), 4093);
        assert!(slots_of(&ring).iter().all(|slot| [11, 12, 13].contains(&slot.backend_id())));
    }

    #[test]
    fn only_the_slots_of_who_drains_move_and_they_remember_its_node() {
        let before = next(7, &frontend(&[11, 12, 21], &[]), None);
        let after = next(7, &frontend(&[11, 12], &[21]), Some(before.clone()));
        for (old, new) in slots_of(&before).into_iter().zip(slots_of(&after)) {
            let is_moved = old.backend_id() == 21;
            assert_eq!(is_moved, old.backend_id() != new.backend_id());
            assert_eq!(new.previous_node_ids(), if is_moved { [2, 0, 0] } else { [0; 3] });
        }
    }

    #[test]
    fn a_slot_whose_owners_share_a_host_names_no_node() {
        let before = next(7, &frontend(&[11, 12], &[]), None);
        let after = next(7, &frontend(&[11], &[12]), Some(before));
        assert!(slots_of(&after).iter().all(|slot| slot.backend_id() == 11 && slot.previous_node_ids() == [0; 3]));
    }

    #[test]
    fn a_service_that_only_drains_has_a_ring_of_nobody_that_remembers() {
        let before = next(7, &frontend(&[11], &[]), None);
        let after = next(7, &frontend(&[], &[11]), Some(before));
        assert!(slots_of(&after).iter().all(|slot| slot.backend_id() == 0 && slot.previous_node_ids() == [1, 0, 0]));
    }

    #[test]
    fn who_is_silent_is_remembered_but_not_named_until_its_host_is_back() {
        let dir = dir("silent");
        let before = next(7, &frontend(&[11, 12, 21], &[]), None);
        let draining = frontend(&[11, 12], &[21]);
        let silent = Frontend { silent: vec![21], ..draining.clone() };
        let ring = next(7, &silent, Some(before));
        let slots = encoded(&ring, &heard(&silent.silent, &node_of));
        assert!(slots.iter().all(|slot| RingSlot(*slot).previous_node_ids() == [0; 3]));

        let mut rings = Rings::open(dir.clone());
        rings.keep(&silent, ring.clone());
        let later = Rings::open(dir.clone());
        assert_eq!(later.told(3), (vec![21], vec![21]));
        let back = next(7, &draining, Some(later.behind(&draining, &slots, &node_of)));
        assert_eq!(back, ring);
        let named = slots_of(&back).into_iter().filter(|slot| slot.previous_node_ids() == [2, 0, 0]).count();
        assert!(named > 1000, "{named} slots name the host that is back");
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn a_frontend_that_went_while_no_agent_looked_is_forgotten_with_its_file() {
        let dir = dir("gone");
        let draining = frontend(&[11], &[21]);
        let ring = next(7, &draining, Some(next(7, &frontend(&[11, 21], &[]), None)));
        let mut rings = Rings::open(dir.clone());
        rings.keep(&draining, ring.clone());
        rings.keep(&Frontend { id: 4, ..draining }, ring);
        Rings::open(dir.clone()).retain(&BTreeSet::from([4]));
        assert_eq!((dir.join("3").exists(), dir.join("4").exists()), (false, true));
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn a_ring_is_raised_for_many_members_and_its_owners_stay() {
        let before = next(7, &frontend(&[11, 12], &[]), None);
        let many: Vec<u32> = (11..=60).collect();
        let after = next(7, &frontend(&many, &[]), Some(before));
        assert_eq!(after.slots().len(), 16_372);
    }

    #[test]
    fn the_next_agent_knows_who_is_remembered() {
        let dir = dir("next");
        let draining = frontend(&[11, 22], &[21]);
        let ring = next(7, &draining, Some(next(7, &frontend(&[11, 21], &[]), None)));
        let mut rings = Rings::open(dir.clone());
        rings.keep(&draining, ring.clone());
        let mut later = Rings::open(dir.clone());
        assert_eq!(later.told(3), (vec![21], vec![]));
        assert_eq!(later.behind(&draining, &encoded(&ring, &node_of), &node_of), ring);
        later.forget(3);
        assert!(Rings::open(dir.clone()).told(3).0.is_empty());
        let _ = fs::remove_dir_all(dir);
    }

    #[test]
    fn a_lost_memory_is_guessed_by_node_and_one_that_does_not_fit_the_map_is_not_believed() {
        let dir = dir("guess");
        let draining = frontend(&[11, 22], &[21]);
        let ring = next(7, &draining, Some(next(7, &frontend(&[11, 21], &[]), None)));
        let slots = encoded(&ring, &node_of);
        let guess = Rings::open(dir.clone()).behind(&draining, &slots, &node_of);
        assert_eq!(encoded(&guess, &node_of), slots);
        let mut rings = Rings::open(dir.clone());
        rings.keep(&draining, next(8, &draining, None));
        assert_eq!(rings.behind(&draining, &slots, &node_of), guess);
        let _ = fs::remove_dir_all(dir);
    }
}
