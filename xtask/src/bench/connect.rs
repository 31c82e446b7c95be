//! Connections per second: connect, close with a reset (no TIME_WAIT), again; client and server on one CPU.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use remuda_lab::netns;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// A connection that takes longer is an error, not a sample.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Linux's own limit (net.core.somaxconn).
const BACKLOG: libc::c_int = 4096;

/// One round's result.
pub struct Rate {
    pub per_second: f64,
    /// Median time of one connect with one byte each way, microseconds.
    pub round_trip_us: f64,
}

/// Accepts in the namespace at `netns` for the rest of this process's life: answers one byte with one byte.
pub fn serve(netns: &str, at: SocketAddr) -> Result<()> {
    netns::inside(netns, || {
        // The thread started here stays in the namespace and on this CPU.
        pin()?;
        let listener = TcpListener::bind(at).with_context(|| format!("listening on {at}"))?;
        widen(&listener)?;
        std::thread::spawn(move || answer(&listener));
        Ok(())
    })?
}

fn answer(listener: &TcpListener) {
    for mut stream in listener.incoming().flatten() {
        let mut byte = [0];
        if stream.read(&mut byte).is_ok_and(|n| n == 1) {
            let _ = stream.write_all(&byte);
        }
    }
}

/// On one CPU the server sleeps while the client connects: its queue must hold what comes in a time slice.
fn widen(listener: &TcpListener) -> Result<()> {
    // SAFETY: a living, listening descriptor; listen again only changes the backlog.
    if unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) } != 0 {
        return Err(std::io::Error::last_os_error()).context("widening the accept queue");
    }
    Ok(())
}

/// Connects from `netns` to `to` for `how_long`, half of it bare, half with one byte each way.
pub fn measure(netns: &str, to: SocketAddr, how_long: Duration) -> Result<Rate> {
    netns::inside(netns, move || {
        pin()?;
        let begin = Instant::now();
        let mut count = 0u32;
        while begin.elapsed() < how_long / 2 {
            close(TcpStream::connect_timeout(&to, CONNECT_LIMIT).with_context(|| format!("connecting to {to}"))?);
            count += 1;
        }
        let per_second = f64::from(count) / begin.elapsed().as_secs_f64();
        Ok(Rate { per_second, round_trip_us: round_trips(to, how_long / 2)? })
    })?
}

fn round_trips(to: SocketAddr, how_long: Duration) -> Result<f64> {
    let begin = Instant::now();
    let mut samples = Vec::new();
    while begin.elapsed() < how_long {
        let start = Instant::now();
        let mut stream = TcpStream::connect_timeout(&to, CONNECT_LIMIT)?;
        stream.write_all(&[1])?;
        stream.read_exact(&mut [0])?;
        samples.push(start.elapsed().as_secs_f64() * 1e6);
        close(stream);
    }
    Ok(super::report::median(&samples))
}

fn close(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: a living descriptor, an option struct of the size passed.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            std::ptr::from_ref(&linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        );
    }
}

fn pin() -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &cpus).context("pinning to one CPU")
}
