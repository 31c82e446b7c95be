//! An [`Answer`] to bytes: header, the question as it was spelt, records that point at it, SOA, OPT.
//!
//! Every owner name we ever write is the question or a suffix of it, so compression is one known pointer.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::answer::{Answer, Record};
use crate::question::{Name, Query};
use crate::view::ZONE;

/// Bytes before the question.
pub const HEADER_BYTES: usize = 12;
/// Largest answer over UDP: fits an IPv6 minimum-MTU packet, so nothing on the way has to fragment it (DNS flag day).
pub const UDP_BYTES_MAX: usize = 1232;
/// Largest answer over UDP to a client without EDNS (RFC 1035, 4.2.1).
pub const UDP_BYTES_PLAIN: usize = 512;
/// A message over TCP has a 16-bit length.
pub const TCP_BYTES_MAX: usize = 65_535;
/// Records say "ask again in a second": an address may leave at any time.
pub const TTL_SECONDS: u32 = 1;

pub const A: u16 = 1;
pub const NS: u16 = 2;
pub const CNAME: u16 = 5;
pub const SOA: u16 = 6;
pub const PTR: u16 = 12;
pub const HINFO: u16 = 13;
pub const AAAA: u16 = 28;
pub const OPT: u16 = 41;
pub const IXFR: u16 = 251;
pub const AXFR: u16 = 252;
pub const ANY: u16 = 255;
pub const CLASS_IN: u16 = 1;

/// Response codes we send ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rcode {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    /// EDNS version not supported (RFC 6891); needs an OPT to be said.
    BadVers = 16,
}

/// `answer` to `query` in at most `limit_bytes`: what does not fit is left out and the truncation bit set, so that the
/// client may use the part or come back over TCP.
pub fn write(query: &Query, answer: &Answer, generation: u64, limit_bytes: usize) -> Vec<u8> {
    let opt = query.edns.map(|edns| opt_record(answer.rcode, edns.dnssec_ok));
    let mut message = Message::begin(query, answer.rcode, answer.is_authoritative);
    message.limit_bytes = limit_bytes.saturating_sub(opt.map_or(0, |opt| opt.len()));
    let sent = answer.records.iter().take_while(|record| message.push(QUESTION_AT, record, generation)).count();
    message.set_count(6, sent);
    let mut is_cut = sent < answer.records.len();
    if let Some(labels) = answer.soa_labels {
        let owner_at = QUESTION_AT + query.name.suffix_at(labels);
        let is_sent = message.push(owner_at, &Record::Soa, generation);
        message.set_count(8, usize::from(is_sent));
        is_cut |= !is_sent;
    }
    if let Some(opt) = opt {
        message.bytes.extend(opt);
        message.set_count(10, 1);
    }
    message.bytes[2] |= u8::from(is_cut) << 1;
    message.bytes
}

/// An answer that holds nothing but the question: failures, and "too big for UDP".
pub fn write_empty(query: &Query, rcode: Rcode, is_truncated: bool) -> Vec<u8> {
    let empty = Answer { rcode, records: Vec::new(), soa_labels: None, is_authoritative: false };
    let mut bytes = write(query, &empty, 0, TCP_BYTES_MAX);
    bytes[2] |= u8::from(is_truncated) << 1;
    bytes
}

/// The answer to what could not be read: its own header with a code, counts zero. `packet` holds a whole header.
pub fn write_refusal(packet: &[u8], rcode: Rcode) -> Vec<u8> {
    let kept = packet[2] & 0b0111_1001; // opcode, recursion desired
    vec![packet[0], packet[1], kept | RESPONSE, rcode as u8 & 0x0f, 0, 0, 0, 0, 0, 0, 0, 0]
}

/// Most that may go back to this client over UDP, in bytes.
pub fn udp_limit_bytes(query: &Query) -> usize {
    query.edns.map_or(UDP_BYTES_PLAIN, |edns| usize::from(edns.payload_bytes).clamp(UDP_BYTES_PLAIN, UDP_BYTES_MAX))
}

/// A query of our own (id 0, recursion desired, no EDNS).
pub fn write_query(name: &str, kind: u16) -> Option<Vec<u8>> {
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend(Name::wire(name)?);
    packet.extend(kind.to_be_bytes());
    packet.extend(CLASS_IN.to_be_bytes());
    Some(packet)
}

