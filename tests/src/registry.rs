//! A registry of images of a test's own, on loopback, where engines accept plain HTTP: the part of the OCI distribution
//! protocol that a pull needs, with a password if it has one, and with blobs that come when the test lets them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// A blob that is held is sent up to here: far enough for a puller to say how far it is.
const HELD_BYTES: usize = 3 << 20;

/// Serves until it is dropped.
pub struct Registry {
    address: SocketAddr,
    shelf: Arc<Shelf>,
    server: JoinHandle<()>,
}

struct Shelf {
    /// `user:password`.
    password: Option<String>,
    /// By `repository:reference`.
    manifests: Mutex<BTreeMap<String, Bytes>>,
    /// By digest.
    blobs: Mutex<BTreeMap<String, Bytes>>,
    /// The rest of large blobs comes while this is so.
    is_open: watch::Sender<bool>,
    /// Names of manifests that were asked for, in order.
    asked: Mutex<Vec<String>>,
}

impl Registry {
    /// Empty; with `user:password` nobody else is let in.
    pub async fn start(password: Option<&str>) -> Result<Registry> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shelf = Arc::new(Shelf {
            password: password.map(str::to_owned),
            manifests: Mutex::default(),
            blobs: Mutex::default(),
            is_open: watch::Sender::new(true),
            asked: Mutex::default(),
        });
        let app = Router::new().route("/v2/", get(hello)).route("/v2/{*path}", get(read)).with_state(shelf.clone());
        let server = tokio::spawn(async move { drop(axum::serve(listener, app).await) });
        Ok(Registry { address, shelf, server })
    }

    /// `127.0.0.1:PORT`: the first part of its images' names.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Puts an image of one layer there; returns its full name.
    pub fn put(&self, repository: &str, tag: &str, layer: Vec<u8>) -> Result<String> {
        let config = serde_json::to_vec(&json!({
            "architecture": match std::env::consts::ARCH { "x86_64" => "amd64", "aarch64" => "arm64", other => other },
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        }))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": digest(&config), "size": config.len()},
            "layers": [{"mediaType": LAYER, "digest": digest(&layer), "size": layer.len()}],
        }))?;
        for blob in [config, layer] {
            locked(&self.shelf.blobs).insert(digest(&blob), blob.into());
        }
        for reference in [tag.to_owned(), digest(&manifest)] {
            locked(&self.shelf.manifests).insert(format!("{repository}:{reference}"), manifest.clone().into());
        }
        Ok(format!("{}/{repository}:{tag}", self.address))
    }

    /// From now on large blobs stop in their middle.
    pub fn hold(&self) {
        self.shelf.is_open.send_replace(false);
    }

    /// What was held goes on.
    pub fn let_go(&self) {
        self.shelf.is_open.send_replace(true);
    }

    /// How often any manifest was asked for by somebody who was let in.
    pub fn asked(&self) -> usize {
        locked(&self.shelf.asked).len()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn hello(State(shelf): State<Arc<Shelf>>, headers: HeaderMap) -> Response {
    shelf.refusal(&headers).unwrap_or_else(|| "{}".into_response())
}

async fn read(State(shelf): State<Arc<Shelf>>, Path(path): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refusal) = shelf.refusal(&headers) {
        return refusal;
    }
    let found = match (path.split_once("/manifests/"), path.split_once("/blobs/")) {
        (Some((repository, reference)), _) => shelf.manifest(repository, reference),
        (_, Some((_, digest))) => shelf.blob(digest),
        _ => None,
    };
    found.unwrap_or_else(|| refused(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown"))
}

impl Shelf {
    fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        let wanted = format!("Basic {}", STANDARD.encode(self.password.as_ref()?));
        let has_it = headers.get(header::AUTHORIZATION).is_some_and(|said| said.as_bytes() == wanted.as_bytes());
        let mut refusal = refused(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
        refusal
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic realm=\"test\""));
        (!has_it).then_some(refusal)
    }

    fn manifest(&self, repository: &str, reference: &str) -> Option<Response> {
        let name = format!("{repository}:{reference}");
        let manifest = locked(&self.manifests).get(&name)?.clone();
        locked(&self.asked).push(name);
        let digest = digest(&manifest);
        let headers = [(header::CONTENT_TYPE, MANIFEST), (HeaderName::from_static("docker-content-digest"), &digest)];
        Some((headers, manifest).into_response())
    }

    /// The length is told at once, the rest of a large one when it may come.
    fn blob(&self, digest: &str) -> Option<Response> {
        let blob = locked(&self.blobs).get(digest)?.clone();
        let (first, rest) = (blob.slice(..blob.len().min(HELD_BYTES)), blob.slice(blob.len().min(HELD_BYTES)..));
        let mut is_open = self.is_open.subscribe();
        let parts = async_parts(first, async move {
            // A connection is held up by an answer that does not end, also if it is complete.
            if !rest.is_empty() {
                let _ = is_open.wait_for(|is_open| *is_open).await;
            }
            rest
        });
        Some(([(header::CONTENT_LENGTH, blob.len())], Body::from_stream(parts)).into_response())
    }
}

fn async_parts(
    first: Bytes,
    rest: impl Future<Output = Bytes> + Send + 'static,
) -> impl futures::Stream<Item = Result<Bytes>> + Send + 'static {
    use futures::{FutureExt, StreamExt, future, stream};
    stream::once(future::ready(first)).chain(rest.into_stream()).map(Ok)
}

fn refused(status: StatusCode, code: &str, message: &str) -> Response {
    (status, json!({"errors": [{"code": code, "message": message}]}).to_string()).into_response()
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
