//! New connections at a rate, each with one question and its answer.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Crew, Tally, repeat};
use crate::lookup::look_up;

/// For opening, and again for the answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// One that waits for an answer must not keep the others from being tried.
const WORKERS: usize = 4;

/// Whom to connect to.
#[derive(Clone, Debug)]
pub enum Target {
    At(SocketAddr),
    /// Looked up before each connection; the first address of the answer is taken.
    Named(String, u16),
}

impl Target {
    /// `10.43.0.1:7000` is an address, `web.app:7000` a name.
    pub fn of(text: &str) -> Target {
        match (text.parse(), text.rsplit_once(':')) {
            (Ok(at), _) => Target::At(at),
            (Err(_), Some((name, port))) => Target::Named(name.to_owned(), port.parse().unwrap_or_default()),
            (Err(_), None) => Target::Named(text.to_owned(), 0),
        }
    }
}

/// New connections from one namespace to one target, until stopped.
pub struct Connects {
    what: String,
    crew: Crew<Tally>,
}

impl Connects {
    pub fn start(what: &str, namespace: &str, to: &str, per_second: u32) -> Result<Connects> {
        let target = Target::of(to);
        let pause = Duration::from_secs(WORKERS as u64) / per_second.max(1);
        let crew = Crew::start(namespace, WORKERS, move |is_over, index| {
            let mut tally = Tally::new("");
            std::thread::sleep(pause / WORKERS as u32 * index as u32);
            repeat(is_over, pause, || {
                let at = Instant::now();
                tally.count(at, ask(&target).map(drop));
            });
            tally
        })?;
        Ok(Connects { what: format!("new connections {what}"), crew })
    }

    pub fn stop(self) -> Tally {
        Tally::sum(&self.what, self.crew.end())
    }
}

/// Connects, asks, and returns who answered as whom we were seen: `NAME CLIENT`.
fn ask(target: &Target) -> Result<String, String> {
    let to = match target {
        Target::At(to) => *to,
        Target::Named(name, port) => SocketAddr::from((first_address(name)?, *port)),
    };
    ask_line(to).map_err(|error| format!("{to}: {error}"))
}

fn first_address(name: &str) -> Result<std::net::Ipv4Addr, String> {
    let reply = look_up(name).map_err(|error| format!("looking {name} up: {error}"))?;
    reply.addresses.first().copied().ok_or_else(|| format!("{name} has no address: {reply:?}"))
}

/// The same for one address, from the namespace this thread is in.
pub fn ask_line(to: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, ANSWER_LIMIT)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.write_all(b"\n")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer.ends_with('\n') {
        Ok(answer.trim_end().to_owned())
    } else {
        Err(std::io::Error::other(format!("closed after {answer:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_dialled_and_names_looked_up() {
        assert!(matches!(Target::of("10.43.0.1:7000"), Target::At(_)));
        let Target::Named(name, port) = Target::of("web.app:7000") else { panic!("a name") };
        assert_eq!((name.as_str(), port), ("web.app", 7000));
    }
}
