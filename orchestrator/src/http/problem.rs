//! Refusals as RFC 9457 problem bodies, and requests read so that every fault becomes one.

use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::{HeaderValue, StatusCode, header};
use remuda_api::resource::{FieldError, Problem};
use serde::de::DeserializeOwned;

use crate::fleet::ChangeError;
use crate::orders::OrderError;
use crate::store::StoreError;

/// A body of the largest size comes through a slow line in this.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// A body larger than this is not even thrown away: the connection ends.
const BODY_DISCARDED_MAX_BYTES: usize = 64 << 20;

/// A request that is not done, and why.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
}

impl Refusal {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Refusal {
        Refusal { status, detail: detail.into(), errors: Vec::new() }
    }
    /// The body is well-formed, but not possible: everything wrong with it.
    pub fn invalid(errors: Vec<FieldError>) -> Refusal {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.field, only.message),
            many => format!("{} errors", many.len()),
        };
        Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, detail, errors }
    }
    pub fn not_found(what: &str, name: &str) -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, format!("there is no {what} `{name}`"))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = Problem {
            title: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            status: self.status.as_u16(),
            detail: self.detail,
            errors: self.errors,
        };
        let mut response = (self.status, axum::Json(problem)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Refusal {
        let status = match error {
            StoreError::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
            StoreError::Conflict { .. } => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        tracing::error!(%error, "a change could not be stored");
        Refusal::new(status, error.to_string())
    }
}

impl From<ChangeError<Refusal>> for Refusal {
    fn from(error: ChangeError<Refusal>) -> Refusal {
        match error {
            ChangeError::Refused(refusal) => refusal,
            ChangeError::Store(error) => error.into(),
            fault @ ChangeError::Fault(_) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string()),
        }
    }
}

impl From<OrderError> for Refusal {
    fn from(error: OrderError) -> Refusal {
        let status = match error {
            OrderError::NotConnected => StatusCode::SERVICE_UNAVAILABLE,
            OrderError::Busy => StatusCode::TOO_MANY_REQUESTS,
            OrderError::NoAnswer => StatusCode::GATEWAY_TIMEOUT,
        };
        Refusal::new(status, error.to_string())
    }
}

/// A JSON body; malformed, of the wrong shape, too large or of another type is a [`Refusal`].
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;
    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let is_json = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !is_json.is_some_and(|kind| kind.starts_with("application/json")) {
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json"));
        }
        let late = |_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time");
        let bytes = tokio::time::timeout(BODY_TIMEOUT, read(request.into_body())).await.map_err(late)??;
        axum::Json::<T>::from_bytes(&bytes).map(|axum::Json(value)| Body(value)).map_err(|why| body_refusal(&why))
    }
}

/// The whole body. One that is too large is read on for a while and thrown away: who is cut off in the middle of
/// sending sees a broken connection instead of the answer.
async fn read(body: axum::body::Body) -> Result<Vec<u8>, Refusal> {
    let (mut bytes, mut count) = (Vec::new(), 0);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let broken = |why: axum::Error| Refusal::new(StatusCode::BAD_REQUEST, format!("the body broke off: {why}"));
        let chunk = chunk.map_err(broken)?;
        count += chunk.len();
        if count <= super::BODY_MAX_BYTES {
            bytes.extend_from_slice(&chunk);
        } else if count > BODY_DISCARDED_MAX_BYTES {
            break;
        }
    }
    let too_large = || format!("the body is larger than {} bytes", super::BODY_MAX_BYTES);
    if count > super::BODY_MAX_BYTES {
        Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, too_large()))
    } else {
        Ok(bytes)
    }
}

fn body_refusal(rejection: &JsonRejection) -> Refusal {
    let status = rejection.status();
    let text = rejection.body_text();
    match rejection {
        JsonRejection::JsonDataError(_) => {
            // `Failed to deserialize … into the target type: PATH: MESSAGE at line …`
            let found = text.split_once("target type: ").map_or(text.as_str(), |(_, rest)| rest);
            let (field, message) = found.split_once(": ").unwrap_or(("", found));
            // Paths of a stack begin with `services` or `networks`, as those of `accept` do.
            let field = field.strip_prefix("spec.").unwrap_or(field);
            let fault = FieldError { field: field.to_owned(), message: message.to_owned() };
            Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, detail: found.to_owned(), errors: vec![fault] }
        }
        _ => Refusal::new(status, text),
    }
}

pub async fn unknown_path(request: Request) -> Refusal {
    let path = request.uri().path();
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no {path}; /openapi.json lists what there is"))
}

pub async fn wrong_method(request: Request) -> Refusal {
    let detail = format!("{} is not possible on {}", request.method(), request.uri().path());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}
