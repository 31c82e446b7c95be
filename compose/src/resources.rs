//! How much a container may use, as Compose 2 says it: `cpus`, `mem_limit` and the like beside `deploy.resources`.

use remuda_api::spec::ServiceSpec;

use crate::field::Field;
use crate::limits::{CPU_MAX_MILLI, MEMORY_MAX_BYTES, PIDS_MAX};
use crate::quantity;
use crate::report::Report;

/// What `cpu_quota` is a share of when `cpu_period` is not given, microseconds (the kernel's default).
const CPU_PERIOD_US: u64 = 100_000;
/// Periods and quotas the kernel takes, microseconds.
const CPU_PERIODS_US: std::ops::RangeInclusive<u64> = 1_000..=1_000_000;
/// Weights the kernel takes.
const CPU_SHARES: std::ops::RangeInclusive<u64> = 0..=262_144;

/// Reads these keys among `entries`, once `deploy` has been read: what both say must be the same.
pub(crate) fn read(entries: &[Field], service: &mut ServiceSpec, report: &mut Report) {
    let find = |key: &str| entries.iter().find(|entry| entry.key() == key);
    let limits = &mut service.resources;
    if let Some(entry) = find("cpus").filter(|entry| !is_unlimited(entry)) {
        let milli = quantity::cpu_milli(entry, CPU_MAX_MILLI, report);
        set(&mut limits.limit_cpu_milli, milli, entry, "deploy.resources.limits.cpus", report);
    }
    if let Some(entry) = find("cpu_quota").filter(|entry| !is_unlimited(entry)) {
        let milli = read_quota(entry, find("cpu_period"), report);
        let other = if find("cpus").is_some() { "cpus" } else { "deploy.resources.limits.cpus" };
        set(&mut limits.limit_cpu_milli, milli, entry, other, report);
    } else if let Some(period) = find("cpu_period") {
        period.integer(CPU_PERIODS_US, report);
    }
    if let Some(entry) = find("mem_limit").filter(|entry| !is_unlimited(entry)) {
        let bytes = quantity::size_bytes(entry, MEMORY_MAX_BYTES, report);
        set(&mut limits.limit_memory_bytes, bytes, entry, "deploy.resources.limits.memory", report);
    }
    if let Some(entry) = find("pids_limit").filter(|entry| !is_unlimited(entry)) {
        let pids = entry.integer(1..=PIDS_MAX, report);
        set(&mut limits.limit_pids, pids, entry, "deploy.resources.limits.pids", report);
    }
    if let Some(entry) = find("mem_reservation").filter(|entry| !is_unlimited(entry)) {
        read_reservation(entry, service, report);
    }
    if let Some(entry) = find("memswap_limit").filter(|entry| !is_zero(entry)) {
        read_swap(entry, service, report);
    }
    if let Some(entry) = find("cpu_shares") {
        service.engine.cpu_shares = entry.integer(CPU_SHARES, report).unwrap_or(0);
    }
    if let Some(entry) = find("cpuset") {
        service.engine.cpuset = read_cpuset(entry, report);
    }
}

/// Compose's words for "no limit": 0 and -1.
fn is_unlimited(field: &Field) -> bool {
    is_zero(field) || is_text(field, "-1")
}

fn is_zero(field: &Field) -> bool {
    is_text(field, "0")
}

fn is_text(field: &Field, wanted: &str) -> bool {
    matches!(&field.node.value, crate::value::Value::Text { text, .. } if text.trim() == wanted)
}

/// Sets a limit that `other` may have set already.
fn set(slot: &mut u64, amount: Option<u64>, field: &Field, other: &str, report: &mut Report) {
    let Some(amount) = amount else { return };
    if *slot != 0 && *slot != amount {
        field.problem(format!("`{}` and `{other}` differ: keep one of them", field.key()), report);
    }
    *slot = amount;
}

fn read_quota(quota: &Field, period: Option<&Field>, report: &mut Report) -> Option<u64> {
    let period_us = match period {
        Some(period) => period.integer(CPU_PERIODS_US, report)?,
        None => CPU_PERIOD_US,
    };
    let most_us = period_us * (CPU_MAX_MILLI / 1_000);
    let quota_us = quota.number("microseconds, a whole number", 1_000..=most_us, report)?;
    Some((quota_us * 1_000).div_ceil(period_us))
}

/// A host must have it free, and the engine takes back what is above it first when memory runs short.
fn read_reservation(field: &Field, service: &mut ServiceSpec, report: &mut Report) {
    let bytes = quantity::size_bytes(field, MEMORY_MAX_BYTES, report);
    let other = "deploy.resources.reservations.memory";
    set(&mut service.resources.reserve_memory_bytes, bytes, field, other, report);
    let limit_bytes = service.resources.limit_memory_bytes;
    if limit_bytes > 0 && bytes.is_some_and(|bytes| bytes > limit_bytes) {
        field.problem("reserves more memory than the limit allows: raise one or lower the other", report);
    }
    service.engine.memory_reservation_bytes = bytes.unwrap_or(0);
}

fn read_swap(field: &Field, service: &mut ServiceSpec, report: &mut Report) {
    if is_unlimited(field) {
        service.engine.memory_swap_bytes = -1;
        return;
    }
    let Some(bytes) = quantity::size_bytes(field, MEMORY_MAX_BYTES, report) else { return };
    match service.resources.limit_memory_bytes {
        0 => field.problem("counts memory and swap together, and needs `mem_limit` beside it: add that", report),
        memory if bytes < memory => {
            field.problem("counts memory and swap together: it cannot be below the memory limit", report);
        }
        _ => service.engine.memory_swap_bytes = i64::try_from(bytes).unwrap_or(-1),
    }
}

/// `0-3,5`.
fn read_cpuset(field: &Field, report: &mut Report) -> String {
    let expected = "processors such as `0-3` or `0,2`";
    let Some(text) = field.line(expected, report) else {
        return String::new();
    };
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let is_range = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first).zip(number(last)).is_some_and(|(first, last)| first <= last),
        None => number(part).is_some(),
    };
    let compact = text.replace(' ', "");
    if !compact.split(',').all(is_range) {
        field.expected(expected, report);
    }
    compact
}
