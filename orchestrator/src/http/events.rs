//! `/v1/events` and `/v1/watch`: what happened, and that something did.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use remuda_api::resource::Event;
use tokio::sync::watch;

use super::Refusal;
use super::query::Query;
use crate::fleet::Fleet;
use crate::state;

/// A sign of life for proxies and for clients that wait.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Events after `since`; with `follow=true` as server-sent events, those to come too.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(("since" = Option<u64>, Query,), ("follow" = Option<bool>, Query,)),
    responses((status = 200, body = [Event], description = "an array, or with follow=true a text/event-stream of Event")))]
pub async fn list(State(fleet): State<Arc<Fleet>>, query: Query) -> Result<Response, Refusal> {
    let query = query.only(&["since", "follow"])?;
    let since = query.number("since")?;
    if query.flag("follow")? {
        let messages = follow(fleet.watch(), since).map(|event| Ok::<_, Infallible>(message(&event)));
        return Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response());
    }
    Ok(Json(after(&fleet.state(), since)).into_response())
}

fn after(state: &state::State, since: u64) -> Vec<Arc<Event>> {
    let mut newest: Vec<_> = state.events.iter().rev().take_while(|event| event.id > since).cloned().collect();
    newest.reverse();
    newest
}

fn follow(states: watch::Receiver<Arc<state::State>>, since: u64) -> impl Stream<Item = Arc<Event>> {
    let batches = stream::unfold((states, since, true), |(mut states, since, is_first)| async move {
        if !is_first {
            states.changed().await.ok()?;
        }
        let batch = after(&states.borrow_and_update().clone(), since);
        let last = batch.last().map_or(since, |event| event.id);
        Some((stream::iter(batch), (states, last, false)))
    });
    batches.flatten()
}

fn message(event: &Event) -> Message {
    let message = Message::default().id(event.id.to_string());
    message.json_data(event).unwrap_or_default()
}

/// One message at once, and one after whatever is visible changed: `{"generation": N}`. Changes that come faster
/// than they are read are one message.
#[utoipa::path(get, path = "/v1/watch", tag = "events",
    responses((status = 200, content_type = "text/event-stream", description = "data: {\"generation\": N}")))]
pub async fn watch(State(fleet): State<Arc<Fleet>>) -> Response {
    let ticks = stream::unfold((fleet.watch(), true), |(mut states, is_first)| async move {
        if !is_first {
            states.changed().await.ok()?;
        }
        let generation = states.borrow_and_update().revision;
        let message = Message::default().data(format!("{{\"generation\":{generation}}}"));
        Some((Ok::<_, Infallible>(message), (states, false)))
    });
    Sse::new(ticks).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}
