//! Every key Compose knows, and what becomes of each: [`acted`] sorts the entries of a map by it.
//!
//! The tables are in `keys/tables.rs`; `schema_test` compares them with the published schema wherever that is at hand.

use crate::field::Field;
use crate::limits::SHOWN_MAX_CHARS;
use crate::problem::shown;
use crate::report::{Place, Report};
use crate::value::Value;

mod tables;

pub(crate) use tables::*;

/// The entries of map `field` that are acted on. Reports unknown keys, and once per key those left for later, whose own
/// keys are checked all the same. `x-…` is anybody's and passed over.
pub(crate) fn acted<'a>(field: &'a Field<'_>, table: &'static Table, report: &mut Report) -> Vec<Field<'a>> {
    let mut entries = field.entries(table.expected, report);
    entries.retain(|entry| match table.find(entry.key()) {
        Some(Key { fate: Fate::Acted, .. }) => true,
        Some(Key { name, fate: Fate::Noticed(meaning), inner, .. }) => {
            not_yet(entry.key_place(), name, meaning, report);
            check_inner(entry, *inner, report);
            false
        }
        Some(Key { name, fate: Fate::Refused(reason), .. }) => {
            entry.problem_at_key(format!("`{name}` does not work here: {reason}"), report);
            false
        }
        None if entry.key().starts_with("x-") => false,
        None => {
            unknown(entry, table, report);
            false
        }
    });
    entries
}

/// The keys one kind of map may have.
#[derive(Debug)]
pub(crate) struct Table {
    /// What to say when something else stands there: "expected …".
    pub expected: &'static str,
    pub keys: &'static [Key],
}

#[derive(Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    pub fate: Fate,
    pub inner: Inner,
    /// Not in the published schema: older than it (Compose v1, v2) or newer.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the comparison with the schema asks"))]
    pub is_outside_schema: bool,
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Its value is read.
    Acted,
    /// Its inner keys are checked and it is said once, with what leaving it out means (nothing where it is plain).
    Noticed(&'static str),
    /// Leaving it out would do something else than was meant: refused, with the reason.
    Refused(&'static str),
}

/// What stands under a key, where that has keys of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inner {
    Leaf,
    Map(&'static Table),
    /// A list whose maps have these keys.
    List(&'static Table),
    /// A map from names to maps with these keys.
    Named(&'static Table),
}

impl Table {
    pub(crate) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// Says that `what`, in backticks, is left out, and what that means.
pub(crate) fn not_yet(place: Place, what: &str, meaning: &str, report: &mut Report) {
    report.notice(place, format!("`{what}` is understood, not acted on yet: {meaning}"));
}

/// Reports unknown keys below a key that is left for later.
pub(crate) fn check_inner(field: &Field, inner: Inner, report: &mut Report) {
    match (inner, &field.node.value) {
        (Inner::Map(table), Value::Map(_)) => check_table(field, table, report),
        (Inner::List(table), Value::List(_)) => {
            for item in field.items("", report) {
                check_inner(&item, Inner::Map(table), report);
            }
        }
        (Inner::Named(table), Value::Map(_)) => {
            for entry in field.members() {
                check_inner(&entry, Inner::Map(table), report);
            }
        }
        _ => {}
    }
}

fn check_table(field: &Field, table: &'static Table, report: &mut Report) {
    for entry in field.entries(table.expected, report) {
        match table.find(entry.key()) {
            Some(key) => check_inner(&entry, key.inner, report),
            None if entry.key().starts_with("x-") => {}
            None => unknown(&entry, table, report),
        }
    }
}

fn unknown(entry: &Field, table: &Table, report: &mut Report) {
    let advice = match report.is_full() {
        true => String::new(),
        false => advice(entry.key(), table),
    };
    entry.problem_at_key(format!("unknown key {}: {advice}", shown(entry.key())), report);
}

pub(crate) fn advice(key: &str, table: &Table) -> String {
    if std::ptr::eq(table, &SERVICE_V1) && SERVICE.find(key).is_some() {
        return "Compose 1 files have no such key: put the services under a top-level `services:`".to_owned();
    }
    if let Some(place) = elsewhere(key, table) {
        return format!("it belongs under `{place}:`");
    }
    match nearest(key, table.keys.iter().map(|key| key.name)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "remove it, or begin it with `x-` to keep it as a note".to_owned(),
    }
}

/// Where a key belongs that someone wrote a level too high.
fn elsewhere(key: &str, table: &Table) -> Option<&'static str> {
    let places: &[(&str, &Table)] = match () {
        () if std::ptr::eq(table, &SERVICE) => &[
            ("deploy", &DEPLOY),
            ("deploy.resources", &RESOURCES),
            ("deploy.resources.limits", &LIMITS),
            ("deploy.placement", &PLACEMENT),
            ("healthcheck", &HEALTHCHECK),
            ("x-remuda", &X_REMUDA),
        ],
        () if std::ptr::eq(table, &DEPLOY) => {
            &[("resources", &RESOURCES), ("resources.limits", &LIMITS), ("placement", &PLACEMENT)]
        }
        () if std::ptr::eq(table, &RESOURCES) => &[("limits", &LIMITS)],
        () if std::ptr::eq(table, &X_REMUDA) => &[("health_check", &HEALTH_CHECK)],
        () if std::ptr::eq(table, &HEALTH_CHECK) => &[("recreate_on_quorum_strategy_config", &QUORUM)],
        () => &[],
    };
    places.iter().find(|(_, table)| table.find(key).is_some()).map(|(place, _)| *place)
}

/// The name that differs least from `wrong`, if it differs little enough to be meant.
pub(crate) fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let wrong = wrong.to_ascii_lowercase().replace('-', "_");
    let len = wrong.chars().count();
    if len > SHOWN_MAX_CHARS {
        return None;
    }
    let limit = (len / 3).clamp(1, 3);
    let scored = names.filter(|name| name.len().abs_diff(wrong.len()) <= limit);
    let scored = scored.map(|name| (distance(&wrong, &name.to_ascii_lowercase().replace('-', "_")), name));
    scored.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

/// Edits (insert, delete, replace, swap of neighbours) that lead from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    let swap = if is_swap { rows[i - 2][j - 2] + 1 } else { replace };
                    replace.min(swap).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_answered_with_the_key_that_was_meant() {
        let names = || SERVICE.keys.iter().map(|key| key.name);
        for (wrong, meant) in
            [("imgae", "image"), ("port", "ports"), ("Environment", "environment"), ("depends-on", "depends_on")]
        {
            assert_eq!(nearest(wrong, names()), Some(meant), "{wrong}");
        }
        for nonsense in ["", "zzz", "replica_count_of_all", &"x".repeat(10_000)] {
            assert_eq!(nearest(nonsense, names()), None, "{nonsense}");
        }
    }
}
