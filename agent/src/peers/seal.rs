//! One sealed datagram: bytes in, words or a named reason out. No clock, no state.
//!
//! ```text
//! "RG" | version 1 | 0 | sender node id (2) | sender's boot id (8) | counter (8)        clear, authenticated
//! boot id (8) and counter (8) last heard from the receiver | payload                    sealed
//! tag (16)
//! ```
//!
//! Numbers are big-endian. The key belongs to one sender and one boot: HKDF-SHA256 (RFC 5869) of the fleet's key with
//! sender and boot id as salt. The nonce is the counter, which a boot never uses twice, so ChaCha20-Poly1305
//! (RFC 8439) is safe. The receiver's node id is authenticated too, though not sent: a datagram opens nowhere else.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf;

/// Longer datagrams are neither sent nor read: below every MTU the overlay supports.
pub const DATAGRAM_MAX_BYTES: usize = 1400;
pub const HEADER_BYTES: usize = 22;
const ECHO_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
/// A datagram without payload.
pub const EMPTY_BYTES: usize = HEADER_BYTES + ECHO_BYTES + TAG_BYTES;

const MAGIC: [u8; 2] = *b"RG";
const VERSION: u8 = 1;
/// Keys of another use of the same fleet key differ by this.
const LABEL: &[u8] = b"remuda gossip 1";

/// Why a datagram was dropped; each has a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Shorter than a datagram without payload.
    Truncated,
    Oversized,
    /// Not ours, or of a version this agent does not speak.
    Version,
    /// No other host of this environment has the sender's node id.
    UnknownNode,
    /// It does not come from the underlay address of the node it names.
    SourceAddress,
    /// Not sealed by the sender, for this receiver, as it is.
    Forged,
    /// Its counter was seen before, or is too old to tell.
    Replayed,
    /// Of a boot that a newer one replaced.
    OldBoot,
    /// Of a boot that has not proved yet that it is there now: answered, not believed.
    Unproved,
    /// The content is none of the known messages.
    Payload,
}

impl Refusal {
    pub const ALL: [Refusal; 10] = [
        Refusal::Truncated,
        Refusal::Oversized,
        Refusal::Version,
        Refusal::UnknownNode,
        Refusal::SourceAddress,
        Refusal::Forged,
        Refusal::Replayed,
        Refusal::OldBoot,
        Refusal::Unproved,
        Refusal::Payload,
    ];

    /// As the label of a metric.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Truncated => "truncated",
            Refusal::Oversized => "oversized",
            Refusal::Version => "version",
            Refusal::UnknownNode => "unknown-node",
            Refusal::SourceAddress => "source-address",
            Refusal::Forged => "forged",
            Refusal::Replayed => "replayed",
            Refusal::OldBoot => "old-boot",
            Refusal::Unproved => "unproved",
            Refusal::Payload => "payload",
        }
    }
}

/// What everyone can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub sender: u16,
    /// Random, new at every start of the sender's agent.
    pub boot: u64,
    /// Begins at 1 with each boot.
    pub counter: u64,
}

/// The newest that the sender heard from the receiver; all zero = nothing lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Echo {
    pub boot: u64,
    pub counter: u64,
}

/// What only the receiver can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub echo: Echo,
    pub payload: Vec<u8>,
}

/// The header of these bytes, if they can be a datagram of ours; nothing in it is proved yet.
pub fn header(bytes: &[u8]) -> Result<Header, Refusal> {
    if bytes.len() < EMPTY_BYTES {
        return Err(Refusal::Truncated);
    }
    if bytes.len() > DATAGRAM_MAX_BYTES {
        return Err(Refusal::Oversized);
    }
    let (magic, rest) = take::<2>(bytes)?;
    let ([version, reserved], rest) = take::<2>(rest)?;
    if magic != MAGIC || version != VERSION || reserved != 0 {
        return Err(Refusal::Version);
    }
    let (sender, rest) = take::<2>(rest)?;
    let (boot, rest) = take::<8>(rest)?;
    let (counter, _) = take::<8>(rest)?;
    let sender = u16::from_be_bytes(sender);
    Ok(Header { sender, boot: u64::from_be_bytes(boot), counter: u64::from_be_bytes(counter) })
}

/// The fleet's secret, from which every sender's keys come.
#[derive(Clone, PartialEq, Eq)]
pub struct FleetKey([u8; 32]);

