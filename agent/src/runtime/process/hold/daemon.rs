//! Becoming independent of the agent: own session, own cgroup, own network namespace.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{ForkResult, fork, setsid};

use super::serve::Server;
use super::{Unit, limits, words};
use crate::runtime::process::protocol::file;

/// Starts the holder in the background and returns when it listens.
pub(super) fn start(spec_file: &Path) -> Result<(), String> {
    let unit = Unit::read(spec_file)?;
    let (mut ready, tell) = std::io::pipe().map_err(|e| words("make a pipe", e))?;
    // SAFETY: `remuda hold` has one thread, so the child may do anything.
    match unsafe { fork() }.map_err(|e| words("fork the holder", e.into()))? {
        ForkResult::Parent { .. } => {
            drop(tell);
            let mut reason = String::new();
            ready.read_to_string(&mut reason).map_err(|e| words("wait for the holder", e))?;
            // The child says "ready" or why not; saying nothing means it died.
            match reason.as_str() {
                "ready" => Ok(()),
                "" => Err(format!("the holder of {} died while starting", unit.spec.name)),
                reason => Err(reason.to_string()),
            }
        }
        ForkResult::Child => {
            drop(ready);
            std::process::exit(background(unit, tell))
        }
    }
}

fn background(unit: Unit, mut tell: std::io::PipeWriter) -> i32 {
    let server = prepare(unit);
    let text = server.as_ref().map_or_else(|reason| reason.as_str(), |_| "ready");
    let told = tell.write_all(text.as_bytes());
    drop(tell);
    match (server, told) {
        (Ok(server), Ok(())) => server.run(),
        _ => 1,
    }
}

fn prepare(unit: Unit) -> Result<Server, String> {
    // What the unit's programs expect, whatever the agent was started with.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    setsid().map_err(|e| words("start a session", e.into()))?;
    detach_streams().map_err(|e| words("detach from the agent's streams", e))?;
    let lock = lock(&unit)?;
    limits::leave_agent_cgroup(&unit.dir);
    if unit.spec.network_mode != "host" {
        unshare(CloneFlags::CLONE_NEWNET).map_err(|e| words("make a network namespace", e.into()))?;
        raise_loopback().map_err(|e| words("bring up the loopback device", e))?;
    }
    Server::open(unit, lock)
}

/// One holder per unit: the lock is held until the last of its processes is gone.
fn lock(unit: &Unit) -> Result<Flock<File>, String> {
    let path = unit.path(file::LOCK);
    let lock = File::create(&path).map_err(|e| words(format!("create {}", path.display()), e))?;
    Flock::lock(lock, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, _)| format!("unit {} already has a holder", unit.spec.name))
}

fn detach_streams() -> std::io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for stream in 0..=2 {
        // SAFETY: both descriptors are open; the standard streams are ours to replace.
        if unsafe { libc::dup2(null.as_raw_fd(), stream) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    std::env::set_current_dir("/")
}

/// Flags of `lo`, by the one ioctl that needs no address and no netlink.
fn raise_loopback() -> std::io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    // SAFETY: all-zero is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the socket is open and the request is a whole ifreq that lives through the call.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if code < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}
