//! `/v1/registries`: credentials for pulling images.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use remuda_api::resource::{FieldError, Problem, Registry, RegistryLogin};

use super::Refusal;
use super::problem::Body;
use crate::accept::registry;
use crate::fleet::Fleet;
use crate::state;

/// Registries of one fleet: a bound on what every host is told.
const REGISTRIES_MAX: usize = 100;

/// Registries with a credential, without it.
#[utoipa::path(get, path = "/v1/registries", tag = "registries", responses((status = 200, body = [Registry])))]
pub async fn list(State(fleet): State<Arc<Fleet>>) -> Json<Vec<Registry>> {
    Json(fleet.state().registries.values().map(|held| shown(held)).collect())
}

/// One registry, without its password.
#[utoipa::path(get, path = "/v1/registries/{address}", tag = "registries", params(("address" = String, Path,)),
    responses((status = 200, body = Registry), (status = 404, body = Problem)))]
pub async fn show(State(fleet): State<Arc<Fleet>>, Path(address): Path<String>) -> Result<Json<Registry>, Refusal> {
    let address = known_as(&address)?;
    let state = fleet.state();
    let held = state.registries.get(&address).ok_or_else(|| Refusal::not_found("registry", &address))?;
    Ok(Json(shown(held)))
}

/// Stores a credential; hosts with an engine are told it. It is never shown again.
#[utoipa::path(put, path = "/v1/registries/{address}", tag = "registries", params(("address" = String, Path,)),
    request_body = RegistryLogin, responses((status = 200, body = Registry), (status = 422, body = Problem)))]
pub async fn login(
    State(fleet): State<Arc<Fleet>>,
    Path(address): Path<String>,
    Body(login): Body<RegistryLogin>,
) -> Result<Json<Registry>, Refusal> {
    let address = known_as(&address)?;
    let faults = registry::login(&login);
    if !faults.is_empty() {
        return Err(Refusal::invalid(faults));
    }
    let RegistryLogin { username, password } = login;
    let held = state::Registry { address: address.clone(), username, password };
    let answer = shown(&held);
    let outcome = fleet.change(move |state, now_ms| {
        if !state.registries.contains_key(&address) && state.registries.len() >= REGISTRIES_MAX {
            let why = format!("there are {REGISTRIES_MAX} registries already: log out of one first");
            return Err(Refusal::new(StatusCode::CONFLICT, why));
        }
        state.record(now_ms, "registry-login", address.clone(), format!("as {}", held.username));
        state.registries.insert(address, Arc::new(held));
        Ok(())
    });
    outcome.await?;
    Ok(Json(answer))
}

/// Forgets a credential, here and on every host.
#[utoipa::path(delete, path = "/v1/registries/{address}", tag = "registries", params(("address" = String, Path,)),
    responses((status = 204), (status = 404, body = Problem)))]
pub async fn logout(State(fleet): State<Arc<Fleet>>, Path(address): Path<String>) -> Result<StatusCode, Refusal> {
    let address = known_as(&address)?;
    let outcome = fleet.change(move |state, now_ms| {
        state.registries.remove(&address).ok_or_else(|| Refusal::not_found("registry", &address))?;
        state.record(now_ms, "registry-logout", address, "its credential is forgotten");
        Ok::<_, Refusal>(())
    });
    outcome.await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(held: &state::Registry) -> Registry {
    Registry { address: held.address.clone(), username: held.username.clone() }
}

fn known_as(typed: &str) -> Result<String, Refusal> {
    let fault =
        |why| Refusal::invalid(vec![FieldError { field: "address".into(), message: format!("`{typed}` {why}") }]);
    registry::address(typed).map_err(fault)
}
