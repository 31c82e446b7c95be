//! A real server on a loopback port, people with a key, and hosts that speak the real protocol over real TLS but
//! only say that they run what they are told.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

pub mod host;
pub mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use remuda_api::link::*;
use remuda_api::resource::*;
use remuda_orchestrator::{Server, ServerOptions, start};
use serde_json::{Value, json};
use tonic::Status;
use tonic::client::Grpc;
use tonic::transport::Channel;

pub use host::{Findings, Host, Mode};
pub use wire::{Identity, client, path, server_stream, unary};

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
