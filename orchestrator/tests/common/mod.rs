//! A real server on a loopback port, people with a key, and hosts that speak the real protocol over real TLS but
//! only say that they run what they are told.
#![allow(dead_code, reason = "each test file uses its part")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use remuda_api::assignment::Assignment;
use remuda_api::link::*;
use remuda_api::resource::*;
use remuda_orchestrator::{Server, ServerOptions, start};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

pub struct Fleet {
    pub server: Option<Server>,
    pub dir: tempfile::TempDir,
    pub api: Api,
}

impl Fleet {
    pub async fn start() -> Fleet {
        let dir = tempfile::tempdir().expect("a directory");
        let server = serve(&dir, 0).await;
        let api = Api::new(&server);
        Fleet { server: Some(server), dir, api }
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("it runs")
    }

    pub fn address(&self) -> SocketAddr {
        self.server().ready.listen
    }

    pub fn token(&self) -> String {
        self.server().ready.token.clone()
    }

    pub fn ca(&self) -> String {
        std::fs::read_to_string(&self.server().ready.ca_path).expect("the CA")
    }

    /// Ends the server and starts it again on the same port and data.
    pub async fn restart(&mut self) {
        let port = self.address().port();
        self.server.take().expect("it runs").stop().await;
        self.server = Some(serve(&self.dir, port).await);
    }

    /// Joins a host that runs what it is told.
    pub async fn host(&self, name: &str) -> Host {
        self.host_with(HostFacts {
            name: name.into(),
            underlay_ip: format!("192.0.2.{}", name[1..].parse::<u8>().expect("hN")),
            ..facts()
        })
        .await
    }

    pub async fn host_with(&self, facts: HostFacts) -> Host {
        let identity = self.join(&self.token(), facts.clone()).await.expect("joins");
        Host::run(self, identity, facts).await
    }

    pub async fn join(&self, token: &str, facts: HostFacts) -> Result<Identity, Status> {
        let key = rcgen::KeyPair::generate().expect("a key");
        let csr = csr(&key);
        let secret = token.rsplit('.').next().unwrap_or_default().to_owned();
        let request = JoinRequest { token_secret: secret, csr_pem: csr, facts: Some(facts) };
        let mut client = client(self.address(), &self.ca(), None).await.expect("TLS");
        let got: Credentials = unary(&mut client, "Join", request).await?;
        Ok(Identity { node_id: got.node_id, certificate: got.certificate_pem, key: key.serialize_pem() })
    }

    pub async fn client(&self, identity: &Identity) -> Grpc<Channel> {
        client(self.address(), &self.ca(), Some(identity)).await.expect("TLS")
    }
}

pub fn csr(key: &rcgen::KeyPair) -> String {
    let params = rcgen::CertificateParams::new(vec![]).expect("params");
    params.serialize_request(key).and_then(|csr| csr.pem()).expect("a request")
}

async fn serve(dir: &tempfile::TempDir, port: u16) -> Server {
    let mut options = ServerOptions::new(dir.path().to_owned(), Ipv4Addr::LOCALHOST);
    options.listen = SocketAddr::from(([127, 0, 0, 1], port));
    start(options).await.expect("the server starts")
}

/// What a host of 4 cores and 8 GiB says.
pub fn facts() -> HostFacts {
    HostFacts {
        name: "h1".into(),
        underlay_ip: "192.0.2.1".into(),
        frontend_ips: vec!["192.0.2.1".into()],
        uplink_mtu: 1500,
        cpu_milli: 4000,
        memory_bytes: 8 << 30,
        product_version: "0.1.0".into(),
        protocol_version: PROTOCOL_VERSION,
        wire_version: 1,
        map_abi: 1,
        runtimes: vec!["process".into()],
        ..HostFacts::default()
    }
}

#[derive(Clone)]
pub struct Identity {
    pub node_id: u32,
    pub certificate: String,
    pub key: String,
}

