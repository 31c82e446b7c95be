//! One port, one TLS configuration: people's REST and agents' gRPC, told apart by path.
//!
//! Strangers cost little: connections are counted, a handshake and a request head have a time limit each, HTTP/2
//! streams are limited, and who holds a connection that answers no ping is dropped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::clock::now_ms;
use crate::pki::Ca;
use crate::pki::verifier::{NodeVerifier, Peer};

/// 1,000 hosts with some connections each, and people.
const CONNECTIONS_MAX: usize = 8_192;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const PING_EVERY: Duration = Duration::from_secs(10);
const STREAMS_MAX: u32 = 256;
const HEADERS_MAX_BYTES: u32 = 32 << 10;
/// What a stream may have under way; logs and full assignments are the large ones.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Pause after a failed accept (out of file descriptors): the cause does not go away faster.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The TLS configuration of this server.
pub fn tls(ca: &Ca, advertise: std::net::Ipv4Addr) -> anyhow::Result<Arc<ServerConfig>> {
    let (certificate, key) = ca.server(advertise)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(NodeVerifier::new(ca.certificate())?)
        // The CA goes along: a joining agent knows its digest only.
        .with_single_cert(vec![certificate, ca.certificate().clone()], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Serves until dropped; connections end with it.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, app: Router) {
    let (acceptor, slots) = (TlsAcceptor::from(tls), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    let mut connections = JoinSet::new();
    loop {
        // Closed never: the semaphore lives as long as this loop.
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let (acceptor, app) = (acceptor.clone(), app.clone());
                connections.spawn(async move {
                    connection(acceptor, stream, from, app).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, from: SocketAddr, app: Router) {
    // Small frames both ways, answers awaited: do not collect them.
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return handshake_failed(from, &error),
        Err(_) => return tracing::debug!(%from, "no TLS handshake in time"),
    };
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let leaf = leaf.cloned();
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        // Judged per request: a certificate may expire while its connection lives.
        request.extensions_mut().insert(Peer::of(leaf.as_ref(), (now_ms() / 1000) as i64));
        app.clone().oneshot(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_MAX_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(4 * STREAM_WINDOW_BYTES);
    if let Err(error) = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
        tracing::debug!(%from, error, "connection ended");
    }
}

fn handshake_failed(from: SocketAddr, error: &io::Error) {
    tracing::debug!(%from, %error, "TLS handshake failed");
}
