//! What a health check may ask for: one set of limits for files and for requests.

use std::ops::RangeInclusive;

const HOUR_MS: u64 = 3_600_000;

/// From one check to the next, milliseconds. More than ten a second from each checker is load, not news; less than one an
/// hour is a mistake of unit.
pub const INTERVAL_MS: RangeInclusive<u64> = 100..=HOUR_MS;

/// What one check may take, milliseconds. Below ten every hiccup of a network is a failure, and the unit was mistaken
/// for seconds.
pub const TIMEOUT_MS: RangeInclusive<u64> = 10..=HOUR_MS;

/// What a container may take to become healthy, milliseconds. A day: a database may load for hours, not for longer. At
/// least a second: what is younger than that has not had two checks.
pub const INITIALIZING_MS: RangeInclusive<u64> = 1_000..=24 * HOUR_MS;

/// From the start of a container on, failures of its command count for nothing for so long, milliseconds; 0 = none.
pub const START_PERIOD_MS: RangeInclusive<u64> = 0..=24 * HOUR_MS;

/// Passes or failures in a row. With more than a hundred nobody waits for the verdict.
pub const THRESHOLD: RangeInclusive<u32> = 1..=100;

/// Longest drain, milliseconds: connections that last longer are cut in the end anyway, and a host must become empty.
pub const DRAIN_MAX_MS: u64 = HOUR_MS;

/// Most words of a command.
pub const ARGV_MAX: usize = 1_000;
