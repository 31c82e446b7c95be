//! What the lines of `cargo test` say, as numbers.

use std::ops::AddAssign;

/// Tests counted by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// The counts of a libtest summary (`test result: ok. 5 passed; 0 failed; 1 ignored; …`), `None` for any other line.
pub fn result_line(line: &str) -> Option<Counts> {
    // A test that writes without a line end may leave its words in front.
    let (_, summary) = line.split_once("test result: ")?;
    let (_, numbers) = summary.split_once(". ")?;
    let number = |word: &str| {
        let part = numbers.split(';').find(|part| part.trim().ends_with(word))?;
        part.trim().split(' ').next()?.parse().ok()
    };
    Some(Counts { passed: number("passed")?, failed: number("failed")?, skipped: number("ignored")? })
}

/// The reason in a line that [`remuda_lab::skip`] wrote: that test counts as passed to libtest, and cannot run here.
pub fn skip_line(line: &str) -> Option<&str> {
    line.split_once(remuda_lab::SKIP_MARK).map(|(_, reason)| reason.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_line_becomes_counts() {
        let line = "test result: FAILED. 5 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s";
        assert_eq!(result_line(line), Some(Counts { passed: 5, failed: 2, skipped: 1 }));
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(result_line("test plan::empty ... ok"), None);
        assert_eq!(result_line("running 3 tests"), None);
    }

    #[test]
    fn a_skip_names_its_reason() {
        let line = format!("test x ... {} no IPv6 here", remuda_lab::SKIP_MARK);
        assert_eq!(skip_line(&line), Some("no IPv6 here"));
    }
}
