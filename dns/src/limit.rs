//! How much of something may be going on at once: in all, and for one asker.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Admits up to `total_max` at once, and of these up to `per_asker_max` for each asker.
#[derive(Debug)]
pub(crate) struct Limit {
    total_max: usize,
    per_asker_max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_asker: HashMap<IpAddr, usize>,
}

impl Limit {
    pub(crate) fn new(total_max: usize, per_asker_max: usize) -> Limit {
        Limit { total_max, per_asker_max, taken: Arc::default() }
    }

    /// A place for `asker`; `None` when there is none left.
    pub(crate) fn admit(&self, asker: IpAddr) -> Option<Place> {
        let mut taken = lock(&self.taken);
        let of_asker = taken.by_asker.get(&asker).copied().unwrap_or(0);
        if taken.total >= self.total_max || of_asker >= self.per_asker_max {
            return None;
        }
        taken.total += 1;
        taken.by_asker.insert(asker, of_asker + 1);
        Some(Place { taken: self.taken.clone(), asker })
    }
}

/// One place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<Mutex<Taken>>,
    asker: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.total -= 1;
        if let Some(of_asker) = taken.by_asker.get_mut(&self.asker) {
            *of_asker -= 1;
        }
        taken.by_asker.retain(|asker, count| *count > 0 || *asker != self.asker);
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_asker_cannot_take_the_places_of_others_and_places_come_back() {
        let [greedy, modest] = ["10.42.0.5", "10.42.0.6"].map(|ip| ip.parse::<IpAddr>().expect("an address"));
        let limit = Limit::new(3, 2);
        let held: Vec<_> = (0..5).filter_map(|_| limit.admit(greedy)).collect();
        assert_eq!(held.len(), 2, "no more than its share");
        let other = limit.admit(modest).expect("room for others");
        assert!(limit.admit(modest).is_none(), "three in all");
        drop((held, other));
        assert!(limit.admit(greedy).is_some());
        assert!(lock(&limit.taken).by_asker.is_empty(), "nothing is remembered about askers that wait for nothing");
    }
}
