//! A command in a container, over a WebSocket: binary messages, the first byte names the stream.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use remuda_api::link::{ExecOrder, FrameKind, OrderKind, Resize};
use remuda_api::spec::{RuntimeKind, StackSpec};

use super::Refusal;
use super::auth::Caller;
use super::containers::ask;
use super::query::Query;
use crate::accept::privileges;
use crate::fleet::Fleet;
use crate::orders::Session;
use crate::state;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const EXIT: u8 = 3;
const RESIZE: u8 = 4;
const ERROR: u8 = 5;
const STDIN_END: u8 = 6;
/// Keyboard input and pipes are cut into messages far smaller than this.
const MESSAGE_MAX_BYTES: usize = 1 << 20;

/// Runs `argv` in a container; the messages are described at the top of the API.
#[utoipa::path(get, path = "/v1/containers/{name}/exec", tag = "containers",
    params(("name" = String, Path,), ("argv" = Vec<String>, Query,), ("rows" = Option<u16>, Query,),
        ("columns" = Option<u16>, Query,)),
    responses((status = 101, description = "WebSocket"), (status = 404, body = remuda_api::resource::Problem)))]
pub async fn open(
    State(fleet): State<Arc<Fleet>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    query: Query,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let query = query.only(&["argv", "rows", "columns"])?;
    query.required("argv")?;
    let argv = query.all("argv").map(str::to_owned).collect();
    let (rows, columns) = (query.number::<u16>("rows")?.into(), query.number::<u16>("columns")?.into());
    let upgrade = upgrade.map_err(|why| Refusal::new(StatusCode::UPGRADE_REQUIRED, why.body_text()))?;
    if has_power(&fleet.state(), &name) {
        caller.require_host_access(&format!("a command in {name}"))?;
    }
    let order = |container| OrderKind::Exec(ExecOrder { container, argv, rows, columns });
    let session = ask(&fleet, &name, order).await?;
    Ok(upgrade.max_message_size(MESSAGE_MAX_BYTES).on_upgrade(|socket| pump(socket, session)))
}

/// A container from where its host can be reached.
fn has_power(state: &state::State, name: &str) -> bool {
    let Some(container) = state.containers.get(name) else { return false };
    let service = state.services.get(&container.service_id);
    let volumes = state.stacks.get(&container.stack).map(|stack| stack.volumes.clone()).unwrap_or_default();
    let stack = StackSpec { name: container.stack.clone(), volumes, ..StackSpec::default() };
    let is_free =
        |service: &Arc<state::Service>| privileges::of(state, &service.name, &service.spec, &stack).is_empty();
    container.runtime == RuntimeKind::Process || !service.is_some_and(is_free)
}

/// Copies both ways until the command or the user ends it.
async fn pump(mut socket: WebSocket, mut session: Session) {
    loop {
        tokio::select! {
            frame = session.next() => {
                let is_last = matches!(frame, None | Some(FrameKind::Exit(_) | FrameKind::Error(_)));
                let lost = || FrameKind::Error("the connection to the container's host was lost".into());
                let Some(message) = to_user(frame.unwrap_or_else(lost)) else { continue };
                if socket.send(Message::Binary(message)).await.is_err() {
                    return;
                }
                if is_last {
                    // The close frame tells the user's side that nothing is missing.
                    let _ = socket.send(Message::Close(None)).await;
                    return;
                }
            }
            message = socket.recv() => {
                let kind = match message {
                    Some(Ok(Message::Binary(bytes))) => to_host(&bytes),
                    Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => None,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                };
                if let Some(kind) = kind && !session.send(kind).await {
                    return;
                }
            }
        }
    }
}

fn to_user(frame: FrameKind) -> Option<Bytes> {
    let message = |stream: u8, data: &[u8]| Some([&[stream], data].concat().into());
    match frame {
        FrameKind::Stdout(data) => message(STDOUT, &data),
        FrameKind::Stderr(data) => message(STDERR, &data),
        FrameKind::Exit(code) => message(EXIT, &code.to_be_bytes()),
        FrameKind::Error(why) => message(ERROR, why.as_bytes()),
        FrameKind::Stdin(_) | FrameKind::StdinEnd(_) | FrameKind::Resize(_) => None,
    }
}

fn to_host(message: &[u8]) -> Option<FrameKind> {
    match message {
        [STDIN, data @ ..] => Some(FrameKind::Stdin(data.to_vec())),
        [STDIN_END] => Some(FrameKind::StdinEnd(true)),
        [RESIZE, r0, r1, c0, c1] => {
            let number = |high: u8, low: u8| u32::from(u16::from_be_bytes([high, low]));
            Some(FrameKind::Resize(Resize { rows: number(*r0, *r1), columns: number(*c0, *c1) }))
        }
        _ => None,
    }
}