const QUESTION_AT: usize = HEADER_BYTES;
const RESPONSE: u8 = 0x80;
const AUTHORITATIVE: u8 = 0x04;
const RECURSION_AVAILABLE: u8 = 0x80;
const CHECKING_DISABLED: u8 = 0x10;

struct Message {
    bytes: Vec<u8>,
    limit_bytes: usize,
}

impl Message {
    fn begin(query: &Query, rcode: Rcode, is_authoritative: bool) -> Message {
        let mut bytes = Vec::with_capacity(UDP_BYTES_PLAIN);
        bytes.extend(query.id.to_be_bytes());
        let authoritative = if is_authoritative { AUTHORITATIVE } else { 0 };
        let checking_disabled = if query.checking_disabled { CHECKING_DISABLED } else { 0 };
        bytes.push(RESPONSE | authoritative | u8::from(query.recursion_desired));
        bytes.push(RECURSION_AVAILABLE | checking_disabled | (rcode as u8 & 0x0f));
        bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend(query.question);
        Message { bytes, limit_bytes: TCP_BYTES_MAX }
    }

    /// Adds a record whose owner is spelt at `owner_at`, if it fits.
    fn push(&mut self, owner_at: usize, record: &Record, generation: u64) -> bool {
        let begin = self.bytes.len();
        let pointer = 0xc000 | owner_at as u16;
        self.bytes.extend(pointer.to_be_bytes());
        self.bytes.extend(kind_of(record).to_be_bytes());
        self.bytes.extend(CLASS_IN.to_be_bytes());
        self.bytes.extend(TTL_SECONDS.to_be_bytes());
        let len_at = self.bytes.len();
        self.bytes.extend([0, 0]);
        write_data(&mut self.bytes, record, generation);
        let data_len_bytes = (self.bytes.len() - len_at - 2) as u16;
        self.bytes[len_at..len_at + 2].copy_from_slice(&data_len_bytes.to_be_bytes());
        let fits = self.bytes.len() <= self.limit_bytes;
        if !fits {
            self.bytes.truncate(begin);
        }
        fits
    }

    fn set_count(&mut self, at: usize, count: usize) {
        self.bytes[at..at + 2].copy_from_slice(&(count as u16).to_be_bytes());
    }
}

fn kind_of(record: &Record) -> u16 {
    match record {
        Record::A(_) => A,
        Record::Aaaa(_) => AAAA,
        Record::Ptr(_) => PTR,
        Record::Cname(_) => CNAME,
        Record::Ns => NS,
        Record::Soa => SOA,
        Record::Minimal => HINFO,
    }
}

fn write_data(bytes: &mut Vec<u8>, record: &Record, generation: u64) {
    match record {
        Record::A(ip) => bytes.extend(Ipv4Addr::octets(ip)),
        Record::Aaaa(ip) => bytes.extend(Ipv6Addr::octets(ip)),
        Record::Ptr(name) | Record::Cname(name) => push_name(bytes, name),
        Record::Ns => push_name(bytes, &server_name()),
        Record::Soa => write_soa(bytes, generation),
        Record::Minimal => bytes.extend(b"\x07RFC8482\x00"),
    }
}

/// Serial: the generation. Retry and the rest matter to nobody (no transfers); minimum is the negative TTL.
fn write_soa(bytes: &mut Vec<u8>, generation: u64) {
    push_name(bytes, &server_name());
    push_name(bytes, &format!("hostmaster.{ZONE}"));
    for word in [generation as u32, 60, 60, 60, TTL_SECONDS] {
        bytes.extend(word.to_be_bytes());
    }
}

/// The name under which the fleet's name server itself is found.
fn server_name() -> String {
    format!("{SERVER_LABEL}.{ZONE}")
}

/// First label of the name server's own name.
pub(crate) const SERVER_LABEL: &str = "dns";

/// Our own names only, whose lengths `api` has checked; a name too long to write becomes the root.
fn push_name(bytes: &mut Vec<u8>, name: &str) {
    bytes.extend(Name::wire(name).unwrap_or_else(|| vec![0]));
}

/// Root, type OPT, our payload size, high bits of the code, version 0, the client's DNSSEC bit (RFC 3225), no options.
fn opt_record(rcode: Rcode, dnssec_ok: bool) -> [u8; 11] {
    let [size_high, size_low] = (UDP_BYTES_MAX as u16).to_be_bytes();
    [0, 0, OPT as u8, size_high, size_low, (rcode as u16 >> 4) as u8, 0, u8::from(dnssec_ok) << 7, 0, 0, 0]
}
