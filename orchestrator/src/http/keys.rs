//! `/v1/keys`: who may use this API. A change here needs host access: a key could otherwise give itself more.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use http::StatusCode;
use remuda_api::names;
use remuda_api::resource::{ApiKey, FieldError, KeyCreate, KeyCreated, Problem};

use super::Refusal;
use super::auth::Caller;
use super::problem::Body;
use crate::clock::rfc3339;
use crate::fleet::Fleet;
use crate::pki::token;
use crate::state;

/// API keys of one fleet.
const KEYS_MAX: usize = 1_000;

/// All keys by name, without their secrets.
#[utoipa::path(get, path = "/v1/keys", tag = "keys", responses((status = 200, body = [ApiKey])))]
pub async fn list(State(fleet): State<Arc<Fleet>>) -> Json<Vec<ApiKey>> {
    let state = fleet.state();
    let shown = |held: &Arc<state::ApiKey>| ApiKey {
        name: held.name.clone(),
        host_access: held.host_access,
        created: rfc3339(held.created_ms),
    };
    let mut keys: Vec<ApiKey> = state.keys.values().map(shown).collect();
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    Json(keys)
}

/// A new key; its secret is shown this once.
#[utoipa::path(post, path = "/v1/keys", tag = "keys", request_body = KeyCreate,
    responses((status = 200, body = KeyCreated), (status = 403, body = Problem), (status = 422, body = Problem)))]
pub async fn create(
    State(fleet): State<Arc<Fleet>>,
    Extension(caller): Extension<Caller>,
    Body(wish): Body<KeyCreate>,
) -> Result<Json<KeyCreated>, Refusal> {
    caller.require_host_access("making keys")?;
    let KeyCreate { name, host_access } = wish;
    let (key, digest) = token::new_key();
    let answer = KeyCreated { name: name.clone(), host_access, key };
    let outcome = fleet.change(move |state, now_ms| {
        check(state, &name)?;
        let right = if host_access { "with" } else { "without" };
        state.record(now_ms, "key-created", name.clone(), format!("{right} host access, by {}", caller.key));
        state.keys.insert(digest, Arc::new(state::ApiKey { name, created_ms: now_ms, host_access }));
        Ok::<_, Refusal>(())
    });
    outcome.await?;
    Ok(Json(answer))
}

fn check(state: &state::State, name: &str) -> Result<(), Refusal> {
    let fault = |message: String| Err(Refusal::invalid(vec![FieldError { field: "name".into(), message }]));
    if let Err(why) = names::check_label(name) {
        return fault(why.to_string());
    }
    if state.keys.values().any(|held| held.name == name) {
        return fault(format!("there is a key `{name}` already: `remuda key rm {name}` revokes it"));
    }
    if state.keys.len() >= KEYS_MAX {
        return fault(format!("there are {KEYS_MAX} keys already: revoke one first"));
    }
    Ok(())
}

/// Revokes a key: its next request is refused. The last one with host access stays, or nobody could make another.
#[utoipa::path(delete, path = "/v1/keys/{name}", tag = "keys", params(("name" = String, Path,)),
    responses((status = 204), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn revoke(
    State(fleet): State<Arc<Fleet>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    caller.require_host_access("revoking keys")?;
    let outcome = fleet.change(move |state, now_ms| {
        let found = state.keys.iter().find(|(_, held)| held.name == name);
        let (digest, held) = found.ok_or_else(|| Refusal::not_found("key", &name))?;
        let others = state.keys.values().filter(|other| other.host_access && other.name != name).count();
        if held.host_access && others == 0 {
            let why =
                format!("`{name}` is the last key with host access: make another one first (`remuda key create NAME`)");
            return Err(Refusal::new(StatusCode::CONFLICT, why));
        }
        let digest = digest.clone();
        state.keys.remove(&digest);
        state.record(now_ms, "key-revoked", name, format!("by {}", caller.key));
        Ok(())
    });
    outcome.await?;
    Ok(StatusCode::NO_CONTENT)
}
