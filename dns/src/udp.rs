//! The UDP side: one loop per socket, answers to our own names without a task, forwards in tasks of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::message::{Rcode, write_empty};
use crate::question::{Query, read};
use crate::reply::{Reply, Transport};
use crate::server::Shared;
use crate::stats::Counter;

/// Serves `socket` until dropped. Forwards end with it.
pub(crate) async fn serve(socket: UdpSocket, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let mut forwards = JoinSet::new();
    let mut buffer = [0; QUERY_BYTES_MAX];
    loop {
        while forwards.try_join_next().is_some() {}
        match socket.recv_from(&mut buffer).await {
            Ok((len_bytes, from)) => handle(&socket, &shared, &mut forwards, &buffer[..len_bytes], from),
            // What the network says about an answer of ours (ICMP): the client went away.
            Err(cause) => tracing::debug!("receiving a query: {cause}"),
        }
    }
}

/// A name of 255 bytes, options and room to spare; longer datagrams are cut and then malformed.
const QUERY_BYTES_MAX: usize = 4096;

fn handle(socket: &Arc<UdpSocket>, shared: &Arc<Shared>, forwards: &mut JoinSet<()>, packet: &[u8], from: SocketAddr) {
    shared.counters.add(Counter::QueriesUdp);
    match shared.reply(from.ip(), packet, Transport::Udp) {
        Reply::Send { bytes, rcode, kind } => {
            shared.counters.add_answer(rcode, kind);
            send(socket, shared, &bytes, from);
        }
        Reply::Forward { query, alias } => forward(socket, shared, forwards, query, alias, from),
        Reply::Drop(silence) => shared.counters.add_silence(silence),
    }
}

fn forward(
    socket: &Arc<UdpSocket>,
    shared: &Arc<Shared>,
    forwards: &mut JoinSet<()>,
    query: Query,
    alias: Option<String>,
    from: SocketAddr,
) {
    let Some(place) = shared.forwarder.admit(from.ip()) else {
        shared.counters.add(Counter::ForwardOverLimit);
        return send(socket, shared, &write_empty(&query, Rcode::ServFail, false), from);
    };
    let (socket, shared, packet) = (socket.clone(), shared.clone(), query.packet.to_vec());
    forwards.spawn(async move {
        let _place = place;
        // Read once already; what it borrowed went away with the buffer.
        let Ok(query) = read(&packet) else { return };
        let bytes = shared.ask(from.ip(), &query, alias.as_deref(), Transport::Udp).await;
        send(&socket, &shared, &bytes, from);
    });
}

/// Never waits: a client that does not take its answers loses them, the loop goes on.
fn send(socket: &UdpSocket, shared: &Shared, bytes: &[u8], to: SocketAddr) {
    if socket.try_send_to(bytes, to).is_err() {
        shared.counters.add(Counter::DropSocketFull);
    }
}
