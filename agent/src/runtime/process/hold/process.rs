//! Starting a unit's process: in namespaces of its own, with its files, limits, user and environment.

use std::ffi::CString;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{ForkResult, Pid, chdir, execve, fork, sethostname, setsid};

use super::limits::Limits;
use super::log::Source;
use super::serve::readable;
use super::user::Identity;
use super::{Unit, files, init, words};

/// Where programs are looked for unless the unit's own PATH says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A running process, as seen from the holder.
pub(super) struct Process {
    /// Process 1 of the unit's namespace.
    pub(super) init: Pid,
    /// The workload's process id on the host.
    pub(super) pid: u32,
    pub(super) limits: Limits,
    /// Its streams, until they end.
    pub(super) output: [Option<(Source, File)>; 2],
}

/// What to run, resolved and checked before anything is forked.
pub(super) struct Program {
    path: CString,
    argv: Vec<CString>,
    environment: Vec<CString>,
    working_dir: PathBuf,
    identity: Identity,
}

impl Program {
    /// `argv` in the unit's environment, as its user. Errors in words: what is missing, and where it was looked for.
    pub(super) fn of(unit: &Unit, argv: &[String], terminal: bool) -> Result<Program, String> {
        let spec = &unit.spec;
        let name = argv.first().filter(|n| !n.is_empty()).ok_or("no command: runtime process needs `command:`")?;
        let identity = Identity::find(&spec.user)?;
        let mut environment = vec![
            ("PATH".to_string(), PATH.to_string()),
            ("HOME".into(), identity.home.clone()),
            ("HOSTNAME".into(), spec.hostname.clone()),
        ];
        if terminal {
            environment.push(("TERM".into(), "xterm".into()));
        }
        for entry in &spec.environment {
            let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
            environment.retain(|(k, _)| k != key);
            environment.push((key.to_string(), value.to_string()));
        }
        let search = environment.iter().find(|(k, _)| k == "PATH").map_or(PATH, |(_, v)| v.as_str());
        let path = resolve(name, search, &working_dir(spec))?;
        let environment = environment.iter().map(|(k, v)| c_string(&format!("{k}={v}"))).collect::<Result<_, _>>()?;
        Ok(Program {
            path: CString::new(path.as_os_str().as_bytes()).map_err(|_| "the command contains a zero byte")?,
            argv: argv.iter().map(|a| c_string(a)).collect::<Result<_, _>>()?,
            environment,
            working_dir: working_dir(spec),
            identity,
        })
    }

    /// Becomes the program. Returns only the reason why it could not.
    pub(super) fn exec(&self) -> String {
        let shown = self.path.to_string_lossy().into_owned();
        if let Err(e) = default_signals() {
            return words("reset signals", e.into());
        }
        if let Err(e) = self.identity.assume() {
            return words("change user", e);
        }
        if let Err(e) = chdir(&self.working_dir) {
            return words(format!("enter {}", self.working_dir.display()), e.into());
        }
        match execve(&self.path, &self.argv, &self.environment) {
            Ok(never) => match never {},
            Err(e) => words(format!("exec {shown}"), e.into()),
        }
    }
}

fn working_dir(spec: &crate::action::UnitSpec) -> PathBuf {
    if spec.working_dir.is_empty() { "/".into() } else { spec.working_dir.clone().into() }
}

fn c_string(text: &str) -> Result<CString, String> {
    CString::new(text).map_err(|_| format!("{text:?} contains a zero byte"))
}

/// The file a command names: itself if it contains a slash, else the first in the search path.
fn resolve(name: &str, search: &str, working_dir: &Path) -> Result<PathBuf, String> {
    if name.contains('/') {
        return Ok(working_dir.join(name));
    }
    let candidates = search.split(':').filter(|d| !d.is_empty()).map(|dir| Path::new(dir).join(name));
    candidates
        .into_iter()
        .find(|p| nix::unistd::access(p, nix::unistd::AccessFlags::X_OK).is_ok() && p.is_file())
        .ok_or_else(|| format!("exec {name}: no such file in PATH ({search})"))
}

fn default_signals() -> nix::Result<()> {
    for number in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action runs no code of ours.
        unsafe { signal(number, SigHandler::SigDfl) }?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)
}

