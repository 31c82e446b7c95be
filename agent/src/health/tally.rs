//! Passes and failures in a row, and what they amount to.

use remuda_api::link::CheckOutcome;

/// How a check has gone so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    pub outcome: CheckOutcome,
    /// Of the last failure; empty while it passes.
    pub reason: String,
    /// The last results that were alike, saturating.
    in_a_row: u32,
    last_passed: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self { outcome: CheckOutcome::Unknown, reason: String::new(), in_a_row: 0, last_passed: false }
    }
}

impl Tally {
    /// Takes one result: `rise` passes in a row make it pass, `fall` failures in a row make it fail (both at least 1).
    /// Returns whether the outcome changed.
    pub fn note(&mut self, result: Result<(), String>, rise: u32, fall: u32) -> bool {
        let passed = result.is_ok();
        self.in_a_row = if passed == self.last_passed { self.in_a_row.saturating_add(1) } else { 1 };
        self.last_passed = passed;
        let (outcome, needed) = match passed {
            true => (CheckOutcome::Passing, rise),
            false => (CheckOutcome::Failing, fall),
        };
        let before = self.outcome;
        if self.in_a_row >= needed {
            self.outcome = outcome;
        }
        match result {
            Err(reason) if self.outcome != CheckOutcome::Passing => self.reason = reason,
            Ok(()) if self.outcome != CheckOutcome::Passing => {}
            _ => self.reason.clear(),
        }
        self.outcome != before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused() -> Result<(), String> {
        Err("connect: connection refused".into())
    }

    #[test]
    fn it_fails_after_three_failures_in_a_row_and_passes_after_two_passes() {
        let mut tally = Tally::default();
        assert!(!tally.note(Ok(()), 2, 3));
        assert!(tally.note(Ok(()), 2, 3));
        assert_eq!(tally.outcome, CheckOutcome::Passing);
        assert!(!tally.note(refused(), 2, 3) && !tally.note(refused(), 2, 3));
        assert_eq!((tally.outcome, tally.reason.as_str()), (CheckOutcome::Passing, ""));
        assert!(tally.note(refused(), 2, 3));
        assert_eq!((tally.outcome, tally.reason.as_str()), (CheckOutcome::Failing, "connect: connection refused"));
        assert!(!tally.note(Ok(()), 2, 3));
        assert_eq!(tally.reason, "connect: connection refused", "it still fails, for the last reason");
        assert!(tally.note(Ok(()), 2, 3));
        assert_eq!((tally.outcome, tally.reason.as_str()), (CheckOutcome::Passing, ""));
    }

    #[test]
    fn a_pass_in_between_begins_the_count_of_failures_afresh() {
        let mut tally = Tally::default();
        for result in [refused(), refused(), Ok(()), refused(), refused()] {
            assert!(!tally.note(result, 2, 3));
        }
        assert_eq!(tally.outcome, CheckOutcome::Unknown);
    }

    proptest! {
        #[test]
        fn the_outcome_is_what_the_last_long_enough_run_says(
            results in proptest::collection::vec(any::<bool>(), 0..60), rise in 1_u32..5, fall in 1_u32..5,
        ) {
            let mut tally = Tally::default();
            for n in 0..results.len() {
                let before = tally.outcome;
                let result = if results[n] { Ok(()) } else { refused() };
                let changed = tally.note(result, rise, fall);
                prop_assert_eq!(changed, before != tally.outcome);
                prop_assert_eq!(tally.outcome, by_definition(&results[..=n], rise as usize, fall as usize));
                prop_assert_eq!(tally.outcome == CheckOutcome::Failing, !tally.reason.is_empty()
                    && tally.outcome != CheckOutcome::Unknown);
            }
        }
    }

    /// The newest run of equal results that is long enough decides.
    fn by_definition(results: &[bool], rise: usize, fall: usize) -> CheckOutcome {
        for end in (1..=results.len()).rev() {
            let ends_with = |what: bool, needed: usize| {
                end >= needed && results[end - needed..end].iter().all(|result| *result == what)
            };
            if ends_with(true, rise) {
                return CheckOutcome::Passing;
            }
            if ends_with(false, fall) {
                return CheckOutcome::Failing;
            }
        }
        CheckOutcome::Unknown
    }
}
