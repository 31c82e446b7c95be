//! The holder's loop: requests come in, output goes to the log, children end, states go out.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, Flock, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::connection::{Connection, Received};
use super::log::{Log, Source};
use super::process::{self, Process};
use super::{Unit, exec, init, limits, now_ms, signal, words};
use crate::runtime::exit::{self, Cause};
use crate::runtime::process::protocol::{Answer, Phase, Request, State, file};

/// What a host's shutdown (SIGTERM to the holder) leaves a unit to end by itself.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Connections at a time: one agent, its subscription, and sessions. More is a mistake, and refused.
const CONNECTIONS_MAX: usize = 128;

pub(super) struct Server {
    unit: Unit,
    state: State,
    log: Log,
    process: Option<Process>,
    kill_at: Option<Instant>,
    /// Ends the holder as soon as nothing runs.
    is_quitting: bool,
    listener: UnixListener,
    signals: SignalFd,
    connections: Vec<Connection>,
    _lock: Flock<File>,
}

impl Server {
    pub(super) fn open(unit: Unit, lock: Flock<File>) -> Result<Server, String> {
        let path = unit.path(file::SOCKET);
        let _ = std::fs::remove_file(&path);
        let what = || format!("listen at {}", path.display());
        let listener = UnixListener::bind(&path).map_err(|e| words(what(), e))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(|e| words(what(), e))?;
        listener.set_nonblocking(true).map_err(|e| words(what(), e))?;
        let mask: SigSet = [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&mask), None).map_err(|e| words("block signals", e.into()))?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .map_err(|e| words("open a signal descriptor", e.into()))?;
        let log_path = unit.path(file::LOG);
        let log = Log::open(log_path.clone()).map_err(|e| words(format!("open {}", log_path.display()), e))?;
        let mut server = Server {
            state: State {
                sequence: 0,
                holder_pid: std::process::id(),
                phase: Phase::Created,
                restarts: restarts_before(&unit),
                started_ms: 0,
                exited_ms: 0,
            },
            unit,
            log,
            process: None,
            kill_at: None,
            is_quitting: false,
            listener,
            signals,
            connections: Vec::new(),
            _lock: lock,
        };
        server.publish();
        Ok(server)
    }

    /// Serves until told to quit; the exit code of the holder.
    pub(super) fn run(mut self) -> i32 {
        while !(self.is_quitting && self.process.is_none()) {
            let ready = self.wait();
            if ready.signals {
                self.take_signals();
            }
            self.pump_output();
            if ready.listener {
                self.accept();
            }
            for index in ready.connections {
                self.serve(index);
            }
            self.kill_when_due();
            self.connections.retain(|c| !c.is_closed);
        }
        limits::remove(&self.unit.dir);
        let _ = std::fs::remove_file(self.unit.path(file::SOCKET));
        0
    }

    fn wait(&self) -> Ready {
        let descriptors = self.descriptors();
        let mut polled: Vec<PollFd<'_>> = descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        let timeout = self.kill_at.map_or(PollTimeout::NONE, |at| {
            let left_ms = at.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(left_ms).unwrap_or(PollTimeout::MAX)
        });
        if poll(&mut polled, timeout).is_err() {
            return Ready::default();
        }
        let hit = |index: usize| polled.get(index).and_then(PollFd::any).unwrap_or(false);
        let connections = (0..self.connections.len()).filter(|i| hit(i + 2)).collect();
        Ready { signals: hit(0), listener: hit(1), connections }
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut all = vec![self.signals.as_fd(), self.listener.as_fd()];
        all.extend(self.connections.iter().map(|c| c.stream.as_fd()));
        if let Some(process) = &self.process {
            all.extend(process.output.iter().flatten().map(|o| o.1.as_fd()));
        }
        all
    }

    fn take_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if info.ssi_signo != Signal::SIGCHLD as u32 {
                self.is_quitting = true;
                self.stop(Signal::SIGTERM, SHUTDOWN_GRACE);
            }
        }
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let Some(pid) = status.pid() else { return };
            if let Some(code) = init::code_of(status) {
                self.ended(pid, code, status);
            }
        }
    }

    fn ended(&mut self, pid: Pid, code: i32, status: WaitStatus) {
        if self.process.as_ref().is_some_and(|p| p.init == pid) {
            return self.process_ended(code, matches!(status, WaitStatus::Signaled(..)));
        }
        if let Some(connection) = self.connections.iter_mut().find(|c| c.exec == Some(pid)) {
            connection.exec = None;
            connection.send(&Answer::Exited { code });
            connection.is_closed = true;
        }
    }

    /// Process 1 is gone, and with it every process of the unit, so the output ends here.
    fn process_ended(&mut self, code: i32, was_killed: bool) {
        self.pump_output();
        let _ = self.log.finish();
        let Some(process) = self.process.take() else { return };
        let lines = if code == 0 { Vec::new() } else { self.log.last_lines() };
        let cause = match was_killed && self.kill_at.is_some() {
            _ if process.limits.out_of_memory_kills() > 0 => Cause::OutOfMemory,
            true => Cause::GraceOver,
            false => Cause::Own,
        };
        let reason = exit::reason(code, cause, lines.last().map(String::as_str));
        self.kill_at = None;
        self.state.exited_ms = now_ms();
        self.state.phase = Phase::Exited { code, reason, lines };
        self.publish();
    }

    fn pump_output(&mut self) {
        let Some(process) = &mut self.process else { return };
        let mut buffer = [0; 16 << 10];
        for slot in &mut process.output {
            let Some((source, pipe)) = slot else { continue };
            loop {
                match pipe.read(&mut buffer) {
                    Ok(0) => {
                        *slot = None;
                        break;
                    }
                    // A full disk loses lines; the unit goes on.
                    Ok(count) => drop(self.log.take(*source, buffer.get(..count).unwrap_or_default())),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => break,
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.connections.len() < CONNECTIONS_MAX
                && let Ok(connection) = Connection::new(stream)
            {
                self.connections.push(connection);
            }
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        let requests = match connection.receive() {
            Received::Requests(requests) => requests,
            Received::Closed => return self.close(index),
        };
        for request in requests {
            let answer = match request {
                Ok(Request::Exec { argv, terminal, kill_on_close }) => {
                    self.exec(index, &argv, terminal, kill_on_close);
                    continue;
                }
                Ok(request) => self.answer(index, request),
                Err(reason) => Answer::Refused { reason },
            };
            if self.connections.get_mut(index).is_some_and(|c| !c.send(&answer)) {
                return self.close(index);
            }
        }
    }

    fn close(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index) else { return };
        connection.is_closed = true;
        if let Some(pid) = connection.exec {
            let _ = kill(pid, Signal::SIGHUP);
        }
    }

    fn answer(&mut self, index: usize, request: Request) -> Answer {
        match request {
            Request::Start => self.start(),
            Request::Stop { signal, grace_ms } => match signal::parse(&signal) {
                Ok(signal) => {
                    self.stop(signal, Duration::from_millis(grace_ms));
                    Answer::State(self.state.clone())
                }
                Err(reason) => Answer::Refused { reason },
            },
            Request::Subscribe => {
                if let Some(connection) = self.connections.get_mut(index) {
                    connection.is_subscribed = true;
                }
                Answer::State(self.state.clone())
            }
            Request::Status => Answer::State(self.state.clone()),
            Request::Quit => {
                self.is_quitting = true;
                self.stop(Signal::SIGKILL, Duration::ZERO);
                Answer::Done
            }
            Request::Exec { .. } => Answer::Refused { reason: "exec is answered elsewhere".into() },
        }
    }

    fn start(&mut self) -> Answer {
        if self.process.is_some() {
            return Answer::State(self.state.clone());
        }
        if self.state.started_ms != 0 || self.state.exited_ms != 0 {
            self.state.restarts += 1;
        }
        self.log.forget_last_lines();
        match process::start(&self.unit) {
            Ok(process) => {
                self.state.phase = Phase::Running { pid: process.pid };
                self.state.started_ms = now_ms();
                self.process = Some(process);
                self.publish();
                Answer::State(self.state.clone())
            }
            Err(reason) => {
                self.state.phase = Phase::Failed { reason: reason.clone() };
                self.state.exited_ms = now_ms();
                self.publish();
                Answer::Refused { reason }
            }
        }
    }

    /// Signal now, SIGKILL for everything when the time is over. Nothing running: nothing to do.
    fn stop(&mut self, signal: Signal, grace: Duration) {
        let Some(process) = &self.process else { return };
        let deadline = Instant::now() + grace;
        self.kill_at = Some(self.kill_at.map_or(deadline, |at| at.min(deadline)));
        // Process 1 passes it on to the workload.
        let _ = kill(process.init, signal);
        let pid = process.pid;
        if self.state.phase != (Phase::Stopping { pid }) {
            self.state.phase = Phase::Stopping { pid };
            self.publish();
        }
    }

    fn kill_when_due(&mut self) {
        let is_due = self.kill_at.is_some_and(|at| at <= Instant::now());
        if is_due && let Some(process) = &self.process {
            let _ = kill(process.init, Signal::SIGKILL);
            // The kernel may need a moment for large units; asked again until they are gone.
            self.kill_at = Some(Instant::now() + Duration::from_secs(1));
        }
    }

    fn exec(&mut self, index: usize, argv: &[String], terminal: Option<(u16, u16)>, kill_on_close: bool) {
        let session = match &self.process {
            Some(process) => exec::start(&self.unit, process, argv, terminal, kill_on_close),
            None => Err(format!("{} is not running", self.unit.spec.name)),
        };
        let Some(connection) = self.connections.get_mut(index) else { return };
        match session {
            Ok(session) => {
                connection.exec = Some(session.pid);
                connection.send_with(&Answer::Exec, &session.descriptors);
            }
            Err(reason) => drop(connection.send(&Answer::Refused { reason })),
        }
    }

    /// The new state: to disk, then to everyone who subscribed.
    fn publish(&mut self) {
        self.state.sequence += 1;
        let path = self.unit.state_file();
        let temporary = path.with_extension("json.new");
        if let Ok(bytes) = serde_json::to_vec(&self.state)
            && std::fs::write(&temporary, bytes).is_ok()
        {
            let _ = std::fs::rename(&temporary, &path);
        }
        let answer = Answer::State(self.state.clone());
        for connection in self.connections.iter_mut().filter(|c| c.is_subscribed && !c.is_closed) {
            connection.is_closed = !connection.send(&answer);
        }
    }
}

#[derive(Default)]
struct Ready {
    signals: bool,
    listener: bool,
    connections: Vec<usize>,
}

/// A unit that is held again after its holder was killed goes on counting.
fn restarts_before(unit: &Unit) -> u32 {
    let bytes = std::fs::read(unit.state_file()).unwrap_or_default();
    serde_json::from_slice::<State>(&bytes).map_or(0, |s| s.restarts + u32::from(s.started_ms != 0))
}

/// A pipe of the process, read without waiting.
pub(super) fn readable(source: Source, pipe: OwnedFd) -> io::Result<(Source, File)> {
    let flags = OFlag::from_bits_retain(fcntl(&pipe, FcntlArg::F_GETFL)?);
    fcntl(&pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok((source, File::from(pipe)))
}
