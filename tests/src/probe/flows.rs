//! Connections that stay open for a whole fault, with a line there and back every 50 ms.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use remuda_lab::netns;

use super::{Crew, Tally, repeat};

/// Between two lines.
const PAUSE: Duration = Duration::from_millis(50);
/// A connection that echoes nothing for this long is broken for whoever uses it.
const ECHO_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: usize = 256;

/// Open connections from one namespace to one address.
pub struct Flows {
    what: String,
    crew: Crew<Tally>,
}

impl Flows {
    /// Opens `count` connections; errors if one cannot be opened, since then there is nothing to watch.
    pub fn open(what: &str, namespace: &str, to: SocketAddr, count: usize) -> Result<Flows> {
        let open = || (0..count).map(|_| connect(to)).collect::<std::io::Result<Vec<_>>>();
        let streams = netns::inside(namespace, open)?.with_context(|| format!("{what}: connecting to {to}"))?;
        let streams = std::sync::Arc::new(streams);
        let crew = Crew::start(namespace, count, move |is_over, index| watch(&streams[index], is_over))?;
        Ok(Flows { what: format!("open connections {what}"), crew })
    }

    /// One try per connection: failed = it broke.
    pub fn stop(self) -> Tally {
        Tally::sum(&self.what, self.crew.end())
    }
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, ECHO_LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ECHO_LIMIT))?;
    Ok(stream)
}

fn watch(stream: &TcpStream, is_over: &AtomicBool) -> Tally {
    let mut broken = None;
    let mut echoes = 0;
    repeat(is_over, PAUSE, || {
        if broken.is_none() {
            let at = Instant::now();
            match echo(stream) {
                Ok(()) => echoes += 1,
                Err(error) => broken = Some((at, format!("broke after {echoes} echoes: {error}"))),
            }
        }
    });
    let mut tally = Tally::new("");
    match broken {
        Some((at, why)) => tally.count(at, Err(why)),
        None => tally.count(Instant::now(), Ok(())),
    }
    tally
}

fn echo(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.write_all(b"\n")?;
    let mut answer = [0; ANSWER_BYTES_MAX];
    match stream.read(&mut answer)? {
        0 => Err(std::io::Error::other("closed by the other side")),
        _ => Ok(()),
    }
}
