//! Datagrams at a rate, each of which is to be echoed.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Crew, Tally, repeat};

/// 50 a second, as a game or a call would.
const PAUSE: Duration = Duration::from_millis(20);
/// One that comes later is lost to a call.
const ECHO_LIMIT: Duration = Duration::from_millis(500);
const DATAGRAM_BYTES_MAX: usize = 256;

/// Datagrams from one namespace to one address, until stopped.
pub struct Datagrams {
    what: String,
    crew: Crew<Tally>,
}

impl Datagrams {
    pub fn start(what: &str, namespace: &str, to: SocketAddr) -> Result<Datagrams> {
        let crew = Crew::start(namespace, 1, move |is_over, _| send(to, is_over))?;
        Ok(Datagrams { what: format!("datagrams {what}"), crew })
    }

    pub fn stop(self) -> Tally {
        Tally::sum(&self.what, self.crew.end())
    }
}

fn send(to: SocketAddr, is_over: &AtomicBool) -> Tally {
    let mut tally = Tally::new("");
    let socket = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.set_read_timeout(Some(ECHO_LIMIT))?;
        Ok(socket)
    });
    match socket {
        Ok(socket) => repeat(is_over, PAUSE, || {
            let at = Instant::now();
            tally.count(at, echo(&socket, to).map_err(|error| format!("{to}: {error}")));
        }),
        Err(error) => tally.count(Instant::now(), Err(format!("no socket: {error}"))),
    }
    tally
}

/// Unconnected, so that a backend that left is replaced at the next datagram.
fn echo(socket: &UdpSocket, to: SocketAddr) -> std::io::Result<()> {
    socket.send_to(b"\n", to)?;
    let mut answer = [0; DATAGRAM_BYTES_MAX];
    let (len, from) = socket.recv_from(&mut answer)?;
    match from == to && len > 1 {
        true => Ok(()),
        false => Err(std::io::Error::other(format!("{len} bytes came from {from}"))),
    }
}
