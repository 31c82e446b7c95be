//! Who may use `/v1`: holders of an API key. A host's certificate opens nothing here.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{StatusCode, header};

use super::Refusal;
use crate::fleet::Fleet;
use crate::pki::token;

/// Who asks, with every request that has a key.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Name of the key.
    pub key: String,
    pub host_access: bool,
}

impl Caller {
    /// Refuses who has no power over hosts.
    pub fn require_host_access(&self, what: &str) -> Result<(), Refusal> {
        let why = || format!("{what} gives power over hosts, and key `{}` has no host access", self.key);
        if self.host_access { Ok(()) } else { Err(Refusal::new(StatusCode::FORBIDDEN, why())) }
    }
}

/// Passes requests with a key on.
pub async fn require_key(
    State(fleet): State<Arc<Fleet>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some(key) = given.and_then(bearer) else {
        let why = "needs `Authorization: Bearer KEY`; the server's first key is in admin.key of its data directory";
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, why));
    };
    // Looked up by digest: how long that takes says nothing about any key.
    let Some(held) = fleet.state().keys.get(&token::digest_of(key)).cloned() else {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "this key is not known here"));
    };
    request.extensions_mut().insert(Caller { key: held.name.clone(), host_access: held.host_access });
    Ok(next.run(request).await)
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, key) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
