//! The clock: certificates are valid for a day, so hosts must agree on it roughly.

use super::{Finding, Section};

const SECTION: Section = Section("time");
/// A program is not older than the moment it was installed; this much is forgiven for file times of other zones.
const BEHIND_MAX_S: u64 = 24 * 60 * 60;

#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Unix seconds.
    pub now_s: u64,
    /// When the file of this very program was written, Unix seconds.
    pub program_s: Option<u64>,
    /// Whether the kernel's clock is kept by something (adjtimex(2)); None = not known.
    pub is_synchronised: Option<bool>,
}

pub fn judge(facts: &Facts) -> Vec<Finding> {
    let behind = facts.program_s.is_some_and(|program_s| facts.now_s + BEHIND_MAX_S < program_s);
    let clock = match behind {
        true => SECTION.fail(
            "clock",
            "it is earlier than this program was installed: certificates are not valid yet",
            "set the clock: `systemctl restart systemd-timesyncd` or `chronyc makestep`",
        ),
        false => SECTION.ok("clock", "it is later than this program was installed"),
    };
    let kept = match facts.is_synchronised {
        Some(true) => SECTION.ok("ntp", "the clock is kept by a time service"),
        Some(false) => SECTION.warn(
            "ntp",
            "no time service keeps the clock: a host that is hours off cannot join, and its logs are hard to compare",
            "apt install chrony (or systemd-timesyncd)",
        ),
        None => SECTION.ok("ntp", "whether a time service keeps the clock is not known here"),
    };
    vec![clock, kept]
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::tests::troubles;
    use super::*;

    #[test]
    fn a_clock_that_was_reset_is_told_from_one_that_nobody_keeps() {
        let good = Facts { now_s: 1_800_000_000, program_s: Some(1_790_000_000), is_synchronised: Some(true) };
        assert_eq!(troubles(&judge(&good)), []);
        let reset = Facts { now_s: 100, ..good.clone() };
        assert_eq!(troubles(&judge(&reset)), [(Verdict::Fail, "clock")]);
        let free = Facts { is_synchronised: Some(false), ..good };
        assert_eq!(troubles(&judge(&free)), [(Verdict::Warn, "ntp")]);
    }
}
