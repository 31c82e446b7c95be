//! The TCP side: every message with a two-byte length, several queries under way at once (RFC 7766), limits on all of
//! it: connections, time, length, queries in flight.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::limit::Limit;
use crate::message::{HEADER_BYTES, Rcode, write_empty};
use crate::question::{Query, read};
use crate::reply::{Reply, Transport};
use crate::server::Shared;
use crate::stats::Counter;

/// Serves connections to `listener` until dropped; they end with it.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let limit = Limit::new(CONNECTIONS_MAX, CONNECTIONS_PER_ASKER_MAX);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, from)) => open(&mut connections, &limit, &shared, stream, from.ip()),
            Err(cause) => {
                tracing::warn!("accepting a DNS connection: {cause}; trying again in {ACCEPT_PAUSE:?}");
                // Out of files: nothing tells us when there are some again.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Connections at once; each holds a file (of the agent's usual 1,024) and a few hundred bytes.
const CONNECTIONS_MAX: usize = 256;
/// Of these for one asker: more than a resolver library opens, too few to shut others out.
const CONNECTIONS_PER_ASKER_MAX: usize = 32;
/// A connection on which nothing is finished for so long is closed: idle, dripping and not-reading ones alike.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Forwarded queries under way on one connection; reading stops until one is answered.
const PIPELINE_MAX: usize = 16;
/// See `udp`: no query is longer.
const QUERY_BYTES_MAX: usize = 4096;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn open(connections: &mut JoinSet<()>, limit: &Limit, shared: &Arc<Shared>, stream: TcpStream, asker: IpAddr) {
    if shared.view().asker(asker).is_none() {
        return shared.counters.add(Counter::DropUnknownAsker);
    }
    let Some(place) = limit.admit(asker) else { return shared.counters.add(Counter::DropTcpLimit) };
    let shared = shared.clone();
    connections.spawn(async move {
        let _place = place;
        if let Err(cause) = converse(stream, asker, &shared).await {
            tracing::debug!("DNS connection of {asker}: {cause}");
        }
    });
}

/// Reads queries and writes answers as they get ready, until the client closes or breaks a limit.
async fn converse(stream: TcpStream, asker: IpAddr, shared: &Arc<Shared>) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let mut received = Vec::with_capacity(512);
    let mut forwards: FuturesUnordered<BoxFuture<'_, Vec<u8>>> = FuturesUnordered::new();
    let mut is_open = true;
    let mut deadline = Instant::now() + IDLE_TIMEOUT;
    while is_open || !forwards.is_empty() {
        let may_read = is_open && forwards.len() < PIPELINE_MAX;
        tokio::select! {
            Some(answer) = forwards.next(), if !forwards.is_empty() => write_framed(&mut writer, &answer).await?,
            count = timeout_at(deadline, reader.read_buf(&mut received)), if may_read => is_open = count?? > 0,
        }
        while forwards.len() < PIPELINE_MAX {
            let Some(packet) = take_message(&mut received, shared)? else { break };
            match respond(&packet, asker, shared)? {
                Response::Now(answer) => write_framed(&mut writer, &answer).await?,
                Response::Later(alias) => forwards.push(Box::pin(forward(packet, alias, asker, shared))),
            }
            deadline = Instant::now() + IDLE_TIMEOUT;
        }
        if !forwards.is_empty() {
            deadline = Instant::now() + IDLE_TIMEOUT;
        }
    }
    Ok(())
}

enum Response {
    Now(Vec<u8>),
    /// With the name it leads to, if it leads to one.
    Later(Option<String>),
}

fn respond(packet: &[u8], asker: IpAddr, shared: &Shared) -> io::Result<Response> {
    shared.counters.add(Counter::QueriesTcp);
    match shared.reply(asker, packet, Transport::Tcp) {
        Reply::Send { bytes, rcode, kind } => {
            shared.counters.add_answer(rcode, kind);
            Ok(Response::Now(bytes))
        }
        Reply::Forward { alias, .. } => Ok(Response::Later(alias)),
        Reply::Drop(silence) => {
            shared.counters.add_silence(silence);
            Err(io::Error::other("what came is no query of anyone we know"))
        }
    }
}

async fn forward(packet: Vec<u8>, alias: Option<String>, asker: IpAddr, shared: &Shared) -> Vec<u8> {
    match read(&packet) {
        Ok(query) => shared.forward(asker, &query, alias.as_deref(), Transport::Tcp).await,
        Err(_) => Vec::new(), // it was read before
    }
}

/// The first whole message of `received`, taken out of it.
fn take_message(received: &mut Vec<u8>, shared: &Shared) -> io::Result<Option<Vec<u8>>> {
    let Some(prefix) = received.first_chunk::<2>() else { return Ok(None) };
    let len_bytes = usize::from(u16::from_be_bytes(*prefix));
    if !(HEADER_BYTES..=QUERY_BYTES_MAX).contains(&len_bytes) {
        shared.counters.add(Counter::DropTcpBadLength);
        return Err(io::Error::other(format!("a message of {len_bytes} bytes is no query")));
    }
    if received.len() < 2 + len_bytes {
        return Ok(None);
    }
    let rest = received.split_off(2 + len_bytes);
    let message = std::mem::replace(received, rest).split_off(2);
    Ok(Some(message))
}

async fn write_framed(writer: &mut OwnedWriteHalf, answer: &[u8]) -> io::Result<()> {
    let framed = [&(answer.len() as u16).to_be_bytes(), answer].concat();
    timeout(IDLE_TIMEOUT, writer.write_all(&framed)).await?
}

impl Shared {
    /// The upstreams' answer for `asker`, or SERVFAIL at once when too many wait already.
    pub(crate) async fn forward(
        &self,
        asker: IpAddr,
        query: &Query<'_>,
        alias: Option<&str>,
        transport: Transport,
    ) -> Vec<u8> {
        let Some(_place) = self.forwarder.admit(asker) else {
            self.counters.add(Counter::ForwardOverLimit);
            return write_empty(query, Rcode::ServFail, false);
        };
        self.ask(asker, query, alias, transport).await
    }
}
