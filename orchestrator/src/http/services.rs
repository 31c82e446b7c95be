//! `/v1/services` and `/v1/scale`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use remuda_api::resource::{Problem, Scale, Service, StackApplied};
use remuda_api::spec::ServiceSpec;

use super::Refusal;
use super::problem::Body;
use super::query::Query;
use super::stacks::applied;
use crate::fleet::Fleet;
use crate::{accept, declare, state, view};

/// Services, of one stack or of all, by stack and name.
#[utoipa::path(get, path = "/v1/services", tag = "services", params(("stack" = Option<String>, Query,)),
    responses((status = 200, body = [Service])))]
pub async fn list(State(fleet): State<Arc<Fleet>>, query: Query) -> Result<Json<Vec<Service>>, Refusal> {
    let query = query.only(&["stack"])?;
    let (state, stack) = (fleet.state(), query.text("stack"));
    let chosen = state.services.values().filter(|service| stack.is_none_or(|stack| service.stack == stack));
    let mut services: Vec<Service> = chosen.map(|service| view::service(&state, service)).collect();
    services.sort_by(|a, b| (&a.stack, &a.name).cmp(&(&b.stack, &b.name)));
    Ok(Json(services))
}

/// One service.
#[utoipa::path(get, path = "/v1/services/{stack}/{service}", tag = "services",
    params(("stack" = String, Path,), ("service" = String, Path,)),
    responses((status = 200, body = Service), (status = 404, body = Problem)))]
pub async fn show(
    State(fleet): State<Arc<Fleet>>,
    Path(path): Path<(String, String)>,
) -> Result<Json<Service>, Refusal> {
    let state = fleet.state();
    Ok(Json(view::service(&state, &*find(&state, &path)?)))
}

/// The spec of one service as accepted, `replicas` = the declared scale.
#[utoipa::path(get, path = "/v1/services/{stack}/{service}/spec", tag = "services",
    params(("stack" = String, Path,), ("service" = String, Path,)),
    responses((status = 200, body = ServiceSpec), (status = 404, body = Problem)))]
pub async fn spec(
    State(fleet): State<Arc<Fleet>>,
    Path(path): Path<(String, String)>,
) -> Result<Json<ServiceSpec>, Refusal> {
    Ok(Json(view::spec(&*find(&fleet.state(), &path)?)))
}

/// Removes one service: it turns `removing`, stops, and vanishes.
#[utoipa::path(delete, path = "/v1/services/{stack}/{service}", tag = "services",
    params(("stack" = String, Path,), ("service" = String, Path,)),
    responses((status = 200, body = StackApplied), (status = 404, body = Problem)))]
pub async fn remove(
    State(fleet): State<Arc<Fleet>>,
    Path(path): Path<(String, String)>,
) -> Result<Json<StackApplied>, Refusal> {
    let outcome = fleet.change(move |state, now_ms| {
        let held = find(state, &path)?;
        let line = if held.removing { None } else { declare::remove(state, held.id) };
        if let Some(line) = &line {
            state.record(now_ms, "service-removed", held.path(), line.clone());
        }
        Ok::<_, Refusal>(declare::Declared { changes: line.into_iter().collect(), ..declare::Declared::default() })
    });
    let (declared, generation) = outcome.await?;
    Ok(Json(applied(generation, declared)))
}

pub(super) fn find(state: &state::State, path: &(String, String)) -> Result<Arc<state::Service>, Refusal> {
    let found = state.service(&path.0, &path.1).cloned();
    found.ok_or_else(|| Refusal::not_found("service", &format!("{}/{}", path.0, path.1)))
}

/// Lets a service have containers again.
#[utoipa::path(post, path = "/v1/services/{stack}/{service}/start", tag = "services",
    params(("stack" = String, Path,), ("service" = String, Path,)),
    responses((status = 200, body = StackApplied), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn start(
    State(fleet): State<Arc<Fleet>>,
    Path(path): Path<(String, String)>,
) -> Result<Json<StackApplied>, Refusal> {
    rest(&fleet, path, None, "service-started").await
}

/// Drains and stops a service's containers; its declaration and scale stay.
#[utoipa::path(post, path = "/v1/services/{stack}/{service}/stop", tag = "services",
    params(("stack" = String, Path,), ("service" = String, Path,)),
    responses((status = 200, body = StackApplied), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn stop(
    State(fleet): State<Arc<Fleet>>,
    Path(path): Path<(String, String)>,
) -> Result<Json<StackApplied>, Refusal> {
    rest(&fleet, path, Some(state::Rest::Stopped), "service-stopped").await
}

async fn rest(
    fleet: &Arc<Fleet>,
    path: (String, String),
    rest: Option<state::Rest>,
    kind: &'static str,
) -> Result<Json<StackApplied>, Refusal> {
    let outcome = fleet.change(move |state, now_ms| {
        let service = find(state, &path)?;
        if service.removing {
            return Err(Refusal::new(StatusCode::CONFLICT, format!("service `{}` is being removed", service.path())));
        }
        let line = declare::rest(state, service.id, rest);
        if let Some(line) = &line {
            state.record(now_ms, kind, service.path(), line.clone());
        }
        Ok(declare::Declared { changes: line.into_iter().collect(), ..declare::Declared::default() })
    });
    let (declared, generation) = outcome.await?;
    Ok(Json(applied(generation, declared)))
}

/// New scales, all or none.
#[utoipa::path(post, path = "/v1/scale", tag = "services", request_body = Scale,
    responses((status = 200, body = StackApplied), (status = 422, body = Problem)))]
pub async fn scale(State(fleet): State<Arc<Fleet>>, Body(wish): Body<Scale>) -> Result<Json<StackApplied>, Refusal> {
    let outcome = fleet.change(move |state, now_ms| {
        let faults = accept::scale(state, &wish.services);
        if !faults.is_empty() {
            return Err(Refusal::invalid(faults));
        }
        let mut changes = Vec::new();
        for (path, replicas) in &wish.services {
            let id =
                path.split_once('/').and_then(|(stack, name)| state.service(stack, name)).map(|service| service.id);
            if let Some(line) = id.and_then(|id| declare::scale(state, id, *replicas)) {
                state.record(now_ms, "service-scaled", path.clone(), line.clone());
                changes.push(line);
            }
        }
        Ok(declare::Declared { changes, ..declare::Declared::default() })
    });
    let (declared, generation) = outcome.await?;
    Ok(Json(applied(generation, declared)))
}
