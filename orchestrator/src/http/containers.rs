//! `/v1/containers`: what runs where, and what a container's resolver answers.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use remuda_api::link::{DnsOrder, FrameKind, OrderKind};
use remuda_api::resource::{Container, DnsAnswer, Problem};

use super::Refusal;
use super::query::Query;
use crate::fleet::Fleet;
use crate::orders::Session;
use crate::{reconcile, state, view};

/// More than any answer is.
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// Containers, filtered; by stack, service and number.
#[utoipa::path(get, path = "/v1/containers", tag = "containers",
    params(("stack" = Option<String>, Query,), ("service" = Option<String>, Query,), ("host" = Option<String>, Query,)),
    responses((status = 200, body = [Container])))]
pub async fn list(State(fleet): State<Arc<Fleet>>, query: Query) -> Result<Json<Vec<Container>>, Refusal> {
    let query = query.only(&["stack", "service", "host"])?;
    let state = fleet.state();
    let host_id = |name: &str| state.node_by_name(name).map_or(u32::MAX, |node| node.id);
    let host = query.text("host").map(host_id);
    let is_wanted = |container: &&Arc<state::Container>| {
        query.text("stack").is_none_or(|stack| container.stack == stack)
            && query.text("service").is_none_or(|service| container.service == service)
            && host.is_none_or(|host| container.node_id == host)
    };
    let mut chosen: Vec<_> = state.containers.values().filter(is_wanted).collect();
    chosen.sort_by_key(|container| (&container.stack, &container.service, reconcile::number(container)));
    Ok(Json(chosen.into_iter().map(|container| view::container(&state, container)).collect()))
}

/// One container.
#[utoipa::path(get, path = "/v1/containers/{name}", tag = "containers", params(("name" = String, Path,)),
    responses((status = 200, body = Container), (status = 404, body = Problem)))]
pub async fn show(State(fleet): State<Arc<Fleet>>, Path(name): Path<String>) -> Result<Json<Container>, Refusal> {
    let state = fleet.state();
    Ok(Json(view::container(&state, &*find(&state, &name)?)))
}

/// What this container's host answers it.
#[utoipa::path(get, path = "/v1/containers/{name}/dns", tag = "containers",
    params(("name" = String, Path, description = "container"), ("name" = String, Query, description = "name to look up"),
        ("type" = Option<String>, Query, description = "record type, A unless given")),
    responses((status = 200, body = DnsAnswer), (status = 404, body = Problem), (status = 503, body = Problem)))]
pub async fn dns(
    State(fleet): State<Arc<Fleet>>,
    Path(container): Path<String>,
    query: Query,
) -> Result<Json<DnsAnswer>, Refusal> {
    let query = query.only(&["name", "type"])?;
    let name = query.required("name")?.to_owned();
    let kind = query.text("type").filter(|kind| !kind.is_empty()).unwrap_or("A").to_ascii_uppercase();
    let mut session = ask(&fleet, &container, |container| OrderKind::Dns(DnsOrder { container, name, kind })).await?;
    let answer = collect(&mut session).await?;
    let fault = |error| Refusal::new(StatusCode::BAD_GATEWAY, format!("its host's answer cannot be read: {error}"));
    serde_json::from_slice(&answer).map(Json).map_err(fault)
}

pub(super) fn find(state: &state::State, name: &str) -> Result<Arc<state::Container>, Refusal> {
    state.containers.get(name).cloned().ok_or_else(|| Refusal::not_found("container", name))
}

/// Opens a session with the host that runs this container.
pub(super) async fn ask(
    fleet: &Fleet,
    name: &str,
    order: impl FnOnce(String) -> OrderKind,
) -> Result<Session, Refusal> {
    let container = find(&fleet.state(), name)?;
    if container.node_id == 0 {
        let why = format!("container `{name}` has no host yet: {}", container.pending_reason);
        return Err(Refusal::new(StatusCode::CONFLICT, why));
    }
    Ok(fleet.orders.open(container.node_id, order(container.name.clone())).await?)
}

async fn collect(session: &mut Session) -> Result<Vec<u8>, Refusal> {
    let mut answer = Vec::new();
    loop {
        match session.next().await {
            Some(FrameKind::Stdout(bytes)) if answer.len() + bytes.len() <= ANSWER_MAX_BYTES => answer.extend(bytes),
            Some(FrameKind::Stdout(_)) => return Err(Refusal::new(StatusCode::BAD_GATEWAY, "the answer is too large")),
            Some(FrameKind::Error(why)) => return Err(Refusal::new(StatusCode::CONFLICT, why)),
            Some(FrameKind::Exit(_)) | None => return Ok(answer),
            Some(_) => {}
        }
    }
}