impl FleetKey {
    /// From 64 hex digits; None if it is anything else.
    pub fn parse(text: &str) -> Option<FleetKey> {
        let digits = text.as_bytes();
        let mut key = [0; 32];
        if digits.len() != 2 * key.len() {
            return None;
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = (digit(0)? << 4 | digit(1)?) as u8;
        }
        Some(FleetKey(key))
    }

    /// The key of everything this sender sends during this boot.
    pub fn of(&self, sender: u16, boot: u64) -> BootKey {
        let mut salt = [0; 10];
        salt[..2].copy_from_slice(&sender.to_be_bytes());
        salt[2..].copy_from_slice(&boot.to_be_bytes());
        let fresh = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(&self.0);
        let key = fresh.expand(&[LABEL], &CHACHA20_POLY1305).expect("32 bytes are within HKDF's limit of 255 hashes");
        BootKey(LessSafeKey::new(UnboundKey::from(key)))
    }
}

impl std::fmt::Debug for FleetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FleetKey(..)")
    }
}

/// Seals or opens the datagrams of one boot of one sender.
#[derive(Clone, Debug)]
pub struct BootKey(LessSafeKey);

impl BootKey {
    /// The datagram. The caller never gives the same counter twice with one key. None if the payload is too long.
    pub fn seal(&self, header: &Header, receiver: u16, echo: Echo, payload: &[u8]) -> Option<Vec<u8>> {
        if EMPTY_BYTES + payload.len() > DATAGRAM_MAX_BYTES {
            return None;
        }
        let clear = clear(header);
        let mut datagram = Vec::with_capacity(EMPTY_BYTES + payload.len());
        datagram.extend_from_slice(&clear);
        datagram.extend_from_slice(&echo.boot.to_be_bytes());
        datagram.extend_from_slice(&echo.counter.to_be_bytes());
        datagram.extend_from_slice(payload);
        let sealed = &mut datagram[HEADER_BYTES..];
        let tag = self.0.seal_in_place_separate_tag(nonce(header.counter), bound(&clear, receiver), sealed).ok()?;
        datagram.extend_from_slice(tag.as_ref());
        Some(datagram)
    }

    /// What the datagram with this `header` says to `receiver`.
    pub fn open(&self, header: &Header, receiver: u16, datagram: &[u8]) -> Result<Content, Refusal> {
        let mut sealed = datagram.get(HEADER_BYTES..).ok_or(Refusal::Truncated)?.to_vec();
        let bound = bound(&clear(header), receiver);
        let content = self.0.open_in_place(nonce(header.counter), bound, &mut sealed).map_err(|_| Refusal::Forged)?;
        let (boot, rest) = take::<8>(content)?;
        let (counter, payload) = take::<8>(rest)?;
        let echo = Echo { boot: u64::from_be_bytes(boot), counter: u64::from_be_bytes(counter) };
        Ok(Content { echo, payload: payload.to_vec() })
    }
}

fn clear(header: &Header) -> [u8; HEADER_BYTES] {
    let mut clear = [0; HEADER_BYTES];
    clear[..2].copy_from_slice(&MAGIC);
    clear[2] = VERSION;
    clear[4..6].copy_from_slice(&header.sender.to_be_bytes());
    clear[6..14].copy_from_slice(&header.boot.to_be_bytes());
    clear[14..].copy_from_slice(&header.counter.to_be_bytes());
    clear
}

