//! Bytes from a client to a [`Query`], or to the reason why not. Refuses by the 12-byte header before it reads on.
//!
//! One question and at most one OPT is all a query can hold (RFC 9619, RFC 6891), so this reads in one pass, allocates
//! nothing and cannot be made to follow compression pointers or believe a count.

use crate::message::{HEADER_BYTES, OPT, Rcode};

/// A well-formed query with one question. Its name may be anything; its class and EDNS version may be unsupported.
#[derive(Clone, Debug)]
pub struct Query<'p> {
    /// The whole message, exactly.
    pub packet: &'p [u8],
    pub id: u16,
    pub recursion_desired: bool,
    pub checking_disabled: bool,
    /// Name, type and class as spelt by the client.
    pub question: &'p [u8],
    pub name: Name,
    pub kind: u16,
    pub class: u16,
    pub edns: Option<Edns>,
}

/// What the client's OPT says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    pub version: u8,
    pub dnssec_ok: bool,
    /// Largest UDP answer the client takes, in bytes, as it said.
    pub payload_bytes: u16,
    /// Offset in the packet of that number.
    pub payload_at: usize,
}

/// Why bytes are no query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Not worth an answer: shorter than a header, or itself a response (answering one makes two servers play
    /// ping-pong, RUSTSEC-2023-0041).
    Drop,
    /// Answer with the bare header and this code.
    Refuse(Rcode),
}

/// Reads one query; `packet` is one whole message.
pub fn read(packet: &[u8]) -> Result<Query<'_>, Unread> {
    let malformed = Unread::Refuse(Rcode::FormErr);
    let header: &[u8; HEADER_BYTES] = packet.first_chunk().ok_or(Unread::Drop)?;
    check(header)?;
    let (name, name_bytes) = Name::read(&packet[HEADER_BYTES..]).ok_or(malformed)?;
    let kind_at = HEADER_BYTES + name_bytes;
    let kind = u16_at(packet, kind_at).ok_or(malformed)?;
    let class = u16_at(packet, kind_at + 2).ok_or(malformed)?;
    let edns = read_additional(packet, kind_at + 4, word(header, 10)).ok_or(malformed)?;
    Ok(Query {
        packet,
        id: word(header, 0),
        recursion_desired: header[2] & 0x01 != 0,
        checking_disabled: header[3] & 0x10 != 0,
        question: &packet[HEADER_BYTES..kind_at + 4],
        name,
        kind,
        class,
        edns,
    })
}

/// OPT and a transaction signature: more additional records than that no query has.
const ADDITIONAL_MAX: u16 = 2;

/// The header alone decides: one question, nothing answered, opcode QUERY.
fn check(header: &[u8; HEADER_BYTES]) -> Result<(), Unread> {
    let is_response = header[2] & 0x80 != 0;
    let opcode = header[2] >> 3 & 0x0f;
    let (questions, answers, authorities) = (word(header, 4), word(header, 6), word(header, 8));
    match () {
        () if is_response => Err(Unread::Drop),
        () if opcode != 0 => Err(Unread::Refuse(Rcode::NotImp)),
        () if questions != 1 || answers != 0 || authorities != 0 => Err(Unread::Refuse(Rcode::FormErr)),
        () if word(header, 10) > ADDITIONAL_MAX => Err(Unread::Refuse(Rcode::FormErr)),
        () => Ok(()),
    }
}

fn word(header: &[u8; HEADER_BYTES], at: usize) -> u16 {
    u16::from_be_bytes([header[at], header[at + 1]])
}

/// The one OPT among `count` additional records from `at` to the very end; `None` = malformed.
fn read_additional(packet: &[u8], mut at: usize, count: u16) -> Option<Option<Edns>> {
    let mut edns = None;
    for _ in 0..count {
        let fixed_at = at + Name::read(packet.get(at..)?)?.1;
        let fixed: &[u8; 10] = packet.get(fixed_at..)?.first_chunk()?;
        let [kind_high, kind_low, size_high, size_low, _rcode, version, flags, _, len_high, len_low] = *fixed;
        let data_at = fixed_at + fixed.len();
        let data_len_bytes = usize::from(u16::from_be_bytes([len_high, len_low]));
        let data = packet.get(data_at..data_at + data_len_bytes)?;
        if u16::from_be_bytes([kind_high, kind_low]) == OPT {
            let is_at_root = fixed_at == at + 1;
            if edns.is_some() || !is_at_root || !options_are_whole(data) {
                return None;
            }
            let payload_bytes = u16::from_be_bytes([size_high, size_low]);
            let dnssec_ok = flags & 0x80 != 0;
            edns = Some(Edns { version, dnssec_ok, payload_bytes, payload_at: fixed_at + 2 });
        }
        at = data_at + data_len_bytes;
    }
    (at == packet.len()).then_some(edns)
}

fn options_are_whole(mut data: &[u8]) -> bool {
    while let Some((head, rest)) = data.split_first_chunk::<4>() {
        let len_bytes = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some(next) = rest.get(len_bytes..) else { return false };
        data = next;
    }
    data.is_empty()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|pair| u16::from_be_bytes(*pair))
}

/// Longest name on the wire, in bytes (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 255;
const LABEL_BYTES_MAX: usize = 63;
/// One byte of length and one of text each, and the root.
const LABELS_MAX: usize = 127;

/// A name's labels in lower case.
#[derive(Clone, Debug)]
pub struct Name {
    /// Wire form, lower case.
    lower: [u8; NAME_BYTES_MAX],
    /// Offset of each label's length byte.
    starts: [u8; LABELS_MAX],
    count: usize,
}

