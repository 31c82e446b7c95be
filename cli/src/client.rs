//! The REST API from the outside: one method per kind of answer, every failure in words.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use remuda_api::resource::Problem;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::connection::Connection;
use crate::failure::{Context, Failure};
use crate::sse::{SseEvent, SseParser};
use crate::{fault, tls};

/// A server in reach answers a handshake within this.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Every answer that is no stream comes within this, the largest stack included.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Most of a problem body that is read, bytes.
const PROBLEM_MAX_BYTES: usize = 4 << 20;

pub struct Client {
    pub connection: Connection,
    http: reqwest::Client,
}

/// An answer that is not what was hoped for.
pub enum Refusal {
    /// The thing named in the path does not exist.
    NotFound(Problem),
    Other(Failure),
}

impl Client {
    pub fn new(connection: Connection) -> Result<Self, Failure> {
        let tls = tls::client_config(&connection)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .no_proxy()
            .connect_timeout(CONNECT_LIMIT)
            .build()
            .cannot("set up the connection to the server")?;
        Ok(Self { connection, http })
    }

    /// `https://server/v1/<path>`; each element of `path` is escaped, whatever was typed.
    pub fn url(&self, path: &[&str]) -> Result<Url, Failure> {
        let mut url = Url::parse(&self.connection.api).cannot("read the API address")?;
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().push("v1").extend(path);
        }
        Ok(url)
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Failure> {
        self.look_up(path).await.map_err(Refusal::into_failure)
    }

    /// As [`Client::get`], but a caller that knows what exists can say more than "not found".
    pub async fn look_up<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, Refusal> {
        self.look_up_query(path, &[]).await
    }

    pub async fn look_up_query<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Refusal> {
        let request = self.http.get(self.url(path)?).query(query);
        self.json(request).await
    }

    /// Sends `body` and reads the answer.
    pub async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, Refusal> {
        let request = self.http.request(method, self.url(path)?).json(body);
        self.json(request).await
    }

    /// Deletes; what the server says about it is returned as it came (null = nothing).
    pub async fn delete(&self, path: &[&str]) -> Result<serde_json::Value, Refusal> {
        self.delete_query(path, &[]).await
    }

    pub async fn delete_query(&self, path: &[&str], query: &[(&str, &str)]) -> Result<serde_json::Value, Refusal> {
        let request = self.http.delete(self.url(path)?).query(query).timeout(ANSWER_LIMIT);
        let answer = self.answer(request).await?;
        let body = answer.bytes().await.map_err(|error| fault::transport(&self.connection, &error))?;
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The body as it arrives, without end where the server has none.
    pub async fn bytes(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<impl Stream<Item = Result<Bytes, Failure>> + Unpin + Send + use<>, Refusal> {
        let answer = self.answer(self.http.get(self.url(path)?).query(query)).await?;
        let connection = self.connection.describe();
        Ok(answer.bytes_stream().map(move |piece| piece.map_err(|error| fault::broken_stream(&connection, &error))))
    }

    /// Server-sent events, until the connection ends.
    pub async fn events(&self, path: &[&str], query: &[(&str, &str)]) -> Result<EventStream, Refusal> {
        let bytes = self.bytes(path, query).await?;
        Ok(EventStream { bytes: Box::new(bytes), parser: SseParser::default(), ready: Vec::new().into_iter() })
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Refusal> {
        let answer = self.answer(request.timeout(ANSWER_LIMIT)).await?;
        let path = answer.url().path().to_owned();
        let body = answer.bytes().await.map_err(|error| fault::transport(&self.connection, &error))?;
        serde_json::from_slice(&body).map_err(|cause| {
            Failure::new(format!("the server's answer to {path} is not understood: {cause}"))
                .advice("`remuda version` shows both versions; they may be one minor apart")
                .into()
        })
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, Refusal> {
        let answer = request.bearer_auth(&self.connection.key).send().await;
        let answer = answer.map_err(|error| fault::transport(&self.connection, &error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let path = answer.url().path().to_owned();
        let problem = problem_of(status, &limited_body(answer).await);
        Err(match status {
            StatusCode::NOT_FOUND if problem.title != UNKNOWN_PATH => Refusal::NotFound(problem),
            _ => Refusal::Other(fault::refused(&self.connection, &path, &problem)),
        })
    }
}

impl Refusal {
    pub fn into_failure(self) -> Failure {
        match self {
            Self::NotFound(problem) => Failure::new(fault::sentence(&problem)),
            Self::Other(failure) => failure,
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// Title given to a 404 without a problem body: that path itself is unknown to the server.
const UNKNOWN_PATH: &str = "unknown path";

/// The problem body, or the best that can be said without one.
pub fn problem_of(status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        title: if status == StatusCode::NOT_FOUND {
            UNKNOWN_PATH.into()
        } else {
            status.canonical_reason().unwrap_or("refused").to_lowercase()
        },
        status: status.as_u16(),
        detail: String::from_utf8_lossy(&body[..body.len().min(500)]).trim().to_owned(),
        errors: Vec::new(),
    })
}

async fn limited_body(answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let mut pieces = answer.bytes_stream();
    while let Ok(Some(Ok(piece))) = tokio::time::timeout(ANSWER_LIMIT, pieces.next()).await {
        if body.len() + piece.len() > PROBLEM_MAX_BYTES {
            break;
        }
        body.extend_from_slice(&piece);
    }
    body
}

/// Events of a stream, one at a time.
pub struct EventStream {
    bytes: Box<dyn Stream<Item = Result<Bytes, Failure>> + Unpin + Send>,
    parser: SseParser,
    ready: std::vec::IntoIter<SseEvent>,
}

impl EventStream {
    /// None = the server ended the stream. Dropping this future loses nothing.
    pub async fn next(&mut self) -> Option<Result<SseEvent, Failure>> {
        loop {
            if let Some(event) = self.ready.next() {
                return Some(Ok(event));
            }
            match self.bytes.next().await? {
                Err(failure) => return Some(Err(failure)),
                Ok(bytes) => match self.parser.push(&bytes) {
                    Ok(events) => self.ready = events.into_iter(),
                    Err(error) => return Some(Err(Failure::new(error.to_string()))),
                },
            }
        }
    }

    /// Forgets what has arrived already: whoever looks at the whole state next has it in there.
    pub fn skip_ready(&mut self) {
        self.ready = Vec::new().into_iter();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_body_is_kept_and_its_absence_is_described() {
        let body = br#"{"title":"refused","status":422,"errors":[{"field":"a","message":"b"}]}"#;
        assert_eq!(problem_of(StatusCode::UNPROCESSABLE_ENTITY, body).errors.len(), 1);
        let bare = problem_of(StatusCode::BAD_GATEWAY, b"oops");
        assert_eq!((bare.title.as_str(), bare.status, bare.detail.as_str()), ("bad gateway", 502, "oops"));
    }
}
