//! Signals by name or number, and told apart in words.

use std::str::FromStr;

use nix::sys::signal::Signal;

/// `SIGTERM`, `TERM`, `sigterm` or `15`; an empty name is SIGTERM.
pub(super) fn parse(name: &str) -> Result<Signal, String> {
    if name.is_empty() {
        return Ok(Signal::SIGTERM);
    }
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    let by_number = name.parse::<i32>().ok().and_then(|n| Signal::try_from(n).ok());
    by_number.or_else(|| Signal::from_str(&full).ok()).ok_or_else(|| format!("{name} is no signal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_known_by_every_usual_spelling() {
        for name in ["SIGINT", "INT", "int", "2"] {
            assert_eq!(parse(name), Ok(Signal::SIGINT));
        }
        assert_eq!(parse(""), Ok(Signal::SIGTERM));
        assert!(parse("SIGNONSENSE").is_err());
    }
}
