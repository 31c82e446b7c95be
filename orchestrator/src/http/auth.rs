//! Who may use `/v1`: holders of an API key. A host's certificate opens nothing here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{StatusCode, header};

use super::Refusal;
use crate::fleet::Fleet;
use crate::pki::token;

/// Passes requests with a key on.
pub async fn require_key(State(fleet): State<Arc<Fleet>>, request: Request, next: Next) -> Result<Response, Refusal> {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(key) = given.and_then(bearer) else {
        let why = "needs `Authorization: Bearer KEY`; the server's first key is in admin.key of its data directory";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, why));
    };
    // Looked up by digest: how long that takes says nothing about any key.
    if !fleet.state().keys.contains_key(&token::digest_of(key)) {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "this key is not known here"));
    }
    Ok(next.run(request).await)
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
