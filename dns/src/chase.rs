//! Behind a name of ours that leads to another one: a client asks once and hears both, our CNAME and what it is for.
//!
//! Stub resolvers do not go on by themselves, so an answer with a CNAME alone would be no address to them.

use std::net::IpAddr;
use std::str::FromStr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record};

use crate::message::{HEADER_BYTES, Rcode, TCP_BYTES_MAX, TTL_SECONDS, UDP_BYTES_MAX, write_empty, write_query};
use crate::question::Query;
use crate::reply::{Reply, Transport, limit_bytes};
use crate::server::Shared;

impl Shared {
    /// The answer to `query` from those who know: of its own name, or of the one it leads to.
    pub(crate) async fn ask(
        &self,
        asker: IpAddr,
        query: &Query<'_>,
        alias: Option<&str>,
        transport: Transport,
    ) -> Vec<u8> {
        let Some(alias) = alias else { return self.forwarder.ask(query, transport, &self.counters).await };
        let found = match write_query(alias, query.kind) {
            Some(packet) => self.behind(asker, &packet).await,
            None => Vec::new(),
        };
        write_alias(query, alias, &found, limit_bytes(query, transport))
            .unwrap_or_else(|| write_empty(query, Rcode::ServFail, false))
    }

    /// What `packet` is answered: ours or the upstreams'. A name that leads on once more is not followed: circles end.
    async fn behind(&self, asker: IpAddr, packet: &[u8]) -> Vec<u8> {
        match self.reply(asker, packet, Transport::Tcp) {
            Reply::Send { bytes, .. } => bytes,
            Reply::Forward { query, alias: None } => self.forwarder.ask(&query, Transport::Tcp, &self.counters).await,
            Reply::Forward { query, alias: Some(_) } => write_empty(&query, Rcode::ServFail, false),
            Reply::Drop(_) => Vec::new(),
        }
    }
}

/// `query`'s name leads to `alias`, and this was `found` there: one answer of at most `limit_bytes`, or the word to come
/// back over TCP. None = what was found cannot be read.
fn write_alias(query: &Query, alias: &str, found: &[u8], limit_bytes: usize) -> Option<Vec<u8>> {
    let asked = Message::from_vec(query.packet).ok()?;
    let found = Message::from_vec(found).ok()?;
    let target = Name::from_str(&format!("{alias}.")).ok()?;
    let owner = asked.queries.first()?.name().clone();
    let mut answer = Message::new(query.id, MessageType::Response, OpCode::Query);
    answer.metadata.authoritative = true;
    answer.metadata.recursion_desired = query.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.metadata.checking_disabled = query.checking_disabled;
    answer.metadata.response_code = found.metadata.response_code;
    answer.add_queries(asked.queries);
    answer.add_answer(Record::from_rdata(owner, TTL_SECONDS, RData::CNAME(CNAME(target))));
    answer.add_answers(found.answers).add_authorities(found.authorities);
    if let Some(edns) = query.edns {
        let mut ours = Edns::new();
        ours.set_max_payload(UDP_BYTES_MAX as u16).set_dnssec_ok(edns.dnssec_ok);
        answer.set_edns(ours);
    }
    let mut bytes = answer.to_vec().ok()?;
    if bytes.len() > limit_bytes.min(TCP_BYTES_MAX) {
        return Some(write_empty(query, Rcode::NoError, true));
    }
    // As the client spelt it (0x20).
    bytes.get_mut(HEADER_BYTES..HEADER_BYTES + query.question.len())?.copy_from_slice(query.question);
    Some(bytes)
}
