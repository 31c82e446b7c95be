//! Names that are not the fleet's: the client's own bytes to one of the host's resolvers, and its bytes back.
//!
//! A proxy, not a resolver: no cache, no parsing of records. So code, sections, options and record types we never
//! heard of arrive as the upstream sent them (RFC 5625); only three things change: the id (random towards the
//! upstream, the client's on the way back), the spelling of the question (the client's), and a UDP size above 1,232
//! in the client's OPT, which is lowered on the way out.
//!
//! An answer counts when it comes from the address asked, to the random port and with the random id of this very
//! attempt, and repeats the question. Anything else is counted and passed over while the attempt lasts: garbage in
//! front of the right answer changes nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::limit::{Limit, Place};
use crate::message::{HEADER_BYTES, Rcode, UDP_BYTES_MAX, write_empty};
use crate::question::Query;
use crate::reply::{Transport, limit_bytes};
use crate::stats::{Counter, Counters};
use crate::upstreams::Upstreams;

/// Asks upstreams on behalf of clients.
pub(crate) struct Forwarder {
    upstreams: Upstreams,
    /// Our own listeners, which must never be asked.
    ours: Vec<SocketAddr>,
    /// The upstream that answered last is asked first.
    preferred: AtomicUsize,
    in_flight: Limit,
}

/// Queries waiting for upstreams at once: each holds one socket, and the agent's usual 1,024 files must also do for
/// TCP clients and everything else.
const IN_FLIGHT_MAX: usize = 256;
/// Of these for one asker, so that one container's storm leaves room for others.
const IN_FLIGHT_PER_ASKER_MAX: usize = 64;
/// How long one upstream may take before the next is tried; resolvers answer from cache in milliseconds, and cold
/// names mostly within half a second.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_200);
/// All attempts together: below the 5 s after which glibc gives up on us.
const TOTAL_TIMEOUT: Duration = Duration::from_millis(4_500);
/// The list is gone through this often while time remains.
const ROUNDS: usize = 2;

impl Forwarder {
    pub(crate) fn new(upstreams: Upstreams, ours: Vec<SocketAddr>) -> Forwarder {
        Forwarder {
            upstreams,
            ours,
            preferred: AtomicUsize::new(0),
            in_flight: Limit::new(IN_FLIGHT_MAX, IN_FLIGHT_PER_ASKER_MAX),
        }
    }

    /// A place among the queries in flight; `None` when there is none left, in all or for this asker.
    pub(crate) fn admit(&self, asker: IpAddr) -> Option<Place> {
        self.in_flight.admit(asker)
    }

    /// The upstreams' answer to `query`, always one: SERVFAIL where nobody gives a better one.
    pub(crate) async fn ask(&self, query: &Query<'_>, transport: Transport, counters: &Counters) -> Vec<u8> {
        let upstreams = self.upstreams.current(&self.ours);
        if upstreams.is_empty() {
            counters.add(Counter::ForwardWithoutUpstream);
            return write_empty(query, Rcode::ServFail, false);
        }
        let mut last_resort = None;
        let asked =
            timeout(TOTAL_TIMEOUT, self.ask_each(query, transport, &upstreams, counters, &mut last_resort)).await;
        let Some(mut answer) = asked.ok().flatten().or(last_resort) else {
            counters.add(Counter::ForwardFailed);
            return write_empty(query, Rcode::ServFail, false);
        };
        if answer.len() > limit_bytes(query, transport) {
            counters.add(Counter::ForwardTruncated);
            return write_empty(query, Rcode::NoError, true);
        }
        counters.add(Counter::Forwarded);
        restore(&mut answer, query);
        answer
    }

    /// The first good answer; an upstream's failure is kept as `last_resort` while others may know better.
    async fn ask_each(
        &self,
        query: &Query<'_>,
        transport: Transport,
        upstreams: &[SocketAddr],
        counters: &Counters,
        last_resort: &mut Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        let first = self.preferred.load(Ordering::Relaxed);
        for turn in 0..upstreams.len() * ROUNDS {
            let at = (first + turn) % upstreams.len();
            counters.add(Counter::UpstreamQueries);
            match timeout(ATTEMPT_TIMEOUT, exchange(query, transport, upstreams[at], counters)).await {
                Ok(Ok(answer)) if is_failure(&answer) => {
                    last_resort.get_or_insert(answer);
                    if turn + 1 >= upstreams.len() {
                        return None;
                    }
                }
                Ok(Ok(answer)) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Some(answer);
                }
                Ok(Err(_)) | Err(_) => counters.add(Counter::UpstreamErrors),
            }
        }
        None
    }
}

