//! The processes of one command in a container, as this host sees them: the engine starts commands and cannot end them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use crate::runtime::descriptor::watched;

/// What is killed may fork meanwhile: looked for so often.
const LOOKS_MAX: u32 = 5;

/// The first process of a command; it leads a session, as the engine starts it.
pub(super) struct Leader {
    pid: u32,
    container_id: String,
    /// Readable when it has ended.
    process: AsyncFd<OwnedFd>,
}

impl Leader {
    /// None if it has ended, or if `pid` is none of that container's here: in another process namespace than the
    /// engine's, numbers mean others.
    pub(super) fn of(pid: u32, container_id: &str) -> Option<Leader> {
        let process = watched(open(pid).ok()?).ok()?;
        let container_id = container_id.to_owned();
        is_in(pid, &container_id).then_some(Leader { pid, container_id, process })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) async fn ended(&self) {
        // An error would be that of a descriptor we do not have.
        let _ = self.process.readable().await;
    }

    /// Tells it and all it started that nobody is there any more.
    pub(super) fn hang_up(&self) {
        let all = self.started();
        for signal in [Signal::SIGHUP, Signal::SIGCONT] {
            all.iter().for_each(|process| process.signal(signal));
        }
    }

    /// Kills it and all it started.
    pub(super) fn kill(&self) {
        let mut known = BTreeSet::new();
        for _ in 0..LOOKS_MAX {
            let all = self.started();
            let are_new = all.iter().filter(|process| known.insert((process.pid, process.began))).count() > 0;
            all.iter().for_each(|process| process.signal(Signal::SIGKILL));
            if !are_new {
                return;
            }
        }
    }
}

impl Leader {
    /// Its number may be another's by now: only what is in its container is meant.
    fn started(&self) -> Vec<Process> {
        let mut all = Table::read().started_by(self.pid);
        all.retain(|process| is_in(process.pid, &self.container_id));
        all
    }
}

/// Kills what a command that has ended left behind in its session.
pub(super) fn kill_rest(leader: u32, container_id: &str) {
    // As long as one is left, its number is not given to another; mostly none is.
    let is_left = i32::try_from(leader).is_ok_and(|group| killpg(Pid::from_raw(group), None).is_ok());
    if is_left {
        let rest = Table::read().0.into_values().filter(|process| process.session == leader);
        rest.filter(|process| is_in(process.pid, container_id)).for_each(|process| process.signal(Signal::SIGKILL));
    }
}

/// The engine names a container's cgroup after it.
fn is_in(pid: u32, container_id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|cgroups| cgroups.contains(container_id))
}

/// All processes at one moment, by number.
struct Table(BTreeMap<u32, Process>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    session: u32,
    /// Clock ticks since the machine started: another process of the same number began later.
    began: u64,
}

impl Table {
    fn read() -> Table {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        Table(pids.filter_map(|pid| Some((pid, Process::read(pid)?))).collect())
    }

    /// The leader, what is in its session (also if its parent has ended), and all below these.
    fn started_by(&self, leader: u32) -> Vec<Process> {
        let is_first = |process: &&Process| process.pid == leader || process.session == leader;
        let mut found: BTreeMap<u32, Process> = self.0.values().filter(is_first).map(|p| (p.pid, *p)).collect();
        loop {
            let below = |process: &&Process| found.contains_key(&process.parent) && !found.contains_key(&process.pid);
            let more: Vec<Process> = self.0.values().filter(below).copied().collect();
            if more.is_empty() {
                return found.into_values().collect();
            }
            found.extend(more.into_iter().map(|process| (process.pid, process)));
        }
    }
}

impl Process {
    fn read(pid: u32) -> Option<Process> {
        Process::parse(pid, &std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// `PID (NAME) STATE PARENT GROUP SESSION …`; the 22nd is when it began. A name may hold anything.
    fn parse(pid: u32, stat: &str) -> Option<Process> {
        let mut rest = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let (_state, parent, _group, session) = (rest.next()?, rest.next()?, rest.next()?, rest.next()?);
        let began = rest.nth(15)?;
        Some(Process { pid, parent: parent.parse().ok()?, session: session.parse().ok()?, began: began.parse().ok()? })
    }

    fn signal(&self, signal: Signal) {
        let Ok(descriptor) = open(self.pid) else { return };
        // Held by its descriptor it is looked at again: its number may be another's by now.
        if Process::read(self.pid).is_none_or(|now| now.began != self.began) {
            return;
        }
        // SAFETY: a system call with an open descriptor, no information and no flags.
        let _ = unsafe {
            let none = std::ptr::null::<libc::siginfo_t>();
            libc::syscall(libc::SYS_pidfd_send_signal, descriptor.as_raw_fd(), signal as i32, none, 0)
        };
    }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: a system call without pointers; the descriptor it returns is ours alone.
    unsafe {
        let code = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if code < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedFd::from_raw_fd(code as i32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32, parent: u32, session: u32) -> (u32, Process) {
        (pid, Process { pid, parent, session, began: 1 })
    }

    #[test]
    fn a_command_is_its_session_and_whatever_these_started() {
        let others = [process(1, 0, 1), process(90, 1, 90), process(91, 90, 90)];
        let own =
            [process(10, 5, 10), process(11, 10, 10), process(12, 1, 10), process(13, 12, 13), process(14, 13, 13)];
        let table = Table(others.into_iter().chain(own).collect());
        let pids: Vec<u32> = table.started_by(10).iter().map(|process| process.pid).collect();
        assert_eq!(pids, [10, 11, 12, 13, 14]);
        assert!(table.started_by(77).is_empty());
    }

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let stat = "7 (a) b (c) S 5 6 4 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2 18446744073709551615";
        assert_eq!(Process::parse(7, stat), Some(Process { pid: 7, parent: 5, session: 4, began: 987_654 }));
        assert!(Process::read(std::process::id()).is_some_and(|me| me.parent != 0));
    }
}
