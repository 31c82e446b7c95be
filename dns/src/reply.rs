//! One datagram or TCP message to what goes back: the whole of the DNS for our own names, without a socket.

use std::net::IpAddr;

use crate::answer::{Decision, answer};
use crate::message::{HEADER_BYTES, Rcode, TCP_BYTES_MAX, udp_limit_bytes, write, write_refusal};
use crate::question::{Query, Unread, read};
use crate::view::{Asker, View};

/// What to do about a message.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives on the stack for one query; boxing would allocate for each")]
pub enum Reply<'p> {
    Send {
        bytes: Vec<u8>,
        rcode: Rcode,
        kind: Option<u16>,
    },
    /// To be asked of others first; with `alias`, for the name that this one leads to ([`crate::chase`]).
    Forward {
        query: Query<'p>,
        alias: Option<String>,
    },
    Drop(Silence),
}

/// Why a message gets no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Its source is neither an endpoint of this host nor the host itself.
    UnknownAsker,
    /// A response, or shorter than a header.
    NotAQuery,
}

/// How the message came, and so how large its answer may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
}

/// The reply to `packet` from `asker_ip`. The 12-byte header is judged before the name of the asker is looked up,
/// and both before anything else is read.
pub fn reply<'p>(view: &View, asker_ip: IpAddr, packet: &'p [u8], transport: Transport, seed: u64) -> Reply<'p> {
    if packet.len() < HEADER_BYTES {
        return Reply::Drop(Silence::NotAQuery);
    }
    let Some(asker) = view.asker(asker_ip) else { return Reply::Drop(Silence::UnknownAsker) };
    match read(packet) {
        Ok(query) => reply_to(view, asker, query, transport, seed),
        Err(Unread::Drop) => Reply::Drop(Silence::NotAQuery),
        Err(Unread::Refuse(rcode)) => Reply::Send { bytes: write_refusal(packet, rcode), rcode, kind: None },
    }
}

fn reply_to<'p>(view: &View, asker: &Asker, query: Query<'p>, transport: Transport, seed: u64) -> Reply<'p> {
    let limit_bytes = limit_bytes(&query, transport);
    match answer(view, asker, &query, seed) {
        Decision::Forward => Reply::Forward { query, alias: None },
        Decision::Alias(name) => Reply::Forward { query, alias: Some(name) },
        Decision::Answer(answer) => Reply::Send {
            bytes: write(&query, &answer, view.generation(), limit_bytes),
            rcode: answer.rcode,
            kind: Some(query.kind),
        },
    }
}

/// Largest answer this client takes by this way, in bytes.
pub fn limit_bytes(query: &Query, transport: Transport) -> usize {
    match transport {
        Transport::Udp => udp_limit_bytes(query),
        Transport::Tcp => TCP_BYTES_MAX,
    }
}
