//! Every check this host was asked for: which is due, and what it has found.

use std::collections::{BTreeMap, BTreeSet};

use remuda_api::link::CheckResult;

use super::slot;
use super::tally::Tally;
use crate::desired::Check;

/// Times are milliseconds of any clock that never goes back.
#[derive(Debug, Default)]
pub struct Book {
    /// By endpoint id.
    pages: BTreeMap<u32, Page>,
    /// (due, endpoint id) of every check that is not under way.
    due: BTreeSet<(u64, u32)>,
    /// Tells a check from a former one of the same container.
    last_serial: u64,
}

#[derive(Debug)]
struct Page {
    check: Check,
    serial: u64,
    place: u64,
    due_ms: u64,
    tally: Tally,
}

/// A check to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    pub check: Check,
    serial: u64,
}

impl Book {
    /// Goes by this set of checks from now on: those that vanished end, changed ones start afresh, the rest goes on.
    pub fn follow(&mut self, node_id: u16, wanted: &BTreeMap<u32, Check>, now_ms: u64) {
        let stale = |(id, page): &(&u32, &Page)| wanted.get(*id) != Some(&page.check);
        let stale: Vec<u32> = self.pages.iter().filter(stale).map(|(id, _)| *id).collect();
        for id in stale {
            self.due.retain(|(_, due)| *due != id);
            self.pages.remove(&id);
        }
        for (id, check) in wanted {
            if self.pages.contains_key(id) {
                continue;
            }
            let place = slot::place(node_id, id);
            let due_ms = slot::first_ms(place, now_ms, check.interval_ms);
            self.last_serial += 1;
            let page = Page { check: check.clone(), serial: self.last_serial, place, due_ms, tally: Tally::default() };
            self.pages.insert(*id, page);
            self.due.insert((due_ms, *id));
        }
    }

    /// The check that has waited longest of those due; it is under way until [`Book::done`].
    pub fn begin(&mut self, now_ms: u64) -> Option<Begun> {
        let (_, id) = *self.due.first().filter(|(due_ms, _)| *due_ms <= now_ms)?;
        self.due.pop_first();
        let page = self.pages.get_mut(&id)?;
        page.due_ms = slot::next_ms(page.place, now_ms, page.check.interval_ms);
        Some(Begun { check: page.check.clone(), serial: page.serial })
    }

    /// When the next check is due.
    pub fn next_ms(&self) -> Option<u64> {
        self.due.first().map(|(due_ms, _)| *due_ms)
    }

    /// Takes back a check that could not be made here, as if it had not been begun: it is due again at its next time.
    pub fn put_back(&mut self, begun: &Begun) {
        let id = begun.check.endpoint_id;
        if let Some(page) = self.pages.get(&id).filter(|page| page.serial == begun.serial) {
            self.due.insert((page.due_ms, id));
        }
    }

    /// Takes a result; one of a check that ended or changed meanwhile counts for nothing. Returns whether the outcome
    /// changed. A check that took longer than its interval is due again at once.
    pub fn done(&mut self, begun: &Begun, result: Result<(), String>) -> bool {
        let id = begun.check.endpoint_id;
        let Some(page) = self.pages.get_mut(&id).filter(|page| page.serial == begun.serial) else { return false };
        self.due.insert((page.due_ms, id));
        page.tally.note(result, page.check.rise, page.check.fall)
    }

    /// What each check has found.
    pub fn results(&self) -> BTreeMap<u32, CheckResult> {
        let result = |(id, page): (&u32, &Page)| {
            let (outcome, reason) = (page.tally.outcome.into(), page.tally.reason.clone());
            (*id, CheckResult { endpoint_id: *id, outcome, reason })
        };
        self.pages.iter().map(result).collect()
    }

    /// What one check has found; None if it ended.
    pub fn result(&self, endpoint_id: u32) -> Option<CheckResult> {
        let tally = &self.pages.get(&endpoint_id)?.tally;
        Some(CheckResult { endpoint_id, outcome: tally.outcome.into(), reason: tally.reason.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use remuda_api::link::CheckOutcome;

    use super::*;

    const NODE: u16 = 1;

    fn checks(ids: &[u32]) -> BTreeMap<u32, Check> {
        let check = |id: &u32| Check {
            endpoint_id: *id,
            target: SocketAddrV4::new(Ipv4Addr::new(10, 42, 1, 2), 80),
            request_line: None,
            interval_ms: 2000,
            timeout_ms: 1000,
            rise: 1,
            fall: 1,
        };
        ids.iter().map(|id| (*id, check(id))).collect()
    }

    #[test]
    fn each_check_begins_soon_and_then_once_per_interval_and_never_twice_at_a_time() {
        let mut book = Book::default();
        book.follow(NODE, &checks(&[7]), 0);
        let first = book.next_ms().expect("one is due");
        assert!(first < 500);
        let begun = book.begin(first).expect("it is due");
        assert_eq!((book.begin(first + 60_000), book.next_ms()), (None, None), "it is under way");
        assert!(book.done(&begun, Ok(())));
        let second = book.next_ms().expect("it is due again");
        let begun = book.begin(second).expect("it is due");
        assert!(!book.done(&begun, Ok(())));
        assert_eq!(book.next_ms(), Some(second + 2000));
    }

    #[test]
    fn one_that_takes_longer_than_its_interval_is_due_at_once() {
        let mut book = Book::default();
        book.follow(NODE, &checks(&[7]), 0);
        let begun = book.begin(500).expect("it is due");
        book.done(&begun, Err("no answer within 1000 ms".into()));
        assert!(book.begin(500 + 3000).is_some());
    }

    #[test]
    fn one_that_could_not_be_made_counts_for_nothing_and_is_due_again() {
        let mut book = Book::default();
        book.follow(NODE, &checks(&[7]), 0);
        let begun = book.begin(500).expect("it is due");
        book.put_back(&begun);
        assert_eq!(book.results()[&7].outcome(), CheckOutcome::Unknown);
        assert!(book.begin(500 + 3000).is_some());
    }

    #[test]
    fn a_check_that_vanished_ends_and_a_changed_one_starts_afresh() {
        let mut book = Book::default();
        book.follow(NODE, &checks(&[7, 8]), 0);
        let all: Vec<_> = std::iter::from_fn(|| book.begin(500)).collect();
        assert_eq!(all.len(), 2);
        let mut changed = checks(&[8]);
        changed.get_mut(&8).expect("there").target.set_port(81);
        book.follow(NODE, &changed, 600);
        for begun in &all {
            assert!(!book.done(begun, Ok(())), "its result is of no interest any more");
        }
        let results = book.results();
        assert_eq!(results.keys().collect::<Vec<_>>(), [&8]);
        assert_eq!(results[&8].outcome(), CheckOutcome::Unknown);
        assert_eq!(book.begin(1100).expect("it is due").check.target.port(), 81);
    }

    #[test]
    fn checks_that_stay_keep_their_outcome_when_others_come() {
        let mut book = Book::default();
        book.follow(NODE, &checks(&[7]), 0);
        let begun = book.begin(500).expect("it is due");
        book.done(&begun, Ok(()));
        book.follow(NODE, &checks(&[7, 8]), 700);
        assert_eq!(book.results()[&7].outcome(), CheckOutcome::Passing);
    }
}
