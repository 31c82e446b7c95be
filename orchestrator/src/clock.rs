//! Time as the store keeps it: milliseconds since 1970, UTC. Leases use [`std::time::Instant`], never this.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Unix ms that only go forward, at the pace of time: the wall clock as it was once, and what has passed since. Deadlines
/// are kept by it, so that a wall clock that is set moves none of them; times shown are off by the same until the next
/// start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began_ms: u64,
    began: Instant,
}

impl Clock {
    /// `wall_ms` is now (unix ms).
    pub fn starting_at(wall_ms: u64) -> Clock {
        Clock { began_ms: wall_ms, began: Instant::now() }
    }

    pub fn now_ms(&self) -> u64 {
        self.began_ms.saturating_add(self.began.elapsed().as_millis() as u64)
    }
}

/// The wall clock now. A clock before 1970 reads 0.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// RFC 3339 in UTC with milliseconds: `2026-11-20T10:03:00.250Z`.
pub fn rfc3339(unix_ms: u64) -> String {
    let (days, ms_of_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60, ms_of_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms_of_day % 1000)
}

/// Year, month, day of a day counted from 1970-01-01 (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::{Clock, rfc3339};

    #[test]
    fn a_clock_goes_on_from_where_it_began_whatever_the_wall_clock_says() {
        let clock = Clock::starting_at(5_000);
        let (first_ms, second_ms) = (clock.now_ms(), clock.now_ms());
        assert!((5_000..65_000).contains(&first_ms), "{first_ms}: not 1970 plus a minute at most");
        assert!(second_ms >= first_ms);
    }

    #[test]
    fn times_read_as_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_795_168_980_250), "2026-11-20T10:03:00.250Z");
    }
}
