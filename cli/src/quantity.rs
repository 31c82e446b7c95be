//! Quantities as people write them: memory sizes, durations, label pairs.

use std::time::Duration;

/// Nobody waits longer; it can be added to any point in time without leaving the clock's range.
const DURATION_MAX: Duration = Duration::from_secs(366 * 86_400);

/// `512M`, `2GiB`, `1073741824`: bytes. K, M, G and T are powers of 1,024, as Compose reads them.
pub fn memory_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return Err(format!("`{unit}` is no unit of memory: use K, M, G or T, as in 512M")),
    };
    let number: f64 = number.parse().map_err(|_| "write a number and a unit, as in 512M or 2G".to_owned())?;
    let bytes = number * factor as f64;
    if !(1.0..=u64::MAX as f64).contains(&bytes) {
        return Err("must be at least one byte, as in 512M".into());
    }
    Ok(bytes as u64)
}

/// `90s`, `15m`, `2h`, `1d`, `500ms`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let number: u64 = number.parse().map_err(|_| "write a number and a unit, as in 90s or 15m".to_owned())?;
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(format!("`{unit}` is no unit of time: use ms, s, m, h or d, as in 15m")),
    };
    let time = number.checked_mul(unit_ms).map(Duration::from_millis);
    time.filter(|time| *time <= DURATION_MAX).ok_or_else(|| "is longer than a year".into())
}

/// Cores: `2`, `0.5`; above 0.
pub fn cpu_cores(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(cores) if cores > 0.0 && cores < 1e6 => Ok(cores),
        _ => Err("write a number of cores above 0, as in 2 or 0.5".into()),
    }
}

/// `zone=a` -> (`zone`, `a`); the value may be empty.
pub fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, as in zone=a".into()),
    }
}

/// Bytes for people: `1.5 GiB`.
pub fn memory_words(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => format!("{bytes} B"),
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_compose_does() {
        for (text, bytes) in [("512M", 512 << 20), ("2GiB", 2 << 30), ("1.5g", 3 << 29), ("64kb", 64 << 10), ("7", 7)] {
            assert_eq!(memory_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "-1", "12x", "M", "1e30T"] {
            assert!(memory_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_need_a_known_unit() {
        assert_eq!(duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(duration("60"), Ok(Duration::from_secs(60)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "m", "1y", "-1s", "99999999999999999999s", "18446744073709551615d", "367d"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_label_has_a_key() {
        assert_eq!(label("zone=a"), Ok(("zone".into(), "a".into())));
        assert_eq!(label("ssd="), Ok(("ssd".into(), String::new())));
        assert!(label("=a").is_err() && label("zone").is_err());
    }

    #[test]
    fn bytes_are_shown_in_the_largest_unit_that_fits() {
        assert_eq!(memory_words(8 << 30), "8.0 GiB");
        assert_eq!(memory_words(100), "100 B");
    }
}
