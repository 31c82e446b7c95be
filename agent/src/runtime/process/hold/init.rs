//! Process 1 of a unit: starts the workload, passes signals on to it, buries orphans, and ends with its exit code.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// What SIGHUP means to the one that waits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hangup {
    IsPassedOn,
    /// Nobody waits for the workload any more: it is killed, and so is everything in its session's first group, which
    /// does not outlive the workload either.
    Kills,
}

/// Waits for `workload`; the caller must be process 1 with all signals blocked. Returns its code as a shell shows it.
/// Whatever else still runs is killed by the kernel when process 1 ends.
pub(super) fn wait_for(workload: Pid, hangup: Hangup) -> i32 {
    let signals = SigSet::all();
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap(workload) {
                    if hangup == Hangup::Kills {
                        // What it left behind in its group; that number is not given to another while one is left, and
                        // not so soon if none is.
                        let _ = kill(Pid::from_raw(-workload.as_raw()), Signal::SIGKILL);
                    }
                    return code;
                }
            }
            Ok(Signal::SIGHUP) if hangup == Hangup::Kills => {
                // The group is not there until the workload has made its session.
                let _ = kill(Pid::from_raw(-workload.as_raw()), Signal::SIGKILL);
                let _ = kill(workload, Signal::SIGKILL);
            }
            // The workload may be gone at this moment; its SIGCHLD follows.
            Ok(signal) => drop(kill(workload, signal)),
            Err(_) => {}
        }
    }
}

/// Buries every dead child; the code if the workload was among them.
fn reap(workload: Pid) -> Option<i32> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return code,
            Ok(status) if status.pid() == Some(workload) => code = code_of(status).or(code),
            Ok(_) => {}
            Err(_) => return code,
        }
    }
}

/// As a shell shows it: 128 + signal for a killed process.
pub(super) fn code_of(status: WaitStatus) -> Option<i32> {
    match status {
        WaitStatus::Exited(_, code) => Some(code),
        WaitStatus::Signaled(_, signal, _) => Some(128 + signal as i32),
        _ => None,
    }
}
