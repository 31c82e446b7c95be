//! `/v1/hosts`: the machines of the fleet.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use remuda_api::link::{LeaveOrder, OrderKind};
use remuda_api::resource::{FieldError, Host, HostPatch, HostState, Problem};

use super::Refusal;
use super::problem::Body;
use super::query::Query;
use crate::fleet::Fleet;
use crate::{state, view};

/// A removal does not wait longer for the removed host.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
const LABELS_MAX: usize = 100;
const LABEL_MAX_BYTES: usize = 253;

/// All hosts, by name.
#[utoipa::path(get, path = "/v1/hosts", tag = "hosts", responses((status = 200, body = [Host])))]
pub async fn list(State(fleet): State<Arc<Fleet>>) -> Json<Vec<Host>> {
    let state = fleet.state();
    let mut hosts: Vec<Host> = state.nodes.values().map(|node| view::host(&state, node)).collect();
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    Json(hosts)
}

/// One host.
#[utoipa::path(get, path = "/v1/hosts/{name}", tag = "hosts", params(("name" = String, Path,)),
    responses((status = 200, body = Host), (status = 404, body = Problem)))]
pub async fn show(State(fleet): State<Arc<Fleet>>, Path(name): Path<String>) -> Result<Json<Host>, Refusal> {
    let state = fleet.state();
    Ok(Json(view::host(&state, &*find(&state, &name)?)))
}

/// Changes labels (null removes one) and availability.
#[utoipa::path(patch, path = "/v1/hosts/{name}", tag = "hosts", params(("name" = String, Path,)),
    request_body = HostPatch, responses((status = 200, body = Host), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn change(
    State(fleet): State<Arc<Fleet>>,
    Path(name): Path<String>,
    Body(patch): Body<HostPatch>,
) -> Result<Json<Host>, Refusal> {
    let outcome = fleet.change(move |state, now_ms| {
        let held = find(state, &name)?;
        let next = patched(&held, &patch)?;
        if *held != next {
            state.record(now_ms, "host-changed", held.name.clone(), changes(&held, &next));
            state.nodes.insert(next.id, Arc::new(next));
        }
        Ok::<_, Refusal>(held.id)
    });
    let (node_id, _) = outcome.await?;
    let state = fleet.state();
    let node = state.nodes.get(&node_id).ok_or_else(|| Refusal::not_found("host", "it was removed meanwhile"))?;
    Ok(Json(view::host(&state, node)))
}

/// What differs, in words: `availability active -> drain`.
fn changes(held: &state::Node, next: &state::Node) -> String {
    let labels: Vec<String> = next.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(" ") };
    let availability = format!("availability {:?} -> {:?}", held.availability, next.availability).to_lowercase();
    let parts = [
        (held.availability != next.availability).then_some(availability),
        (held.labels != next.labels).then(|| format!("labels now {labels}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn patched(held: &state::Node, patch: &HostPatch) -> Result<state::Node, Refusal> {
    let mut next = held.clone();
    let mut faults = Vec::new();
    for (key, value) in &patch.labels {
        let is_bad = key.is_empty() || key.contains(['=', '\0']) || key.len() > LABEL_MAX_BYTES;
        if is_bad || value.as_ref().is_some_and(|value| value.len() > LABEL_MAX_BYTES) {
            let message = format!("a label is KEY=VALUE, at most {LABEL_MAX_BYTES} bytes each, no `=` in the key");
            faults.push(FieldError { field: format!("labels.{key}"), message });
        }
        match value {
            Some(value) => next.labels.insert(key.clone(), value.clone()),
            None => next.labels.remove(key),
        };
    }
    if next.labels.len() > LABELS_MAX {
        faults.push(FieldError { field: "labels".into(), message: format!("a host has at most {LABELS_MAX} labels") });
    }
    next.availability = patch.availability.unwrap_or(next.availability);
    if faults.is_empty() { Ok(next) } else { Err(Refusal::invalid(faults)) }
}

/// Removes a host: its certificate is void at once, its containers are placed elsewhere, its agent is told to leave.
/// With `dead=true` a host that may still live is refused: this is how an operator confirms a death.
#[utoipa::path(delete, path = "/v1/hosts/{name}", tag = "hosts",
    params(("name" = String, Path,), ("dead" = Option<bool>, Query, description = "refuse a host that is not dead")),
    responses((status = 204), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn remove(
    State(fleet): State<Arc<Fleet>>,
    Path(name): Path<String>,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let state = fleet.state();
    let node_id = find(&state, &name)?.id;
    let is_dead = query.only(&["dead"])?.flag("dead")?;
    if !is_dead {
        say_goodbye(&fleet, node_id).await;
    }
    let typed = name.clone();
    let may = move |state: &state::State| if is_dead { confirm_dead(state, node_id, &typed) } else { Ok(()) };
    match fleet.remove_host(node_id, "removed from the fleet", may).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Refusal::not_found("host", &name)),
    }
}

/// A host that answers, or was heard of moments ago, is not dead.
fn confirm_dead(state: &state::State, node_id: u32, name: &str) -> Result<(), Refusal> {
    let held = match state.host_state(node_id) {
        HostState::Dead => return Ok(()),
        HostState::ControlLost if state.is_lost(node_id) => return Ok(()),
        HostState::Suspect => {
            let why = "is suspect, not dead yet: it is one or the other in a few seconds, ask again then";
            return Err(Refusal::new(StatusCode::CONFLICT, format!("host {name} {why}")));
        }
        HostState::Ready => "ready",
        HostState::Joining => "joining",
        HostState::ControlLost => "control-lost",
    };
    Err(Refusal::new(
        StatusCode::CONFLICT,
        format!(
            "host {name} is {held}, not dead: `remuda host drain {name}` empties it, `remuda host rm {name}` removes it as it is"
        ),
    ))
}

/// Tells the agent to leave, if it is there; what it does then is its own affair. One that is not there learns it
/// from its next call being refused.
async fn say_goodbye(fleet: &Fleet, node_id: u32) {
    let order = fleet.orders.open(node_id, OrderKind::Leave(LeaveOrder { force: false }));
    if let Ok(Ok(mut session)) = tokio::time::timeout(GOODBYE_TIMEOUT, order).await {
        // Held open until the agent has left: it takes the end of the session for a user who changed their mind.
        tokio::spawn(async move { while session.next().await.is_some() {} });
    }
}

fn find(state: &state::State, name: &str) -> Result<Arc<state::Node>, Refusal> {
    state.node_by_name(name).cloned().ok_or_else(|| Refusal::not_found("host", name))
}
