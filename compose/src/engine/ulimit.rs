//! `ulimits`: how much a process may use, one number or soft and hard.

use remuda_api::engine::Ulimit;

use super::advice;
use crate::field::Field;
use crate::keys;
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;

/// What setrlimit(2) knows, as Docker calls it.
const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// The limits; -1 = none.
pub(super) fn read(field: &Field, report: &mut Report) -> Vec<Ulimit> {
    let mut limits = Vec::new();
    for entry in field.entries("a map from limits such as `nofile:` to numbers", report) {
        if !NAMES.contains(&entry.key()) {
            let advice = advice(entry.key(), NAMES.into_iter(), "setrlimit(2) lists what there is", report);
            entry.problem_at_key(format!("unknown limit {}: {advice}", shown(entry.key())), report);
        } else if let Some((soft, hard)) = read_limit(&entry, report) {
            limits.push(Ulimit { name: entry.key().to_owned(), soft, hard });
        }
    }
    limits
}

fn read_limit(field: &Field, report: &mut Report) -> Option<(i64, i64)> {
    let Value::Map(_) = field.node.value else {
        let both = field.signed(-1..=i64::MAX, report)?;
        return Some((both, both));
    };
    let (mut soft, mut hard) = (None, None);
    for entry in keys::acted(field, &keys::ULIMIT, report) {
        let slot = if entry.key() == "soft" { &mut soft } else { &mut hard };
        *slot = Some(entry.signed(-1..=i64::MAX, report)?);
    }
    let (Some(soft), Some(hard)) = (soft, hard) else {
        field.problem("needs both `soft:` and `hard:`, or one number for both", report);
        return None;
    };
    if hard >= 0 && (soft < 0 || soft > hard) {
        field.problem("the soft limit is above the hard one: lower it, or raise the hard one", report);
        return None;
    }
    Some((soft, hard))
}