/// A joined host: applies every update and reports what it was told to run as running.
pub struct Host {
    pub node_id: u32,
    pub identity: Identity,
    /// What it holds; None before the first update.
    pub held: watch::Receiver<Option<Assignment>>,
    /// Full assignments and deltas received.
    pub updates: watch::Receiver<(u32, u32)>,
    pub mode: watch::Sender<Mode>,
    task: tokio::task::JoinHandle<()>,
}

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Running,
    /// Renews its lease but confirms nothing.
    Stuck,
    /// Says nothing at all.
    Silent,
}

impl Host {
    async fn run(fleet: &Fleet, identity: Identity, facts: HostFacts) -> Host {
        let (held, held_seen) = watch::channel(None);
        let (updates, updates_seen) = watch::channel((0, 0));
        let (mode, mode_seen) = watch::channel(Mode::Running);
        let node_id = identity.node_id;
        let (address, ca, own) = (fleet.address(), fleet.ca(), identity.clone());
        let task = tokio::spawn(async move {
            loop {
                if let Ok(client) = client(address, &ca, Some(&own)).await {
                    let follow = follow(client.clone(), facts.clone(), held.clone(), updates.clone());
                    let tell = tell(client, held.subscribe(), mode_seen.clone());
                    tokio::select! { () = follow => {}, () = tell => {} }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Host { node_id, identity, held: held_seen, updates: updates_seen, mode, task }
    }

    pub fn assignment(&self) -> Assignment {
        self.held.borrow().clone().expect("an assignment")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    mut client: Grpc<Channel>,
    facts: HostFacts,
    held: watch::Sender<Option<Assignment>>,
    updates: watch::Sender<(u32, u32)>,
) {
    let request = AssignRequest { held_generation: 0, facts: Some(facts) };
    let Ok(mut stream) = server_stream::<_, Update>(&mut client, "Assign", request).await else { return };
    while let Ok(Some(update)) = stream.message().await {
        match update.kind.expect("a kind we know") {
            UpdateKind::Full(full) => {
                held.send_replace(Some(full));
                updates.send_modify(|counts| counts.0 += 1);
            }
            UpdateKind::Delta(delta) => {
                held.send_modify(|held| held.as_mut().expect("full first").apply(delta).expect("it chains"));
                updates.send_modify(|counts| counts.1 += 1);
            }
        }
    }
}

async fn tell(
    mut client: Grpc<Channel>,
    mut held: watch::Receiver<Option<Assignment>>,
    mut mode: watch::Receiver<Mode>,
) {
    let (reports, stream) = mpsc::channel(4);
    let send = async {
        let mut is_first = true;
        loop {
            let now = *mode.borrow_and_update();
            let assignment = held.borrow_and_update().clone();
            let report = match (now, assignment) {
                (Mode::Silent, _) => None,
                (Mode::Stuck, _) | (_, None) => Some(Report::default()),
                (Mode::Running, Some(assignment)) => Some(report(&assignment, std::mem::take(&mut is_first))),
            };
            if let Some(report) = report
                && reports.send(report).await.is_err()
            {
                return;
            }
            tokio::select! {
                _ = held.changed() => {}
                _ = mode.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    };
    let path = path("Report");
    client.ready().await.expect("ready");
    let call = client.client_streaming(
        Request::new(ReceiverStream::new(stream)),
        path,
        tonic_prost::ProstCodec::<Report, ReportEnd>::default(),
    );
    tokio::select! { () = send => {}, _ = call => {} }
}

fn report(assignment: &Assignment, complete: bool) -> Report {
    let status = |container: &remuda_api::assignment::Container| ContainerStatus {
        name: container.name.clone(),
        state: if container.stop { "stopped".into() } else { "running".into() },
        health: "healthy".into(),
        pid: 1,
        spec_revision: container.spec_revision,
        ..ContainerStatus::default()
    };
    let containers = assignment.containers.iter().map(status).collect();
    Report { generation: assignment.generation, containers, complete, ..Report::default() }
}

pub fn path(method: &str) -> http::uri::PathAndQuery {
    format!("/{SERVICE}/{method}").parse().expect("a path")
}

pub async fn unary<Q, A>(client: &mut Grpc<Channel>, method: &str, request: Q) -> Result<A, Status>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = tonic_prost::ProstCodec::<Q, A>::default();
    Ok(client.unary(Request::new(request), path(method), codec).await?.into_inner())
}

pub async fn server_stream<Q, A>(client: &mut Grpc<Channel>, method: &str, request: Q) -> Result<Streaming<A>, Status>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = tonic_prost::ProstCodec::<Q, A>::default();
    Ok(client.server_streaming(Request::new(request), path(method), codec).await?.into_inner())
}

/// A connection that trusts this CA and shows this identity.
pub async fn client(address: SocketAddr, ca: &str, own: Option<&Identity>) -> Result<Grpc<Channel>, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("a CA")).expect("a CA");
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("they match")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let connect = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            let name = ServerName::try_from("remuda-server").expect("a name");
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://remuda-server");
    let channel = endpoint.connect_with_connector(connect).await.map_err(|error| format!("{error:?}"))?;
    Ok(Grpc::new(channel))
}

/// People.
#[derive(Clone)]
pub struct Api {
    pub client: reqwest::Client,
    pub base: String,
    pub key: String,
}

impl Api {
    pub fn new(server: &Server) -> Api {
        // Another test of this process may have done it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = std::fs::read(&server.ready.ca_path).expect("the CA");
        let ca = reqwest::Certificate::from_pem(&ca).expect("a CA");
        let key = std::fs::read_to_string(&server.ready.key_path).expect("admin.key").trim().to_owned();
        let client = reqwest::Client::builder().tls_certs_only([ca]).build().expect("a client");
        Api { client, base: format!("https://127.0.0.1:{}", server.ready.listen.port()), key }
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let method = method.parse::<http::Method>().expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    pub async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let (status, body) = self.send("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_value(body).expect("the resource")
    }

    pub async fn put_stack(&self, name: &str, services: Value) -> (u16, Value) {
        let body = json!({"spec": {"name": name, "services": services}});
        self.send("PUT", &format!("/v1/stacks/{name}"), Some(body)).await
    }

    /// A stack that must be accepted.
    pub async fn up(&self, name: &str, services: Value) -> StackApplied {
        let (status, body) = self.put_stack(name, services).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_value(body).expect("StackApplied")
    }

    pub async fn scale(&self, path: &str, replicas: u32) {
        let (status, body) = self.send("POST", "/v1/scale", Some(json!({"services": {path: replicas}}))).await;
        assert_eq!(status, 200, "{body}");
    }

    pub async fn containers(&self) -> Vec<Container> {
        self.get("/v1/containers").await
    }

    pub async fn hosts(&self) -> Vec<Host0> {
        self.get("/v1/hosts").await
    }

    /// Waits until `check` holds, at every tick of /v1/watch; answers how long that took.
    pub async fn until(&self, what: &str, mut check: impl AsyncFnMut(&Api) -> bool) -> Duration {
        let since = Instant::now();
        let mut ticks =
            self.client.get(format!("{}/v1/watch", self.base)).bearer_auth(&self.key).send().await.expect("an answer");
        let wait = async {
            while !check(self).await {
                ticks.chunk().await.expect("a tick").expect("the stream goes on");
            }
        };
        if tokio::time::timeout(Duration::from_secs(15), wait).await.is_err() {
            panic!("not within 15 s: {what}; containers: {:#?}", self.containers().await);
        }
        since.elapsed()
    }

    pub async fn until_running(&self, count: usize) -> Duration {
        let all_run = async |api: &Api| {
            let containers = api.containers().await;
            containers.len() == count && containers.iter().all(|c| c.state == ContainerState::Running)
        };
        self.until(&format!("{count} running"), all_run).await
    }

    pub async fn until_ready(&self, count: usize) -> Duration {
        self.until("hosts ready", async |api: &Api| {
            let hosts = api.hosts().await;
            hosts.iter().filter(|host| host.state == HostState::Ready).count() == count
        })
        .await
    }
}

/// The resource, beside our own `Host`.
pub type Host0 = remuda_api::resource::Host;

/// A service of `replicas` that runs a command.
pub fn web(replicas: u32) -> Value {
    json!({"command": ["sleep", "inf"], "mode": {"kind": "replicated", "replicas": replicas}})
}