/// One attempt. A truncated answer is fetched again over TCP for a client that came over TCP; a UDP client gets it as
/// it is and comes back.
async fn exchange(query: &Query<'_>, way: Transport, upstream: SocketAddr, counters: &Counters) -> io::Result<Vec<u8>> {
    let asked = outgoing(query);
    let answer = exchange_udp(&asked, query, upstream, counters).await?;
    if !is_truncated(&answer) || way == Transport::Udp {
        return Ok(answer);
    }
    counters.add(Counter::UpstreamQueries);
    match exchange_tcp(&asked, upstream).await? {
        answer if !answers(&answer, &asked, query) => Err(io::ErrorKind::InvalidData.into()),
        answer if is_truncated(&answer) => Ok(write_empty(query, Rcode::ServFail, false)), // it will never be whole
        answer => Ok(answer),
    }
}

async fn exchange_udp(
    asked: &[u8],
    query: &Query<'_>,
    upstream: SocketAddr,
    counters: &Counters,
) -> io::Result<Vec<u8>> {
    let any: IpAddr = if upstream.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?; // the kernel draws the port at random
    socket.connect(upstream).await?;
    socket.send(asked).await?;
    let mut buffer = vec![0; UPSTREAM_BYTES_MAX];
    loop {
        let len_bytes = socket.recv(&mut buffer).await?;
        if answers(&buffer[..len_bytes], asked, query) {
            buffer.truncate(len_bytes);
            return Ok(buffer);
        }
        counters.add(Counter::UpstreamForgeries);
    }
}

async fn exchange_tcp(asked: &[u8], upstream: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await?;
    let framed = [&(asked.len() as u16).to_be_bytes(), asked].concat();
    stream.write_all(&framed).await?;
    let len_bytes = stream.read_u16().await?;
    let mut answer = vec![0; len_bytes.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// An upstream may ignore the size we ask for; what is larger than this is cut by the socket and so refused below.
const UPSTREAM_BYTES_MAX: usize = 4096;

/// The client's message with an id of ours and at most 1,232 bytes wanted.
fn outgoing(query: &Query) -> Vec<u8> {
    let mut asked = query.packet.to_vec();
    asked[..2].copy_from_slice(&rand::random::<[u8; 2]>());
    if let Some(edns) = query.edns.filter(|edns| usize::from(edns.payload_bytes) > UDP_BYTES_MAX) {
        asked[edns.payload_at..edns.payload_at + 2].copy_from_slice(&(UDP_BYTES_MAX as u16).to_be_bytes());
    }
    asked
}

/// `answer` is a response to exactly what was `asked`. A server that does not understand may leave the question out.
fn answers(answer: &[u8], asked: &[u8], query: &Query) -> bool {
    let Some(header) = answer.first_chunk::<HEADER_BYTES>() else { return false };
    let is_response_to_query = header[2] & 0xf8 == 0x80;
    let questions_count = u16::from_be_bytes([header[4], header[5]]);
    let question = answer.get(HEADER_BYTES..HEADER_BYTES + query.question.len());
    let repeats =
        questions_count == 1 && question.is_some_and(|question| question.eq_ignore_ascii_case(query.question));
    let complains = questions_count == 0 && header[3] & 0x0f == Rcode::FormErr as u8 && answer.len() == HEADER_BYTES;
    header[..2] == asked[..2] && is_response_to_query && (repeats || complains)
}

fn is_truncated(answer: &[u8]) -> bool {
    answer[2] & 0x02 != 0
}

/// The upstream could not say: another may (as glibc goes on to its next server).
fn is_failure(answer: &[u8]) -> bool {
    const FAILURES: [u8; 3] = [Rcode::ServFail as u8, Rcode::NotImp as u8, Rcode::Refused as u8];
    FAILURES.contains(&(answer[3] & 0x0f))
}

/// The client's id and spelling.
fn restore(answer: &mut [u8], query: &Query) {
    answer[..2].copy_from_slice(&query.id.to_be_bytes());
    if let Some(question) = answer.get_mut(HEADER_BYTES..HEADER_BYTES + query.question.len()) {
        question.copy_from_slice(query.question);
    }
}
