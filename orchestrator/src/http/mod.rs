//! The REST API on 8443: one page of what there is.
//!
//! Everything under `/v1` wants `Authorization: Bearer KEY` (the content of `admin.key`, trimmed). Bodies are JSON
//! of [`remuda_api::resource`]; unknown fields are refused. Every 4xx and 5xx carries
//! `application/problem+json`, a [`remuda_api::resource::Problem`] whose `errors` lists everything wrong at once.
//! The host part of object paths is the host's name. Listings are arrays sorted by name.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /v1/version` | | `Version` |
//! | `GET /v1/stacks`, `GET /v1/stacks/{stack}` | | `[Stack]`, `Stack` (404 unknown) |
//! | `PUT /v1/stacks/{stack}` | `StackApply` | `StackApplied`; 422 with the complete list when refused |
//! | `DELETE /v1/stacks/{stack}` | | `StackApplied`: its services turn `removing`, then vanish |
//! | `GET /v1/services[?stack=]` | | `[Service]` |
//! | `GET /v1/services/{stack}/{service}` | | `Service` |
//! | `DELETE /v1/services/{stack}/{service}` | | `StackApplied`: it turns `removing`, then vanishes |
//! | `GET /v1/services/{stack}/{service}/spec` | | `ServiceSpec` as accepted, `replicas` = declared scale |
//! | `GET /v1/services/{stack}/{service}/logs?follow=&tail=` | | text, each line prefixed `name \| ` |
//! | `POST /v1/services/{stack}/{service}/start`, `…/stop` | | `StackApplied`; stopped = inactive, declaration and scale kept |
//! | `POST /v1/scale` | `Scale` | `StackApplied`; all or nothing |
//! | `GET /v1/containers[?stack=&service=&host=]` | | `[Container]` |
//! | `GET /v1/containers/{name}` | | `Container` |
//! | `GET /v1/containers/{name}/logs?follow=&tail=` | | text as the container wrote it, stdout and stderr |
//! | `GET /v1/containers/{name}/exec?argv=A&argv=B&rows=&columns=` | | WebSocket, see below |
//! | `GET /v1/containers/{name}/dns?name=&type=` | | `DnsAnswer` |
//! | `GET /v1/hosts`, `GET /v1/hosts/{name}` | | `[Host]`, `Host` |
//! | `PATCH /v1/hosts/{name}` | `HostPatch` | `Host` |
//! | `DELETE /v1/hosts/{name}[?dead=true]` | | 204; its certificate is void at once, its containers move; with `dead` 409 unless it is dead |
//! | `GET /v1/volumes[?stack=]` | | `[Volume]` |
//! | `DELETE /v1/volumes/{name}` | | 204; 409 while a container mounts it, 503 while its host is away |
//! | `GET /v1/registries`, `GET /v1/registries/{address}` | | `[Registry]`, `Registry`: never the password |
//! | `PUT /v1/registries/{address}` | `RegistryLogin` | `Registry`; told to hosts with an engine |
//! | `DELETE /v1/registries/{address}` | | 204 |
//! | `POST /v1/tokens` | `TokenCreate` | `TokenCreated` |
//! | `GET /v1/keys` | | `[ApiKey]`, without secrets |
//! | `POST /v1/keys` | `KeyCreate` | `KeyCreated`: the secret, this once |
//! | `DELETE /v1/keys/{name}` | | 204; its next request is refused; 409 for the last one with host access |
//! | `GET /v1/events?since=ID` | | `[Event]` with `id` > ID (default 0 = all kept) |
//! | `GET /v1/events?follow=true&since=ID` | | server-sent events: `id: N`, `data: Event` |
//! | `GET /v1/watch` | | server-sent events `data: {"generation":N}`: one at once, one after whatever is visible changed |
//! | `GET /openapi.json`, `/healthz`, `/readyz`, `/metrics` | | without key |
//!
//! A key without host access gets 403 for join tokens, keys and exec into what has power over its host, and 422 for a
//! stack with such a service, with the field of each use.
//!
//! A service has converged when `state` is `active` and `running == desired`; one that is being replaced after a
//! change of its spec is `updating` until every container runs the new spec. `tail=0` or none = all kept lines.
//!
//! **Exec** is a WebSocket of binary messages in both directions; the first byte names the stream, the rest is data:
//! 0 stdin · 1 stdout · 2 stderr · 3 exit code (i32, big-endian; last) · 4 resize (rows u16, columns u16,
//! big-endian) · 5 error text (last) · 6 stdin ends. `rows=0` or none = no terminal. `argv` repeats, one per
//! argument, percent-encoded.

mod auth;
mod containers;
mod events;
mod exec;
mod hosts;
mod keys;
mod logs;
mod openapi;
mod problem;
mod query;
mod registries;
mod services;
mod stacks;
mod system;
mod volumes;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post, put};

pub use openapi::document;
pub use problem::Refusal;

use crate::fleet::Fleet;

/// A stack of a thousand services fits.
pub const BODY_MAX_BYTES: usize = 4 << 20;

/// Every route of the table above.
pub fn router(fleet: Arc<Fleet>) -> Router {
    let v1 = Router::new()
        .route("/version", get(system::version))
        .route("/stacks", get(stacks::list))
        .route("/stacks/{stack}", put(stacks::apply).get(stacks::show).delete(stacks::remove))
        .route("/services", get(services::list))
        .route("/services/{stack}/{service}", get(services::show).delete(services::remove))
        .route("/services/{stack}/{service}/spec", get(services::spec))
        .route("/services/{stack}/{service}/logs", get(logs::service))
        .route("/services/{stack}/{service}/start", post(services::start))
        .route("/services/{stack}/{service}/stop", post(services::stop))
        .route("/scale", post(services::scale))
        .route("/containers", get(containers::list))
        .route("/containers/{name}", get(containers::show))
        .route("/containers/{name}/logs", get(logs::container))
        .route("/containers/{name}/exec", get(exec::open))
        .route("/containers/{name}/dns", get(containers::dns))
        .route("/hosts", get(hosts::list))
        .route("/hosts/{name}", get(hosts::show).patch(hosts::change).delete(hosts::remove))
        .route("/volumes", get(volumes::list))
        .route("/volumes/{name}", delete(volumes::remove))
        .route("/keys", get(keys::list).post(keys::create))
        .route("/keys/{name}", delete(keys::revoke))
        .route("/registries", get(registries::list))
        .route("/registries/{address}", put(registries::login).get(registries::show).delete(registries::logout))
        .route("/tokens", post(system::create_token))
        .route("/events", get(events::list))
        .route("/watch", get(events::watch))
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .layer(axum::middleware::from_fn_with_state(fleet.clone(), auth::require_key));
    Router::new()
        .nest("/v1", v1)
        .route("/openapi.json", get(openapi::serve))
        .route("/healthz", get(system::healthz))
        .route("/readyz", get(system::readyz))
        .route("/metrics", get(system::metrics))
        .fallback(problem::unknown_path)
        .method_not_allowed_fallback(problem::wrong_method)
        .with_state(fleet)
}
