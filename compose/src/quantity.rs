//! Durations (`1m30s`), sizes (`512M`) and cores (`0.5`), exactly and without overflow.

use std::ops::RangeInclusive;

use crate::field::Field;
use crate::report::Report;

/// A duration with units, milliseconds; parts of a millisecond are dropped.
pub(crate) fn duration_ms(field: &Field, range_ms: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
    let least = match range_ms.start() {
        0 => String::new(),
        least => format!("from {least} ms "),
    };
    let most_h = range_ms.end() / 3_600_000;
    let expected = format!("a duration with a unit, such as `10s` or `1m30s`, {least}up to {most_h} h");
    let duration = parse_duration_ms(field.text(&expected, report)?).filter(|ms| range_ms.contains(ms));
    if duration.is_none() {
        field.expected(&expected, report);
    }
    duration
}

/// A size such as `512M`, bytes, above 0; units are powers of 1024, as Compose has them.
pub(crate) fn size_bytes(field: &Field, max_bytes: u64, report: &mut Report) -> Option<u64> {
    let expected = "a size above 0 such as `512M` or `1.5G` (leave it out for no limit)";
    let size = parse_size_bytes(field.text(expected, report)?).filter(|bytes| (1..=max_bytes).contains(bytes));
    if size.is_none() {
        field.expected(expected, report);
    }
    size
}

/// Cores such as `0.5`, thousandths, above 0; finer parts are rounded up.
pub(crate) fn cpu_milli(field: &Field, max_milli: u64, report: &mut Report) -> Option<u64> {
    let expected = format!("cores above 0 such as `0.5`, up to {} (leave it out for no limit)", max_milli / 1_000);
    let cpus = Decimal::parse(field.text(&expected, report)?.trim());
    let milli = cpus.and_then(|cpus| cpus.times(1_000, Round::Up)).filter(|milli| (1..=max_milli).contains(milli));
    if milli.is_none() {
        field.expected(&expected, report);
    }
    milli
}

fn parse_duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total_us: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_len = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (number, behind) = rest.split_at(number_len);
        let unit_len = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, behind) = behind.split_at(unit_len);
        let unit_us = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        };
        total_us = total_us.checked_add(Decimal::parse(number)?.times(unit_us, Round::Down)?)?;
        rest = behind;
    }
    Some(total_us / 1_000)
}

/// A size such as `512M`, bytes; None for anything else.
pub(crate) fn parse_size_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let number_len = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(number_len);
    let unit_bytes = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "ki" | "kib" => 1 << 10,
        "m" | "mb" | "mi" | "mib" => 1 << 20,
        "g" | "gb" | "gi" | "gib" => 1 << 30,
        "t" | "tb" | "ti" | "tib" => 1 << 40,
        _ => return None,
    };
    Decimal::parse(number)?.times(unit_bytes, Round::Down)
}

/// A decimal number as written: `digits / 10^fraction_digits`.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u64,
    fraction_digits: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Round {
    Up,
    Down,
}

impl Decimal {
    /// Digits with at most one point among them; no sign, no exponent.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = fraction.trim_end_matches('0');
        let all = format!("{whole}{fraction}");
        if text == "." || text.is_empty() || text.len() > 40 || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return None;
        }
        let digits = if all.is_empty() { 0 } else { all.parse().ok()? };
        Some(Self { digits, fraction_digits: u32::try_from(fraction.len()).ok()? })
    }

    fn times(self, factor: u64, round: Round) -> Option<u64> {
        let product = u128::from(self.digits) * u128::from(factor);
        let divisor = 10u128.checked_pow(self.fraction_digits)?;
        let result = match round {
            Round::Up => product.div_ceil(divisor),
            Round::Down => product / divisor,
        };
        u64::try_from(result).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up_their_parts() {
        for (text, ms) in
            [("10s", 10_000), ("1m30s", 90_000), ("500ms", 500), ("1.5h", 5_400_000), ("0s", 0), ("900us", 0)]
        {
            assert_eq!(parse_duration_ms(text), Some(ms), "{text}");
        }
        for text in ["", "10", "s", "10 s", "-1s", "1d", "1e9s", "99999999999999999999h", "1..5s", "ü"] {
            assert_eq!(parse_duration_ms(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_count_in_powers_of_1024() {
        for (text, bytes) in
            [("512M", 512 << 20), ("1.5g", 3 << 29), ("10 kb", 10 << 10), ("64", 64), ("2GiB", 2 << 30)]
        {
            assert_eq!(parse_size_bytes(text), Some(bytes), "{text}");
        }
        for text in ["", "M", "-1M", "1e309", "1Q", "99999999999T", "1.2.3M"] {
            assert_eq!(parse_size_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn cores_are_exact_to_the_thousandth_and_rounded_up() {
        let milli = |text| Decimal::parse(text).and_then(|cpus| cpus.times(1_000, Round::Up));
        for (text, expected) in [("0.5", 500), ("2", 2_000), ("0.0001", 1), (".25", 250), ("1.", 1_000)] {
            assert_eq!(milli(text), Some(expected), "{text}");
        }
        for text in ["", ".", "1e3", "-1", "NaN", "inf"] {
            assert_eq!(milli(text), None, "{text}");
        }
    }
}
