//! Requests whose answers are streams: each has a connection of its own to the engine, and closing it ends the stream.
//!
//! The engine's client library decodes such answers itself: it takes a terminal's bytes below 3 for heads of frames,
//! waits for the end of a line however long it gets, and dates logs to the second. Here nothing is decoded.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::engine::{Engine, EngineError, LOOK_LIMIT};

/// The longest refusal that is read, bytes.
const WORDS_MAX_BYTES: usize = 16 << 10;

/// Asks `GET path` (with a leading slash, without a version). The answer must begin within the limit of a look.
pub(super) async fn get(engine: &Engine, path: &str) -> Result<Pieces, EngineError> {
    within(engine, LOOK_LIMIT, ask(engine, Method::GET, path, None)).await
}

/// Asks `POST path` to become a plain connection in both directions.
pub(super) async fn upgrade(engine: &Engine, path: &str, json: String) -> Result<TokioIo<Upgraded>, EngineError> {
    let upgraded = async {
        let answer = ask(engine, Method::POST, path, Some(json)).await?;
        let upgraded = hyper::upgrade::on(answer.response).await.map_err(|error| lost(engine, &error))?;
        Ok(TokioIo::new(upgraded))
    };
    within(engine, LOOK_LIMIT, upgraded).await
}

/// What the engine sends, as it comes. Dropping it closes the connection.
pub(super) struct Pieces {
    response: Response<Incoming>,
    _connection: Connection,
}

impl Pieces {
    /// None at the end; whether it is the engine's end of it or that of the connection is not told apart.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let frame = poll_fn(|context| Pin::new(self.response.body_mut()).poll_frame(context)).await?;
            // What is no data is a trailer.
            if let Ok(bytes) = frame.ok()?.into_data() {
                return Some(bytes);
            }
        }
    }
}

struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        // Nothing is left to do for one that was upgraded.
        self.0.abort();
    }
}

async fn ask(engine: &Engine, method: Method, path: &str, json: Option<String>) -> Result<Pieces, EngineError> {
    let stream = UnixStream::connect(engine.socket()).await.map_err(|error| lost(engine, &error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(engine, &error))?;
    let connection = Connection(tokio::spawn(async move { drop(connection.with_upgrades().await) }));
    let mut request = Request::builder()
        .method(method)
        // Without a version, as the client library asks: the engine speaks its newest.
        .uri(path)
        .header(header::HOST, "docker");
    if json.is_some() {
        request = request
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "tcp")
            .header(header::CONTENT_TYPE, "application/json");
    }
    let request = request.body(json.unwrap_or_default()).map_err(|error| lost(engine, &error))?;
    let response = sender.send_request(request).await.map_err(|error| lost(engine, &error))?;
    let pieces = Pieces { response, _connection: connection };
    match pieces.response.status() {
        StatusCode::OK | StatusCode::SWITCHING_PROTOCOLS => Ok(pieces),
        status => Err(refusal(status, pieces).await),
    }
}

async fn refusal(status: StatusCode, mut pieces: Pieces) -> EngineError {
    let mut body = Vec::new();
    while body.len() < WORDS_MAX_BYTES
        && let Some(bytes) = pieces.next().await
    {
        body.extend_from_slice(&bytes);
    }
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let words = match json["message"].as_str() {
        Some(message) => message.trim().to_owned(),
        None => format!("the engine answered {status}: {}", String::from_utf8_lossy(&body).trim()),
    };
    EngineError::Refused { code: status.as_u16(), words }
}

async fn within<T>(
    engine: &Engine,
    limit: Duration,
    work: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(lost(engine, &format!("no answer within {limit:?}"))),
    }
}

fn lost(engine: &Engine, error: &dyn std::fmt::Display) -> EngineError {
    EngineError::Silent(format!("the engine at {}: {error}", engine.socket().display()))
}
