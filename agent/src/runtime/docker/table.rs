//! All units of the engine's, by name: written by what is observed and by the work on them, read by everybody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::container::Container;
use super::labels::Role;
use super::record::{Failure, Record, Work, WorkKind};
use crate::action::UnitSpec;
use crate::runtime::Changes;

pub(super) struct Table {
    records: Mutex<BTreeMap<String, Record>>,
    /// Number of the last work that was begun.
    last_work: AtomicU64,
    changes: Changes,
}

impl Table {
    pub(super) fn new(changes: Changes) -> Table {
        Table { records: Mutex::default(), last_work: AtomicU64::new(0), changes }
    }

    pub(super) fn get(&self, name: &str) -> Option<Record> {
        self.lock().get(name).cloned()
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    pub(super) fn all(&self) -> Vec<Record> {
        self.lock().values().cloned().collect()
    }

    /// A number that grows whenever anything here changes.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.0.subscribe()
    }

    /// Whoever waits looks again, whether anything here changed or not.
    pub(super) fn note(&self) {
        self.changes.note();
    }

    /// What an agent before knew; only for names that nothing is known of.
    pub(super) fn remember(&self, records: Vec<Record>) {
        for record in records {
            let name = record.spec.name.clone();
            self.change(&name, |held| {
                held.get_or_insert(record);
            });
        }
    }

    /// The engine told this; what it told later is kept.
    pub(super) fn put(&self, role: Role, spec: UnitSpec, container: Container) {
        let name = spec.name.clone();
        self.change(&name, |held| {
            let record = held.get_or_insert_with(|| Record::new(Arc::new(spec.clone())));
            record.take(role, spec, container);
        });
    }

    /// The engine has these no more.
    pub(super) fn drop_containers(&self, is_gone: impl Fn(&Container) -> bool) {
        let names: Vec<_> = self.lock().keys().cloned().collect();
        for name in names {
            self.change(&name, |held| {
                let Some(record) = held else { return };
                for role in [Role::Holder, Role::Unit] {
                    let container = record.container_mut(role);
                    *container = container.take().filter(|container| !is_gone(container));
                }
                held.take_if(|record| record.is_over());
            });
        }
    }

    pub(super) fn update(&self, name: &str, change: impl FnOnce(&mut Record)) {
        self.change(name, |held| {
            if let Some(record) = held {
                change(record);
            }
        });
    }

    pub(super) fn forget(&self, name: &str) {
        self.change(name, |held| *held = None);
    }

    /// Work on a unit begins, in place of what was being done with it. The number names it.
    pub(super) fn begin(&self, spec: &Arc<UnitSpec>, kind: WorkKind, what: &str) -> u64 {
        let number = self.last_work.fetch_add(1, Ordering::Relaxed) + 1;
        self.change(&spec.name, |held| {
            let record = held.get_or_insert_with(|| Record::new(spec.clone()));
            record.failure = None;
            record.work = Some(Work { number, kind, what: what.to_owned() });
        });
        number
    }

    /// How far it is, for people.
    pub(super) fn say(&self, name: &str, number: u64, what: String) {
        self.update(name, |record| {
            if let Some(work) = record.work.as_mut().filter(|work| work.number == number) {
                work.what = what;
            }
        });
    }

    /// It ended; work that was given up changes nothing.
    pub(super) fn finish(&self, name: &str, number: u64, failure: Option<Failure>) {
        self.change(name, |held| {
            let Some(record) = held else { return };
            if record.work.as_ref().is_none_or(|work| work.number != number) {
                return;
            }
            record.work = None;
            record.failure = failure.filter(|_| !record.is_running());
            held.take_if(|record| record.is_over());
        });
    }

    /// Tells everybody if anything is different afterwards.
    fn change(&self, name: &str, change: impl FnOnce(&mut Option<Record>)) {
        let mut records = self.lock();
        let mut held = records.remove(name);
        let before = held.clone();
        change(&mut held);
        let is_news = held != before;
        if let Some(record) = held {
            records.insert(name.to_owned(), record);
        }
        drop(records);
        if is_news {
            self.changes.note();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        // Every change is whole: a panic elsewhere cannot have left half of one.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
