//! `/v1/volumes`: named volumes and the hosts that have their data.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use remuda_api::link::{FrameKind, OrderKind, RemoveVolumeOrder};
use remuda_api::resource::{HostState, Problem, Volume};

use super::Refusal;
use super::query::Query;
use crate::fleet::Fleet;
use crate::orders::Session;
use crate::{state, volumes};

/// Containers named in a refusal; the rest is counted.
const SHOWN_MAX: usize = 5;

/// Volumes, of one stack or of all, by name.
#[utoipa::path(get, path = "/v1/volumes", tag = "volumes", params(("stack" = Option<String>, Query,)),
    responses((status = 200, body = [Volume])))]
pub async fn list(State(fleet): State<Arc<Fleet>>, query: Query) -> Result<Json<Vec<Volume>>, Refusal> {
    let query = query.only(&["stack"])?;
    let (state, stack) = (fleet.state(), query.text("stack"));
    let chosen = state.volumes.values().filter(|volume| stack.is_none_or(|stack| volume.stack == stack));
    Ok(Json(chosen.map(|volume| volumes::view(&state, volume)).collect()))
}

/// Removes a volume and its data on every host that has some. Refused while a container mounts it, and while such a host
/// does not answer; data of hosts that left the fleet is only forgotten.
#[utoipa::path(delete, path = "/v1/volumes/{name}", tag = "volumes", params(("name" = String, Path,)),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn remove(State(fleet): State<Arc<Fleet>>, Path(name): Path<String>) -> Result<StatusCode, Refusal> {
    let state = fleet.state();
    let volume = state.volumes.get(&name).cloned().ok_or_else(|| Refusal::not_found("volume", &name))?;
    may_go(&state, &volume)?;
    for node_id in hosts(&state, &volume) {
        remove_there(&fleet, &state, node_id, &name).await?;
    }
    let outcome = fleet.change(move |state, now_ms| {
        // Somebody who mounts it since began with a new one, which stays.
        if state.volumes.get(&name).is_some_and(|volume| may_go(state, volume).is_ok()) {
            state.volumes.remove(&name);
            state.record(now_ms, "volume-removed", name, "with its data");
        }
        Ok::<_, Refusal>(())
    });
    outcome.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hosts of the fleet that have data of it.
fn hosts(state: &state::State, volume: &state::Volume) -> BTreeSet<u32> {
    let holders = volume.copies.iter().copied().chain([volume.node_id]);
    // An external one is not ours to remove: it is only forgotten.
    holders.filter(|id| !volume.is_external && state.nodes.contains_key(id)).collect()
}

/// Nobody mounts it and every host that has data of it is there; or its host left the fleet and took the data along.
fn may_go(state: &state::State, volume: &state::Volume) -> Result<(), Refusal> {
    let users = volumes::used_by(state, &volume.name);
    let is_given_up = volume.node_id != 0 && !state.nodes.contains_key(&volume.node_id);
    if !users.is_empty() && !is_given_up {
        let shown: Vec<&str> = users.iter().take(SHOWN_MAX).map(|container| container.name.as_str()).collect();
        let more = users.len().saturating_sub(SHOWN_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let why = format!(
            "volume {} is mounted by {}{more}: stop or remove their service first (`remuda stop`, `remuda down`)",
            volume.name,
            shown.join(", ")
        );
        return Err(Refusal::new(StatusCode::CONFLICT, why));
    }
    let away = hosts(state, volume).into_iter().find(|id| state.host_state(*id) != HostState::Ready);
    away.map_or(Ok(()), |id| Err(unreachable(state, id, &volume.name, "is not ready")))
}

fn unreachable(state: &state::State, node_id: u32, volume: &str, why: &str) -> Refusal {
    let host = state.nodes.get(&node_id).map(|node| node.name.clone()).unwrap_or_default();
    let next =
        format!("try again when `remuda hosts` shows it ready, or give the host up with `remuda host rm {host}`");
    let text = format!("volume {volume} is on {host}, which {why}; nothing was changed: {next}");
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, text)
}

async fn remove_there(fleet: &Fleet, state: &state::State, node_id: u32, name: &str) -> Result<(), Refusal> {
    let order = OrderKind::RemoveVolume(RemoveVolumeOrder { name: name.to_owned() });
    let opened = fleet.orders.open(node_id, order).await;
    let mut session =
        opened.map_err(|error| unreachable(state, node_id, name, &format!("cannot be asked ({error})")))?;
    let host = state.nodes.get(&node_id).map(|node| node.name.clone()).unwrap_or_default();
    outcome(&mut session)
        .await
        .map_err(|why| Refusal::new(StatusCode::CONFLICT, format!("host {host} does not remove volume {name}: {why}")))
}

async fn outcome(session: &mut Session) -> Result<(), String> {
    loop {
        match session.next().await {
            Some(FrameKind::Exit(0)) => return Ok(()),
            Some(FrameKind::Exit(code)) => return Err(format!("exit code {code}")),
            Some(FrameKind::Error(why)) => return Err(why),
            Some(_) => {}
            None => return Err("the host ended the answer before its end".into()),
        }
    }
}
