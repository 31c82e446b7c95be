//! Tells the supervisor that started the server that it lives: sd_notify(3), a datagram of text to the socket it named.
//!
//! Fed by the loop that judges hosts, as long as its changes get written. The agent has the same few lines: the two
//! share no crate that may open a socket.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// The loop turns ten times a second; a supervisor wants to hear of it a few times a minute.
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

    /// The port answers.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// The loop turns.
    pub fn alive(&mut self, now: Instant) {
        if self.said.is_none_or(|said| now.saturating_duration_since(said) >= GAP_MIN) {
            self.said = Some(now);
            self.say("WATCHDOG=1");
        }
    }

    fn say(&self, words: &str) {
        let Some((socket, address)) = &self.supervisor else { return };
        if let Err(error) = socket.send_to_addr(words.as_bytes(), address) {
            tracing::debug!("tell the supervisor: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_hears_that_the_port_answers_and_once_a_second_that_the_loop_turns() {
        let name = format!("remuda-watchdog-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let supervisor = UnixDatagram::bind_addr(&address).expect("bound");
        supervisor.set_nonblocking(true).expect("set");
        let heard = || {
            let mut bytes = [0; 64];
            supervisor.recv(&mut bytes).ok().map(|len| String::from_utf8_lossy(&bytes[..len]).into_owned())
        };
        let mut watchdog = Watchdog::at(&format!("@{name}")).expect("a name");
        watchdog.ready();
        assert_eq!(heard().as_deref(), Some("READY=1"));
        let begin = Instant::now();
        for tenths in 0..=10 {
            watchdog.alive(begin + Duration::from_millis(100) * tenths);
        }
        assert_eq!([heard(), heard(), heard()], [Some("WATCHDOG=1".into()), Some("WATCHDOG=1".into()), None]);
    }
}