/// Starts the unit's process and waits until it runs its program, or says why it does not.
pub(super) fn start(unit: &Unit) -> Result<Process, String> {
    let program = Program::of(unit, &unit.spec.argv(), false)?;
    files::write(unit)?;
    let limits = Limits::make(unit)?;
    let pipe = || std::io::pipe().map_err(|e| words("make a pipe", e));
    let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
    let ((go, mut permit), (mut failure, report)) = (pipe()?, pipe()?);
    let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWUTS;
    match clone(flags).map_err(|e| words("clone", e))? {
        ForkResult::Child => {
            drop((stdout, stderr, permit, failure));
            std::process::exit(first_process(unit, &program, go, [out, err], report))
        }
        ForkResult::Parent { child } => {
            drop((out, err, go, report));
            let pid = u32::try_from(child.as_raw()).unwrap_or_default();
            let admitted = limits.admit(pid);
            if admitted.is_ok() {
                let _ = permit.write_all(b"g");
            }
            drop(permit);
            let mut reason = String::new();
            let _ = failure.read_to_string(&mut reason);
            admitted?;
            if !reason.is_empty() {
                return Err(reason);
            }
            let stdout = readable(Source::Stdout, stdout.into()).map_err(|e| words("read stdout", e))?;
            let stderr = readable(Source::Stderr, stderr.into()).map_err(|e| words("read stderr", e))?;
            Ok(Process { init: child, pid: workload_of(pid), limits, output: [Some(stdout), Some(stderr)] })
        }
    }
}

/// fork(2) with namespaces. The calling process must have one thread.
fn clone(flags: libc::c_int) -> std::io::Result<ForkResult> {
    // SAFETY: without CLONE_VM this is a fork; one thread means no lock is held by another.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags | libc::SIGCHLD, 0, 0, 0, 0) };
    match pid {
        -1 => Err(std::io::Error::last_os_error()),
        0 => Ok(ForkResult::Child),
        pid => Ok(ForkResult::Parent { child: Pid::from_raw(pid as i32) }),
    }
}

/// The life of process 1. `report` takes the reason of a failed start; the exec of the workload closes it.
fn first_process(
    unit: &Unit,
    program: &Program,
    mut go: PipeReader,
    output: [PipeWriter; 2],
    mut report: PipeWriter,
) -> i32 {
    // A holder that is killed takes its unit with it.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    let mut byte = [0];
    if go.read(&mut byte).unwrap_or(0) == 0 {
        return 1;
    }
    drop(go);
    // The agent's protection from the kernel's memory killer is its own.
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    // Blocked, not ignored: they wait for init::wait_for.
    let blocked = sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None);
    let ready = blocked
        .map_err(|e| words("block signals", e.into()))
        .and_then(|()| files::mount_over(unit))
        .and_then(|()| sethostname(&unit.spec.hostname).map_err(|e| words("set the host name", e.into())));
    if let Err(reason) = ready {
        let _ = report.write_all(reason.as_bytes());
        return 1;
    }
    // SAFETY: one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {
            let _ = setsid();
            let reason = match connect_output(&output) {
                Ok(()) => program.exec(),
                Err(e) => words("connect the output", e),
            };
            let _ = report.write_all(reason.as_bytes());
            127
        }
        Ok(ForkResult::Parent { child }) => {
            drop((output, report));
            close_streams();
            init::wait_for(child, init::Hangup::IsPassedOn)
        }
        Err(e) => {
            let _ = report.write_all(words("fork", e.into()).as_bytes());
            1
        }
    }
}

fn connect_output(output: &[PipeWriter; 2]) -> std::io::Result<()> {
    let null = File::open("/dev/null")?;
    let [stdout, stderr] = output;
    connect([null.as_fd(), stdout.as_fd(), stderr.as_fd()])
}

/// Makes these the standard streams; what they were opened as closes on exec.
pub(super) fn connect(streams: [std::os::fd::BorrowedFd<'_>; 3]) -> std::io::Result<()> {
    for (number, stream) in streams.into_iter().enumerate() {
        // SAFETY: both are open descriptors, and the standard streams are ours to replace.
        if unsafe { libc::dup2(stream.as_raw_fd(), number as i32) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Process 1 must hold no descriptor of the holder's: a socket kept open here would look alive to the agent.
pub(super) fn close_streams() {
    // SAFETY: this process uses no descriptor from here on; the range is clamped by the kernel.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
}

/// The workload is process 1's first child; process 1 stands for it where the kernel does not list children.
fn workload_of(init: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).unwrap_or_default();
    children.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(init)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_in_the_path_or_refused_with_the_path() {
        assert!(resolve("sh", PATH, Path::new("/")).is_ok());
        let reason = resolve("surely-not-there", "/usr/bin:/bin", Path::new("/")).unwrap_err();
        assert_eq!(reason, "exec surely-not-there: no such file in PATH (/usr/bin:/bin)");
    }

    #[test]
    fn a_relative_command_starts_at_the_working_directory() {
        assert_eq!(resolve("./run", PATH, Path::new("/srv")), Ok(PathBuf::from("/srv/./run")));
    }
}
