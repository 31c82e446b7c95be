//! Tells the supervisor that started us that we live: sd_notify(3), a datagram of text to the socket it named.
//!
//! Fed by the one loop, so that a loop that hangs is ended and started again; its containers do not notice. The server
//! has the same few lines: the two share no crate that may open a socket.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// A supervisor wants to hear of us at least twice in its interval, whose length is its own; a loop that turns faster
/// than this says no more for it.
const GAP_MIN: Duration = Duration::from_secs(1);

/// Silent where nobody wants to hear.
#[derive(Debug, Default)]
pub struct Watchdog {
    supervisor: Option<(UnixDatagram, SocketAddr)>,
    said: Option<Instant>,
}

impl Watchdog {
    /// As NOTIFY_SOCKET says; a socket that cannot be used is logged and nothing more.
    pub fn of_environment() -> Self {
        let Some(name) = std::env::var("NOTIFY_SOCKET").ok().filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        Self::at(&name).unwrap_or_else(|error| {
            tracing::warn!("the supervisor's socket {name}: {error}; it will not hear of us");
            Self::default()
        })
    }

    /// `name` is a path, or an abstract name after `@`.
    fn at(name: &str) -> std::io::Result<Self> {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        // A supervisor that does not read must not hold us up.
        socket.set_nonblocking(true)?;
        Ok(Self { supervisor: Some((socket, address)), said: None })
    }

    /// The loop turns. The first time it also says that we are ready.
    pub fn alive(&mut self, now: Instant) {
        let Some((socket, address)) = &self.supervisor else { return };
        let words = match self.said {
            None => "READY=1\nWATCHDOG=1",
            Some(said) if now.saturating_duration_since(said) < GAP_MIN => return,
            Some(_) => "WATCHDOG=1",
        };
        self.said = Some(now);
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::debug!("tell the supervisor: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_hears_that_we_are_ready_once_and_that_we_live_again_and_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let supervisor = UnixDatagram::bind(&path).expect("bound");
        supervisor.set_nonblocking(true).expect("set");
        let heard = || {
            let mut bytes = [0; 64];
            supervisor.recv(&mut bytes).ok().map(|len| String::from_utf8_lossy(&bytes[..len]).into_owned())
        };
        let mut watchdog = Watchdog::at(&path.display().to_string()).expect("a path");
        let begin = Instant::now();
        watchdog.alive(begin);
        assert_eq!(heard().as_deref(), Some("READY=1\nWATCHDOG=1"));
        watchdog.alive(begin + GAP_MIN / 2);
        assert_eq!(heard(), None, "nothing new so soon");
        watchdog.alive(begin + GAP_MIN);
        assert_eq!(heard().as_deref(), Some("WATCHDOG=1"));
        drop(supervisor);
        watchdog.alive(begin + GAP_MIN * 2);
    }

    #[test]
    fn without_a_supervisor_nothing_is_said() {
        Watchdog::default().alive(Instant::now());
        assert!(Watchdog::at("@remuda-abstract").is_ok());
    }
}
