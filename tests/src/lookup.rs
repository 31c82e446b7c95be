//! One question to the resolver of a container, over a real socket, without the C library's caches and retries.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Where every container finds its host's name server.
pub const RESOLVER: &str = "169.254.169.250:53";
/// A resolver asks again after this; whoever needs that has not been answered.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Thirty addresses do not fit the 512 bytes of a client without EDNS.
const ANSWER_BYTES_MAX: usize = 1232;
const HEADER_BYTES: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_SOA: u16 = 6;

/// What the name server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// 0 NOERROR, 2 SERVFAIL, 3 NXDOMAIN, … (RFC 1035, 4.1.1).
    pub rcode: u8,
    /// Of the A records, in the order sent.
    pub addresses: Vec<Ipv4Addr>,
    /// The authority section has an SOA record: a negative answer that may be kept.
    pub has_soa: bool,
}

/// Asks for the A records of `name` from the namespace this thread is in.
pub fn look_up(name: &str) -> io::Result<Reply> {
    look_up_within(name, ANSWER_LIMIT)
}

/// The same with less patience: for seeing when a server that is away comes back.
pub fn look_up_within(name: &str, limit: Duration) -> io::Result<Reply> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(limit))?;
    let to: SocketAddr = RESOLVER.parse().map_err(|_| invalid("the resolver's address"))?;
    socket.connect(to)?;
    let id = u16::from_be_bytes(socket.local_addr()?.port().to_be_bytes());
    socket.send(&question(id, name))?;
    let mut buffer = [0; ANSWER_BYTES_MAX];
    let len = socket.recv(&mut buffer)?;
    read(&buffer[..len], id).ok_or_else(|| invalid("an answer that is none"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// A recursive query with an OPT record that takes large answers (RFC 6891, 6.1.2).
fn question(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        message.push(label.len() as u8);
        message.extend(label.bytes());
    }
    message.extend([0, 0, TYPE_A as u8, 0, 1]);
    message.extend([0, 0, 41]);
    message.extend((ANSWER_BYTES_MAX as u16).to_be_bytes());
    message.extend([0; 6]);
    message
}

/// `None` for anything malformed, cut short or meant for another question.
fn read(message: &[u8], id: u16) -> Option<Reply> {
    let is_cut = message.get(2)? & 2 != 0;
    if u16_at(message, 0)? != id || is_cut {
        return None;
    }
    let mut reply = Reply { rcode: message.get(3)? & 15, ..Reply::default() };
    let (answers, authorities) = (u16_at(message, 6)?, u16_at(message, 8)?);
    let mut at = skip_name(message, HEADER_BYTES)? + 4;
    for index in 0..answers + authorities {
        at = skip_name(message, at)?;
        let (kind, len) = (u16_at(message, at)?, u16_at(message, at + 8)? as usize);
        let data = message.get(at + 10..at + 10 + len)?;
        if kind == TYPE_A && index < answers {
            reply.addresses.push(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?));
        }
        reply.has_soa |= kind == TYPE_SOA && index >= answers;
        at += 10 + len;
    }
    Some(reply)
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
    fn addresses_and_the_end_of_a_negative_answer_are_read() {
        let mut answer = question(7, "web.shop");
        answer.truncate(answer.len() - 11);
        answer[3] = 3;
        (answer[7], answer[9]) = (1, 1);
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 10, 42, 0, 9]);
        answer.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 1, 0, 0]);
        let reply = read(&answer, 7).unwrap();
        assert_eq!((reply.rcode, reply.has_soa), (3, true));
        assert_eq!(reply.addresses, [Ipv4Addr::new(10, 42, 0, 9)]);
        assert_eq!(read(&answer, 8), None, "an answer to somebody else's question");
    }
}