/// What is authenticated besides the content: the clear header, and who is to read it.
fn bound(clear: &[u8; HEADER_BYTES], receiver: u16) -> Aad<[u8; HEADER_BYTES + 2]> {
    let mut bound = [0; HEADER_BYTES + 2];
    bound[..HEADER_BYTES].copy_from_slice(clear);
    bound[HEADER_BYTES..].copy_from_slice(&receiver.to_be_bytes());
    Aad::from(bound)
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[NONCE_LEN - 8..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn take<const N: usize>(bytes: &[u8]) -> Result<([u8; N], &[u8]), Refusal> {
    bytes.split_first_chunk().map(|(first, rest)| (*first, rest)).ok_or(Refusal::Truncated)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SENDER: u16 = 7;
    const RECEIVER: u16 = 9;
    const HEADER: Header = Header { sender: SENDER, boot: 0x1234_5678_9abc_def0, counter: 42 };
    const ECHO: Echo = Echo { boot: 5, counter: 6 };

    fn fleet() -> FleetKey {
        FleetKey::parse(&"a7".repeat(32)).expect("64 hex digits")
    }

    fn key() -> BootKey {
        fleet().of(SENDER, HEADER.boot)
    }

    fn sealed(payload: &[u8]) -> Vec<u8> {
        key().seal(&HEADER, RECEIVER, ECHO, payload).expect("it is short enough")
    }

    fn read(bytes: &[u8], receiver: u16) -> Result<Content, Refusal> {
        let header = header(bytes)?;
        fleet().of(header.sender, header.boot).open(&header, receiver, bytes)
    }

    #[test]
    fn what_was_sealed_is_read_by_its_receiver_and_by_nobody_else() {
        let datagram = sealed(b"hello");
        assert_eq!(header(&datagram), Ok(HEADER));
        assert_eq!(read(&datagram, RECEIVER), Ok(Content { echo: ECHO, payload: b"hello".to_vec() }));
        for other in [SENDER, RECEIVER + 1, 0] {
            assert_eq!(read(&datagram, other), Err(Refusal::Forged), "node {other}");
        }
    }

    #[test]
    fn a_datagram_cut_or_padded_anywhere_is_refused() {
        let datagram = sealed(b"hello");
        for len in 0..datagram.len() {
            let expected = if len < EMPTY_BYTES { Refusal::Truncated } else { Refusal::Forged };
            assert_eq!(read(&datagram[..len], RECEIVER), Err(expected), "{len} bytes");
        }
        let padded = [&datagram[..], &[0]].concat();
        assert_eq!(read(&padded, RECEIVER), Err(Refusal::Forged));
    }

    #[test]
    fn a_datagram_changed_in_any_bit_is_refused() {
        let datagram = sealed(b"hello");
        for bit in 0..datagram.len() * 8 {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 32 { Refusal::Version } else { Refusal::Forged };
            assert_eq!(read(&changed, RECEIVER), Err(expected), "bit {bit}");
        }
    }

    #[test]
    fn the_longest_datagram_is_1400_bytes() {
        let longest = DATAGRAM_MAX_BYTES - EMPTY_BYTES;
        assert_eq!(sealed(&vec![1; longest]).len(), DATAGRAM_MAX_BYTES);
        assert!(key().seal(&HEADER, RECEIVER, ECHO, &vec![1; longest + 1]).is_none());
        assert_eq!(header(&[0; DATAGRAM_MAX_BYTES + 1]), Err(Refusal::Oversized));
    }

    #[test]
    fn every_boot_has_a_key_of_its_own() {
        let datagram = sealed(b"hello");
        for (sender, boot) in [(SENDER, HEADER.boot + 1), (SENDER + 1, HEADER.boot)] {
            assert_eq!(fleet().of(sender, boot).open(&HEADER, RECEIVER, &datagram), Err(Refusal::Forged));
        }
    }

    #[test]
    fn a_fleet_key_is_64_hex_digits() {
        for text in ["", "a7", &"g7".repeat(32), &"a7".repeat(33), &"é".repeat(32)] {
            assert!(FleetKey::parse(text).is_none(), "{text}");
        }
        assert!(!format!("{:?}", fleet()).contains("167"), "it does not show itself");
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
            prop_assert!(read(&bytes, RECEIVER).is_err());
        }

        #[test]
        fn any_bytes_behind_a_good_header_are_forged(rest in prop::collection::vec(any::<u8>(), 32..200)) {
            let bytes = [&sealed(b"")[..HEADER_BYTES], &rest].concat();
            prop_assert_eq!(read(&bytes, RECEIVER), Err(Refusal::Forged));
        }

        #[test]
        fn any_content_comes_out_as_it_went_in(
            boot: u64, counter: u64, echo_boot: u64, echo_counter: u64, sender: u16, receiver: u16,
            payload in prop::collection::vec(any::<u8>(), 0..1340),
        ) {
            let header = Header { sender, boot, counter };
            let echo = Echo { boot: echo_boot, counter: echo_counter };
            let datagram = fleet().of(sender, boot).seal(&header, receiver, echo, &payload).expect("short enough");
            prop_assert_eq!(super::header(&datagram), Ok(header));
            prop_assert_eq!(read(&datagram, receiver), Ok(Content { echo, payload }));
        }
    }
}