impl Name {
    /// The uncompressed name that `bytes` begin with, and how many bytes it takes. A pointer is malformed here:
    /// nothing stands before a question that it could point to.
    fn read(bytes: &[u8]) -> Option<(Name, usize)> {
        let mut name = Name { lower: [0; NAME_BYTES_MAX], starts: [0; LABELS_MAX], count: 0 };
        let mut at = 0;
        loop {
            let len_bytes = usize::from(*bytes.get(at)?);
            let end = at + 1 + len_bytes;
            if len_bytes > LABEL_BYTES_MAX || end > NAME_BYTES_MAX {
                return None;
            }
            if len_bytes == 0 {
                return Some((name, end));
            }
            let text = bytes.get(at + 1..end)?;
            name.lower[at] = len_bytes as u8;
            for (lower, byte) in name.lower[at + 1..end].iter_mut().zip(text) {
                *lower = byte.to_ascii_lowercase();
            }
            *name.starts.get_mut(name.count)? = at as u8;
            name.count += 1;
            at = end;
        }
    }

    /// `text` in wire form (`web.shop`, with or without the final dot); `None` = no such name can exist.
    pub fn wire(text: &str) -> Option<Vec<u8>> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.strip_suffix('.').unwrap_or(text).split('.').filter(|_| !text.is_empty() && text != ".") {
            let len_bytes = u8::try_from(label.len()).ok().filter(|len| (1..=LABEL_BYTES_MAX as u8).contains(len))?;
            wire.push(len_bytes);
            wire.extend(label.as_bytes());
        }
        wire.push(0);
        (wire.len() <= NAME_BYTES_MAX).then_some(wire)
    }

    pub fn labels_count(&self) -> usize {
        self.count
    }

    /// Labels from the left.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        self.starts[..self.count].iter().map(|start| {
            let start = usize::from(*start);
            &self.lower[start + 1..start + 1 + usize::from(self.lower[start])]
        })
    }

    /// Offset within the name of its last `labels` labels.
    pub(crate) fn suffix_at(&self, labels: usize) -> usize {
        usize::from(self.starts[..self.count][self.count - labels.min(self.count)..].first().copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{opt, query};

    fn refused(packet: &[u8]) -> Unread {
        read(packet).expect_err("this is no query")
    }

    #[test]
    fn a_query_is_read_with_its_spelling_kept_and_its_labels_lowered() {
        let packet = query("WeB.Shop", 1);
        let query = read(&packet).expect("it is one");
        assert_eq!(query.name.labels().collect::<Vec<_>>(), [b"web".as_slice(), b"shop"]);
        assert_eq!(&query.question[1..4], b"WeB");
        assert_eq!((query.kind, query.class, query.edns), (1, 1, None));
    }

    #[test]
    fn an_opt_gives_size_version_and_the_dnssec_bit() {
        let packet = [query("web", 1), opt(1232, 0, 0x8000)].concat();
        let packet = with_count(packet, 11, 1);
        let edns = read(&packet).expect("it is one").edns.expect("it has one");
        assert_eq!((edns.payload_bytes, edns.version, edns.dnssec_ok), (1232, 0, true));
        assert_eq!(packet[edns.payload_at..edns.payload_at + 2], 1232u16.to_be_bytes());
    }

    #[test]
    fn what_is_shorter_than_a_header_or_a_response_gets_no_answer() {
        assert_eq!(refused(&[0; 11]), Unread::Drop);
        let mut response = query("web.shop", 1);
        response[2] |= 0x80;
        assert_eq!(refused(&response), Unread::Drop);
    }

    #[test]
    fn every_count_but_one_question_is_a_format_error() {
        for (at, count) in [(5, 0), (5, 2), (4, 1), (7, 1), (6, 255), (9, 1), (8, 255), (11, 3), (10, 255), (11, 1)] {
            let packet = with_count(query("web.shop", 1), at, count);
            assert_eq!(refused(&packet), Unread::Refuse(Rcode::FormErr), "byte {at} = {count}");
        }
    }

    #[test]
    fn every_opcode_but_query_is_not_implemented() {
        for opcode in 1..16 {
            let mut packet = query("web.shop", 1);
            packet[2] |= opcode << 3;
            assert_eq!(refused(&packet), Unread::Refuse(Rcode::NotImp), "opcode {opcode}");
        }
    }

    #[test]
    fn pointers_cut_names_long_names_and_trailing_bytes_are_format_errors() {
        let header = &query("", 1)[..12];
        let long_name = [&[63u8; 64][..]; 4].concat();
        let cases: [&[u8]; 5] = [&[0xc0, 12, 0, 1, 0, 1], &[3, b'w'], &[0, 0, 1, 0], &long_name, &[0, 0, 1, 0, 1, 9]];
        for rest in cases {
            assert_eq!(refused(&[header, rest].concat()), Unread::Refuse(Rcode::FormErr), "{rest:?}");
        }
    }

    #[test]
    fn two_opts_an_opt_below_the_root_and_cut_options_are_format_errors() {
        let below_root = [&[1, b'a'][..], &opt(512, 0, 0)].concat();
        let mut cut_option = opt(512, 0, 0);
        cut_option.splice(9.., [0, 5, 0, 10, 0, 8, 1]);
        for (extra, count) in [([opt(512, 0, 0), opt(512, 0, 0)].concat(), 2), (below_root, 1), (cut_option, 1)] {
            let packet = with_count([query("web", 1), extra].concat(), 11, count);
            assert_eq!(refused(&packet), Unread::Refuse(Rcode::FormErr));
        }
    }

    fn with_count(mut packet: Vec<u8>, at: usize, count: u8) -> Vec<u8> {
        packet[at] = count;
        packet
    }
}
