//! The server itself: version, health, metrics, join tokens.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use remuda_api::link::PROTOCOL_VERSION;
use remuda_api::resource::{FieldError, Problem, TokenCreate, TokenCreated, Version};
use serde::Serialize;

use super::Refusal;
use super::auth::Caller;
use super::problem::Body;
use crate::clock::rfc3339;
use crate::fleet::Fleet;
use crate::pki::token;
use crate::server::join_command;
use crate::state::{Loss, Token};

/// The wire format and map layout this release's agents have (`abi/`).
const WIRE_FORMAT: u32 = 1;
const MAP_ABI: u32 = 1;

/// Versions of the server.
#[utoipa::path(get, path = "/v1/version", tag = "system", responses((status = 200, body = Version)))]
pub async fn version() -> Json<Version> {
    let product = env!("CARGO_PKG_VERSION").to_owned();
    Json(Version { product, protocol: PROTOCOL_VERSION, wire_format: WIRE_FORMAT, map_abi: MAP_ABI })
}

/// A new join token; shown this once.
#[utoipa::path(post, path = "/v1/tokens", tag = "system", request_body = TokenCreate,
    responses((status = 200, body = TokenCreated), (status = 422, body = Problem)))]
pub async fn create_token(
    State(fleet): State<Arc<Fleet>>,
    Extension(caller): Extension<Caller>,
    Body(wish): Body<TokenCreate>,
) -> Result<Json<TokenCreated>, Refusal> {
    caller.require_host_access("a join token")?;
    check(&wish)?;
    let (secret, digest) = token::new_secret();
    let uses = wish.uses;
    let outcome = fleet.change(move |state, now_ms| {
        let expires_ms = now_ms + wish.ttl_s * 1000;
        token::add(state, digest, Token { uses_left: uses, expires_ms }, now_ms);
        state.record(now_ms, "token-created", "fleet", format!("{uses} uses, until {}", rfc3339(expires_ms)));
        Ok::<_, Refusal>(expires_ms)
    });
    let (expires_ms, _) = outcome.await?;
    let token = token::format(&fleet.ca.digest(), &secret);
    let join_command = join_command(&token, &fleet.address);
    Ok(Json(TokenCreated { token, uses, expires: rfc3339(expires_ms), join_command }))
}

fn check(wish: &TokenCreate) -> Result<(), Refusal> {
    let in_range = |field: &str, value: u64, max: u64| {
        let message = format!("{value} is not in 1..={max}");
        (!(1..=max).contains(&value)).then(|| FieldError { field: field.to_owned(), message })
    };
    let faults: Vec<_> =
        [in_range("uses", wish.uses.into(), token::USES_MAX.into()), in_range("ttl_s", wish.ttl_s, token::TTL_MAX_S)]
            .into_iter()
            .flatten()
            .collect();
    if faults.is_empty() { Ok(()) } else { Err(Refusal::invalid(faults)) }
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "system", responses((status = 200, content_type = "text/plain")))]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// The store can be read; the port is taken only after everything is loaded, so it always is.
#[utoipa::path(get, path = "/readyz", tag = "system", responses((status = 200, content_type = "text/plain")))]
pub async fn readyz() -> (StatusCode, &'static str) {
    (StatusCode::OK, "ok\n")
}

/// Prometheus text: counts of the fleet, no names.
#[utoipa::path(get, path = "/metrics", tag = "system", responses((status = 200, content_type = "text/plain")))]
pub async fn metrics(State(fleet): State<Arc<Fleet>>) -> String {
    let state = fleet.state();
    let mut text = String::new();
    gauge(&mut text, "remuda_generation", "Revision of the store.", [(String::new(), state.revision)]);
    gauge(&mut text, "remuda_stacks", "Stacks declared.", [(String::new(), state.stacks.len() as u64)]);
    gauge(&mut text, "remuda_services", "Services declared.", [(String::new(), state.services.len() as u64)]);
    let hosts = by_word(state.nodes.keys().map(|id| word(&state.host_state(*id))));
    gauge(&mut text, "remuda_hosts", "Hosts by state.", hosts);
    let held = state.nodes.values().filter(|node| node.loss == Loss::Held).count() as u64;
    gauge(
        &mut text,
        "remuda_hosts_held",
        "Lost hosts whose containers the brake keeps in place.",
        [(String::new(), held)],
    );
    let containers = by_word(state.containers.values().map(|container| word(&container.state())));
    gauge(&mut text, "remuda_containers", "Containers by state.", containers);
    text
}

fn gauge(text: &mut String, name: &str, help: &str, values: impl IntoIterator<Item = (String, u64)>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (labels, value) in values {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

fn by_word(words: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    words.for_each(|word| *counts.entry(format!("{{state=\"{word}\"}}")).or_default() += 1);
    counts
}

fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
