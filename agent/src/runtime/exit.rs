//! Why a unit's process ended, in words.

use nix::sys::signal::Signal;

/// What is known beside its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Own,
    /// The kernel killed it.
    OutOfMemory,
    /// We killed it.
    GraceOver,
}

/// `code` as a shell shows it: 128 + signal. The last line of its log says most.
pub(super) fn reason(code: i32, cause: Cause, last_line: Option<&str>) -> String {
    let mut text = match (cause, Signal::try_from(code - 128)) {
        (Cause::OutOfMemory, _) => "killed by the kernel: out of memory".to_string(),
        (Cause::GraceOver, _) => "killed: still running when the grace time was over".into(),
        (Cause::Own, Ok(signal)) => format!("killed by {signal}"),
        (Cause::Own, Err(_)) => format!("exited with code {code}"),
    };
    if let Some(last_line) = last_line {
        text.push_str(": ");
        text.push_str(last_line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_its_cause_and_the_last_line() {
        assert_eq!(reason(3, Cause::Own, Some("no database")), "exited with code 3: no database");
        assert_eq!(reason(139, Cause::Own, None), "killed by SIGSEGV");
        assert_eq!(reason(137, Cause::OutOfMemory, None), "killed by the kernel: out of memory");
        assert_eq!(reason(137, Cause::GraceOver, None), "killed: still running when the grace time was over");
    }
}
