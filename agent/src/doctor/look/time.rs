//! What the clock says, and whether somebody keeps it.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::doctor::time::Facts;

pub(super) fn look() -> Facts {
    let program = std::env::current_exe().and_then(std::fs::metadata).and_then(|file| file.modified());
    Facts {
        now_s: seconds(SystemTime::now()),
        program_s: program.ok().map(seconds),
        is_synchronised: is_synchronised(),
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// adjtimex(2) with no mode set only reads.
fn is_synchronised() -> Option<bool> {
    // SAFETY: timex is plain data; all zero is a valid value of it, and asks to change nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes the struct it is given and keeps no reference to it.
    let state = unsafe { libc::adjtimex(&mut timex) };
    (state >= 0).then_some(state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0)
}
