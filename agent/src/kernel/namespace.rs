//! Doing one thing inside another network namespace, without moving any thread that serves others.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

/// Runs `work` on a thread of its own inside the namespace at `netns`, and waits for it.
///
/// Sockets opened by `work` stay in that namespace wherever they are used later; `/proc/sys/net` read or
/// written by it is that namespace's.
pub(crate) fn inside<T: Send + 'static>(
    netns: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let namespace = File::open(netns)?;
    let thread = std::thread::Builder::new().name("remuda-netns".into()).spawn(move || {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        work()
    })?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread inside the namespace panicked")))
}

/// The cookie by which socket hooks know the calling thread's network namespace.
pub(crate) fn netns_cookie() -> io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    let mut cookie = 0u64;
    let mut len = size_of::<u64>() as libc::socklen_t;
    // SAFETY: the pointers are to locals of the sizes given; the socket is open.
    let code = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, (&raw mut cookie).cast(), &raw mut len)
    };
    if code == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}
