//! Asks the container's own resolver, without the C library, which would sort what the server shuffled.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(2);
const HEADER_LEN_BYTES: usize = 12;
const ANSWER_LIMIT: usize = 1500;
const TYPE_A: u16 = 1;

/// Prints `rate N` (look-ups per second), then `first ADDRESS COUNT` lines.
pub fn run(name: &str, count: &str) -> Result<()> {
    let count: u16 = count.parse().map_err(|_| invalid(format!("{count} is no number below 65536")))?;
    let server = resolver()?;
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((server.as_str(), 53))?;
    let mut firsts = BTreeMap::<Ipv4Addr, u32>::new();
    let started = Instant::now();
    for id in 0..count {
        socket.send(&question(id, name))?;
        let mut buffer = [0; ANSWER_LIMIT];
        let len = socket.recv(&mut buffer)?;
        let addresses =
            addresses(&buffer[..len]).ok_or_else(|| invalid(format!("{server} answered no list for {name}")))?;
        let first = addresses.first().ok_or_else(|| invalid(format!("{name} has no address (asked {server})")))?;
        *firsts.entry(*first).or_default() += 1;
    }
    println!("rate {:.0}", f64::from(count) / started.elapsed().as_secs_f64());
    firsts.iter().for_each(|(address, times)| println!("first {address} {times}"));
    Ok(())
}

fn invalid(words: String) -> Error {
    Error::new(ErrorKind::InvalidData, words)
}

fn resolver() -> Result<String> {
    let text = std::fs::read_to_string("/etc/resolv.conf")?;
    let found = text.lines().find_map(|line| line.strip_prefix("nameserver "));
    Ok(found.ok_or_else(|| invalid("/etc/resolv.conf names no server".into()))?.trim().to_owned())
}

/// A recursive query for the A records of `name` (RFC 1035, 4.1).
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.push(0);
    message.extend(TYPE_A.to_be_bytes());
    message.extend([0, 1]);
    message
}

/// The A records of an answer, in its order; `None` for anything malformed.
fn addresses(message: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let count = u16_at(message, 6)?;
    let mut at = skip_name(message, HEADER_LEN_BYTES)? + 4;
    let mut found = Vec::new();
    for _ in 0..count {
        at = skip_name(message, at)?;
        let (kind, len) = (u16_at(message, at)?, u16_at(message, at + 8)? as usize);
        let data = message.get(at + 10..at + 10 + len)?;
        if kind == TYPE_A {
            found.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?));
        }
        at += 10 + len;
    }
    Some(found)
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

fn skip_name(message: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *message.get(at)? {
            0 => return Some(at + 1),
            len if len >= 0xc0 => return Some(at + 2),
            len => at += 1 + usize::from(len),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_in_the_servers_order() {
        let mut answer = question(7, "web.shop");
        answer[7] = 2;
        for last in [9, 3] {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 42, 0, last]);
        }
        assert_eq!(addresses(&answer), Some(vec![Ipv4Addr::new(10, 42, 0, 9), Ipv4Addr::new(10, 42, 0, 3)]));
    }

    #[test]
    fn a_cut_answer_is_refused() {
        let mut answer = question(7, "web");
        answer[7] = 1;
        assert_eq!(addresses(&answer), None);
    }
}
