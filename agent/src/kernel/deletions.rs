//! Devices that somebody deletes: the kernel tells, so that what is missing is mended at once.

use std::io;

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use tokio::io::unix::AsyncFd;

use super::sockets::messages;

/// RTMGRP_LINK of rtnetlink(7).
const LINK_GROUP: u32 = 1;
const RTM_DELLINK: u16 = 17;

/// Hears of every device that vanishes from the network namespace it was opened in.
pub struct Deletions {
    socket: AsyncFd<Socket>,
}

impl Deletions {
    /// Opens in the calling thread's namespace.
    pub fn open() -> io::Result<Deletions> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind(&SocketAddr::new(0, LINK_GROUP))?;
        socket.set_non_blocking(true)?;
        // SAFETY: the socket is open, is always the same descriptor, and closes only when the AsyncFd drops it.
        let socket = unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)?;
        Ok(Deletions { socket })
    }

    /// Returns when a device has vanished since the last call, or may have.
    pub async fn next(&self) -> io::Result<()> {
        loop {
            let mut ready = self.socket.readable().await?;
            match self.socket.get_ref().recv_from_full() {
                Ok((bytes, _)) if messages(&bytes).any(|(kind, _)| kind == RTM_DELLINK) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                // So many at once that some were lost.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }
}
