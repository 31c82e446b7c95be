//! One more command inside a running unit: `remuda exec`, health checks.

use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::unistd::{ForkResult, Pid, fork, setsid};

use super::init::Hangup;
use super::process::{Process, Program, close_streams, connect};
use super::{Unit, init, words};

/// A command that runs inside the unit.
pub(super) struct Session {
    /// Our child: passes signals on, ends with the command's code.
    pub(super) pid: Pid,
    /// For the other side: the terminal, or stdin, stdout and stderr.
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Starts `argv` in the unit's namespaces and limits, as its user; waits until it runs, or says why not.
pub(super) fn start(
    unit: &Unit,
    process: &Process,
    argv: &[String],
    terminal: Option<(u16, u16)>,
    kill_on_close: bool,
) -> Result<Session, String> {
    let program = Program::of(unit, argv, terminal.is_some())?;
    let namespaces = namespaces_of(process.init)?;
    let streams = Streams::open(terminal)?;
    let pipe = || std::io::pipe().map_err(|e| words("make a pipe", e));
    let ((go, mut permit), (mut failure, report)) = (pipe()?, pipe()?);
    // SAFETY: the holder has one thread.
    match unsafe { fork() }.map_err(|e| words("fork", e.into()))? {
        ForkResult::Child => {
            drop((permit, failure));
            std::process::exit(enter(&program, namespaces, streams, go, report, kill_on_close))
        }
        ForkResult::Parent { child } => {
            drop((go, report));
            let admitted = process.limits.admit(u32::try_from(child.as_raw()).unwrap_or_default());
            if admitted.is_ok() {
                let _ = permit.write_all(b"g");
            }
            drop(permit);
            let mut reason = String::new();
            let _ = failure.read_to_string(&mut reason);
            admitted?;
            if reason.is_empty() { Ok(Session { pid: child, descriptors: streams.theirs }) } else { Err(reason) }
        }
    }
}

/// The ends of a session's streams.
struct Streams {
    /// Terminal, or stdin, stdout, stderr, for the command.
    ours: Vec<OwnedFd>,
    theirs: Vec<OwnedFd>,
    is_terminal: bool,
}

impl Streams {
    fn open(terminal: Option<(u16, u16)>) -> Result<Streams, String> {
        if let Some((rows, columns)) = terminal {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            let OpenptyResult { master, slave } =
                openpty(Some(&size), None).map_err(|e| words("open a terminal", e.into()))?;
            for end in [&master, &slave] {
                fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(|e| words("open a terminal", e.into()))?;
            }
            return Ok(Streams { ours: vec![slave], theirs: vec![master], is_terminal: true });
        }
        let pipe = || std::io::pipe().map_err(|e| words("make a pipe", e));
        let ((stdin, feed), (out, stdout), (err, stderr)) = (pipe()?, pipe()?, pipe()?);
        Ok(Streams {
            ours: vec![stdin.into(), stdout.into(), stderr.into()],
            theirs: vec![feed.into(), out.into(), err.into()],
            is_terminal: false,
        })
    }

    /// Makes them the calling process's standard streams.
    fn take(&self) -> std::io::Result<()> {
        match self.ours.as_slice() {
            [slave] if self.is_terminal => {
                // SAFETY: an ioctl on an open terminal; the process leads a session without one.
                if unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) } < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                connect([slave.as_fd(), slave.as_fd(), slave.as_fd()])
            }
            [stdin, stdout, stderr] => connect([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]),
            _ => Err(std::io::Error::other("streams are incomplete")),
        }
    }
}

fn namespaces_of(init: Pid) -> Result<Vec<(File, CloneFlags)>, String> {
    let kinds =
        [("uts", CloneFlags::CLONE_NEWUTS), ("pid", CloneFlags::CLONE_NEWPID), ("mnt", CloneFlags::CLONE_NEWNS)];
    let open = |(name, flag): (&str, CloneFlags)| {
        let path = format!("/proc/{init}/ns/{name}");
        File::open(&path).map(|file| (file, flag)).map_err(|e| words(format!("open {path}"), e))
    };
    kinds.into_iter().map(open).collect()
}

/// Between the holder and the command: enters the namespaces, then waits outside them for the command's end.
fn enter(
    program: &Program,
    namespaces: Vec<(File, CloneFlags)>,
    streams: Streams,
    mut go: PipeReader,
    mut report: PipeWriter,
    kill_on_close: bool,
) -> i32 {
    let mut byte = [0];
    if go.read(&mut byte).unwrap_or(0) == 0 {
        return 1;
    }
    for (namespace, kind) in &namespaces {
        if let Err(e) = setns(namespace, *kind) {
            let _ = report.write_all(words("enter the unit's namespaces", e.into()).as_bytes());
            return 1;
        }
    }
    let _ = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None);
    // SAFETY: one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let _ = setsid();
            let reason = match streams.take() {
                Ok(()) => program.exec(),
                Err(e) => words("connect the streams", e),
            };
            let _ = report.write_all(reason.as_bytes());
            127
        }
        Ok(ForkResult::Parent { child }) => {
            drop((streams, report, namespaces));
            // Nor the holder's: another session's connection kept open here would not look closed.
            close_streams();
            init::wait_for(child, if kill_on_close { Hangup::Kills } else { Hangup::IsPassedOn })
        }
        Err(e) => {
            let _ = report.write_all(words("fork", e.into()).as_bytes());
            1
        }
    }
}
