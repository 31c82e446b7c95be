//! Times as the engine writes them.

const DAY_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Unix nanoseconds of `2026-11-20T16:27:06.632767924Z`, with up to nine digits of a second; None if it is none, is
/// before 1970 (`0001-01-01T00:00:00Z` is the engine's *never*), or after 2500.
pub(super) fn unix_ns(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let (time, offset_s) = offset(time)?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.splitn(3, ':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let is_sane = (1970..2500).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_sane || hour > 23 || minute > 59 || second > 60 || fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let fraction_ns = format!("{fraction:0<9}").parse::<u64>().ok()?;
    let second_of_day = hour * 3600 + minute * 60 + second;
    let ns = days(year, month, day) * DAY_NS + second_of_day * 1_000_000_000 + fraction_ns;
    ns.checked_add_signed(-offset_s * 1_000_000_000)
}

/// The time without its `Z`, `+02:00`, and how far ahead of UTC it is, seconds.
fn offset(time: &str) -> Option<(&str, i64)> {
    if let Some(utc) = time.strip_suffix('Z') {
        return Some((utc, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (time, offset) = time.split_at(at);
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let seconds = hours.parse::<u32>().ok()?.min(24) * 3600 + minutes.parse::<u32>().ok()?.min(59) * 60;
    Some((time, if offset.starts_with('-') { -i64::from(seconds) } else { i64::from(seconds) }))
}

/// Days since 1970 (civil calendar after Howard Hinnant's `days_from_civil`).
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_times_are_read_to_the_nanosecond() {
        assert_eq!(unix_ns("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(unix_ns("2024-02-29T12:34:56.789Z"), Some(1_709_210_096_789_000_000));
        assert_eq!(unix_ns("2024-02-29T14:34:56.000000789+02:00"), Some(1_709_210_096_000_000_789));
        assert_eq!(unix_ns("2024-02-29T10:34:56-02:00"), Some(1_709_210_096_000_000_000));
    }

    #[test]
    fn what_is_no_time_or_the_engines_never_is_none() {
        for text in ["", "0001-01-01T00:00:00Z", "2024-02-29", "2024-13-01T00:00:00Z", "2024-02-29T12:34:56.Z", "T:"] {
            assert_eq!(unix_ns(text), None, "{text}");
        }
    }
}
