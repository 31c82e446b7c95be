//! Many connections, one request each: who answered, how often, how fast, and as whom we were seen.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

/// Prints `rate N` (connections per second), then `seen ADDRESS COUNT` and `backend NAME COUNT` lines.
///
/// The front answers `/whoami` with its name and the client's address.
pub fn run(to: &str, count: &str) -> Result<()> {
    let count: u32 = count.parse().map_err(|_| Error::new(ErrorKind::InvalidInput, format!("{count} is no number")))?;
    let (mut backends, mut seen) = (BTreeMap::<String, u32>::new(), BTreeMap::<String, u32>::new());
    let started = Instant::now();
    for _ in 0..count {
        let (backend, client) = ask(to)?;
        *backends.entry(backend).or_default() += 1;
        *seen.entry(client).or_default() += 1;
    }
    println!("rate {:.0}", f64::from(count) / started.elapsed().as_secs_f64());
    seen.iter().for_each(|(client, times)| println!("seen {client} {times}"));
    backends.iter().for_each(|(backend, times)| println!("backend {backend} {times}"));
    Ok(())
}

fn ask(to: &str) -> Result<(String, String)> {
    let address = to.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{to} has no address")))?;
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.write_all(b"GET /whoami HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let words: Vec<&str> = answer.rsplit("\r\n\r\n").next().unwrap_or_default().split_whitespace().collect();
    match words[..] {
        [backend, client] if answer.starts_with("HTTP/1.1 200") => Ok((backend.to_owned(), client.to_owned())),
        _ => Err(Error::new(ErrorKind::InvalidData, format!("{to} answered {answer:?}"))),
    }
}
