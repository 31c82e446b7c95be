//! Waiting for descriptors without a thread.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// A descriptor the reactor watches. Reads and writes on it must not wait: open it non-blocking.
pub(super) fn watched(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, is always the same number, and closes only when the AsyncFd drops it.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}
