//! What containers wrote: of one as it is, of a service merged line by line.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt as _, stream};
use http::{StatusCode, header};
use remuda_api::link::{FrameKind, LogsOrder, OrderKind};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::containers::ask;
use super::query::Query;
use super::{Refusal, services};
use crate::fleet::Fleet;
use crate::orders::Session;

/// Containers whose logs are merged into one stream.
const MERGED_MAX: usize = 256;
/// A line longer than this is passed on in pieces.
const LINE_MAX_BYTES: usize = 64 << 10;
/// Lines on their way to a reader before the containers' hosts wait.
const LINES_BACKLOG: usize = 256;

/// The log of one container, stdout and stderr.
#[utoipa::path(get, path = "/v1/containers/{name}/logs", tag = "containers",
    params(("name" = String, Path,), ("follow" = Option<bool>, Query,), ("tail" = Option<u32>, Query,)),
    responses((status = 200, content_type = "text/plain"), (status = 404, body = remuda_api::resource::Problem)))]
pub async fn container(
    State(fleet): State<Arc<Fleet>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response, Refusal> {
    let (follow, tail) = options(query)?;
    let mut session = ask(&fleet, &name, |container| order(container, follow, tail)).await?;
    // The first piece decides whether this is a log or an error.
    let first = next(&mut session).await.map_err(|why| Refusal::new(StatusCode::CONFLICT, why))?;
    let later = stream::unfold(first.is_some().then_some(session), |session| async move {
        let mut session = session?;
        match next(&mut session).await {
            Ok(piece) => piece.map(|bytes| (bytes, Some(session))),
            Err(why) => Some((Bytes::from(format!("remuda: {why}\n")), None)),
        }
    });
    // None is held back until the next one comes, which may be long.
    let pieces = stream::iter(first).chain(later).map(Ok::<_, Infallible>);
    Ok(text(Body::from_stream(pieces)))
}

/// The logs of every container of a service; each line begins with `container | `.
#[utoipa::path(get, path = "/v1/services/{stack}/{service}/logs", tag = "services",
    params(("stack" = String, Path,), ("service" = String, Path,), ("follow" = Option<bool>, Query,),
        ("tail" = Option<u32>, Query,)),
    responses((status = 200, content_type = "text/plain"), (status = 404, body = remuda_api::resource::Problem)))]
pub async fn service(
    State(fleet): State<Arc<Fleet>>,
    Path(path): Path<(String, String)>,
    query: Query,
) -> Result<Response, Refusal> {
    let (follow, tail) = options(query)?;
    let state = fleet.state();
    let service = services::find(&state, &path)?;
    if !service.spec.has_containers() {
        let why = format!("{} has no containers of its own that could say anything", service.path());
        return Err(Refusal::new(StatusCode::CONFLICT, why));
    }
    let placed = state.containers_of(service.id).filter(|container| container.node_id != 0);
    let (lines, merged) = mpsc::channel(LINES_BACKLOG);
    for container in placed.take(MERGED_MAX) {
        tokio::spawn(copy(fleet.clone(), container.name.clone(), follow, tail, lines.clone()));
    }
    Ok(text(Body::from_stream(ReceiverStream::new(merged))))
}

fn options(query: Query) -> Result<(bool, u32), Refusal> {
    let query = query.only(&["follow", "tail"])?;
    Ok((query.flag("follow")?, query.number("tail")?))
}

fn order(container: String, follow: bool, tail: u32) -> OrderKind {
    OrderKind::Logs(LogsOrder { container, follow, tail })
}

fn text(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

/// The next piece of a log; None at its end, an error in the host's words.
async fn next(session: &mut Session) -> Result<Option<Bytes>, String> {
    loop {
        match session.next().await {
            Some(FrameKind::Stdout(bytes) | FrameKind::Stderr(bytes)) => return Ok(Some(bytes.into())),
            Some(FrameKind::Error(why)) => return Err(why),
            Some(FrameKind::Exit(_)) | None => return Ok(None),
            Some(_) => {}
        }
    }
}

/// Copies the log of one container, whole lines with its name in front.
async fn copy(
    fleet: Arc<Fleet>,
    name: String,
    follow: bool,
    tail: u32,
    lines: mpsc::Sender<Result<Bytes, Infallible>>,
) {
    let mut session = match ask(&fleet, &name, |container| order(container, follow, tail)).await {
        Ok(session) => session,
        // One container that cannot answer does not hide the others' lines.
        Err(_) => return,
    };
    let mut pending = Lines::default();
    loop {
        let piece = tokio::select! {
            piece = next(&mut session) => piece,
            () = lines.closed() => return,
        };
        let end = !matches!(piece, Ok(Some(_)));
        pending.push(&piece.ok().flatten().unwrap_or_default(), end);
        while let Some(line) = pending.lines.pop_front() {
            let line = [name.as_bytes(), b" | ", &line, b"\n"].concat();
            if lines.send(Ok(line.into())).await.is_err() {
                return;
            }
        }
        if end {
            return;
        }
    }
}

/// Bytes cut into lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
    lines: VecDeque<Vec<u8>>,
}

impl Lines {
    fn push(&mut self, bytes: &[u8], is_last: bool) {
        for byte in bytes {
            match byte {
                b'\n' => self.lines.push_back(std::mem::take(&mut self.rest)),
                _ => self.rest.push(*byte),
            }
            if self.rest.len() >= LINE_MAX_BYTES {
                self.lines.push_back(std::mem::take(&mut self.rest));
            }
        }
        if is_last && !self.rest.is_empty() {
            self.lines.push_back(std::mem::take(&mut self.rest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut lines = Lines::default();
        lines.push(b"one\ntw", false);
        lines.push(b"o\n\nthree", false);
        lines.push(b"", true);
        assert_eq!(lines.lines, [b"one".to_vec(), b"two".to_vec(), b"".to_vec(), b"three".to_vec()]);
    }
}
