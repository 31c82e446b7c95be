//! Entering network namespaces, and only those: `ip netns exec` would remount /sys and hide bpffs and cgroups.

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Where `ip netns` keeps names.
const NAMES: &str = "/run/netns";

/// The file of a named namespace.
pub fn path(name: &str) -> PathBuf {
    Path::new(NAMES).join(name)
}

/// Named namespaces on this machine.
pub fn names() -> Vec<String> {
    let Ok(entries) = fs::read_dir(NAMES) else { return Vec::new() };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The number that tells network namespaces apart; of a name, or of the process with this id.
pub fn inode(of: &Path) -> Option<u64> {
    fs::metadata(of).ok().map(|file| file.ino())
}

/// Runs `work` on a thread of its own inside the namespace.
///
/// Threads started by `work` stay inside as well; sockets it returns keep belonging to the namespace.
pub fn inside<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> Result<T> {
    let namespace = open(name)?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(&namespace, CloneFlags::CLONE_NEWNET).context("setns")?;
            Ok(work())
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn open(name: &str) -> Result<File> {
    File::open(path(name))
        .with_context(|| format!("no network namespace {name}; is the lab up? (cargo xtask lab status)"))
}

/// A command that will run inside the namespace, with our mounts and cgroups.
pub fn command(name: &str, program: &str) -> Result<Command> {
    let namespace = open(name)?;
    let mut command = Command::new(program);
    // SAFETY: between fork and exec only one system call is made, which is async-signal-safe and touches no memory.
    unsafe {
        command.pre_exec(move || setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(std::io::Error::from));
    }
    Ok(command)
}

/// Runs `argv` inside the namespace to its end and returns what it wrote, whatever its exit code.
pub fn run(name: &str, argv: &[&str]) -> Result<Output> {
    let (program, args) = argv.split_first().context("no command given")?;
    let mut command = command(name, program)?;
    command.args(args).stdin(Stdio::null()).output().with_context(|| format!("cannot start {program} in {name}"))
}

/// Standard output of `argv` inside the namespace; errors if it fails.
pub fn output(name: &str, argv: &[&str]) -> Result<String> {
    let out = run(name, argv)?;
    if !out.status.success() {
        bail!("`{}` in {name}: {} {}", argv.join(" "), out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Starts `argv` inside the namespace in a session of its own, so that it outlives this process; both outputs go to `log`.
pub fn spawn_detached(name: &str, argv: &[String], env: &[(&str, String)], stdin: Stdio, log: &Path) -> Result<Child> {
    let (program, args) = argv.split_first().context("no command given")?;
    let mut command = command(name, program)?;
    command.args(args).envs(env.iter().map(|(key, value)| (*key, value))).stdin(stdin);
    detach(&mut command, log)
}

/// Starts a command in a session of its own; both outputs go to `log`.
pub(crate) fn detach(command: &mut Command, log: &Path) -> Result<Child> {
    let log =
        File::options().create(true).append(true).open(log).with_context(|| format!("opening {}", log.display()))?;
    command.stdout(log.try_clone()?).stderr(log);
    // SAFETY: setsid is async-signal-safe; its only error (already a leader) cannot happen in a fresh child.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(std::io::Error::from));
    }
    command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Makes a named namespace with its loopback up.
pub fn add(name: &str) -> Result<()> {
    ip(&["netns", "add", name])?;
    ip(&["-n", name, "link", "set", "lo", "up"])
}

/// Removes a named namespace; one that is gone is fine.
pub fn delete(name: &str) -> Result<()> {
    if path(name).exists() { ip(&["netns", "delete", name]) } else { Ok(()) }
}

/// `ip ARGS`, in the namespace we are in.
pub fn ip(args: &[&str]) -> Result<()> {
    let out =
        Command::new("ip").args(args).stdin(Stdio::null()).output().context("cannot start `ip` (package iproute2)")?;
    if !out.status.success() {
        bail!("`ip {}`: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(())
}

/// Whether an interface of this name exists in the namespace.
pub fn has_link(name: &str, link: &str) -> bool {
    inside(name, || nix::net::if_::if_nametoindex(link).is_ok()).unwrap_or(false)
}
