//! `stop_signal`: names of signals, with or without `SIG`, or their numbers.

use crate::field::Field;
use crate::report::Report;

/// Linux signals by number, from 1 (x86 and ARM).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
/// Distance from `SIGRTMIN` to `SIGRTMAX`.
const REAL_TIME_MAX: u8 = 30;

/// The signal's name, `SIG` in front.
pub(crate) fn read(field: &Field, report: &mut Report) -> Option<String> {
    let expected = "a signal such as `SIGTERM` or `SIGQUIT`";
    let signal = parse(field.text(expected, report)?);
    if signal.is_none() {
        field.expected(expected, report);
    }
    signal
}

fn parse(text: &str) -> Option<String> {
    let upper = text.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Ok(number) = name.parse::<usize>() {
        return NAMES.get(number.checked_sub(1)?).map(|name| format!("SIG{name}"));
    }
    let is_real_time = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(offset), _) => offset.is_empty() || is_offset(offset, '+'),
        (_, Some(offset)) => offset.is_empty() || is_offset(offset, '-'),
        _ => false,
    };
    (is_real_time || NAMES.contains(&name)).then(|| format!("SIG{name}"))
}

fn is_offset(text: &str, sign: char) -> bool {
    text.strip_prefix(sign).and_then(|digits| digits.parse::<u8>().ok()).is_some_and(|offset| offset <= REAL_TIME_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_name_and_number() {
        for (text, name) in
            [("SIGTERM", "SIGTERM"), ("term", "SIGTERM"), ("15", "SIGTERM"), ("SIGRTMIN+3", "SIGRTMIN+3")]
        {
            assert_eq!(parse(text).as_deref(), Some(name), "{text}");
        }
        for text in ["", "0", "99", "SIGNOPE", "RTMIN+31", "RTMAX+1", "-9"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
