//! Who this host is in the fleet: its key, its certificate and its number; joined once, renewed for life.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use remuda_api::link::{Credentials, HostFacts, JoinRequest, LeaveRequest, RenewRequest};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

use super::token::Token;
use super::{Client, Patience, tls, words};
use crate::durable;
use crate::options::AgentOptions;
use crate::problems::Problems;
use crate::reconcile::now_ms;

const KEY_FILE: &str = "agent.key";
const CERTIFICATE_FILE: &str = "agent.crt";
const CA_FILE: &str = "agent-ca.crt";
const NODE_FILE: &str = "agent.node";

/// How long joining waits for a server that does not answer.
const JOIN_PATIENCE: Duration = Duration::from_secs(30);
/// A host that leaves waits no longer than this for the orchestrator's word.
const FAREWELL_MAX: Duration = Duration::from_secs(3);
/// How long one connection attempt may take, handshakes included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the server may take to answer a SYN. The kernel repeats a lost one after 1 s and then 2 s; trying anew
/// instead keeps a host whose link is back from waiting for that.
const SYN_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection over which nothing comes back for interval + timeout is given up and made anew.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// A full assignment of a large fleet; 64 MB would be some 200,000 containers.
const MESSAGE_MAX_BYTES: usize = 64 << 20;
/// How often the clock is compared with the certificate: also a host that slept renews soon.
const LIFE_CHECK_INTERVAL: Duration = Duration::from_secs(30);
const CLOCK_AHEAD: &str =
    "this host's clock is many hours ahead of the server's: a certificate just given is already due; set the clock";

/// A certificate that is due again as soon as it came (clocks that disagree by most of its life) is renewed no more often.
const RENEWED_PAUSE: Duration = Duration::from_secs(10);

/// A joined host. Connections made after a renewal use the new certificate.
#[derive(Debug)]
pub struct Identity {
    data_dir: PathBuf,
    server: String,
    node_id: u16,
    keys: Arc<Keys>,
    channel: Mutex<Channel>,
    is_back: Arc<Notify>,
}

/// What proves who we are and who they are.
struct Keys {
    key_pem: String,
    ca_digest: [u8; 32],
    certificate_pem: Mutex<String>,
}

/// Sends the token's secret to a server that has proved to own the token's CA, and stores what comes back.
pub(super) async fn join(
    options: &AgentOptions,
    facts: HostFacts,
    server: &str,
    token: &Token,
) -> anyhow::Result<Identity> {
    let key = KeyPair::generate().context("make a key")?;
    let request =
        JoinRequest { token_secret: token.secret().to_owned(), csr_pem: signing_request(&key)?, facts: Some(facts) };
    let config = tls::config(token.ca_digest, None)?;
    let channel = channel(server, Arc::default(), move || Ok(config.clone()))?;
    let credentials = ask_to_join(Client::new(channel), request).await?;
    let ca = CertificateDer::from_pem_slice(credentials.ca_pem.as_bytes()).context("read the CA certificate we got")?;
    ensure!(tls::digest(&ca) == token.ca_digest, "the server gave a CA certificate that is not the token's");
    store(&options.data_dir, &key, &credentials).context("store this host's identity")?;
    tracing::info!("joined the fleet as node {}", credentials.node_id);
    Identity::load(&options.data_dir, server)?.context("the identity just stored is not there")
}

async fn ask_to_join(mut client: Client, request: JoinRequest) -> anyhow::Result<Credentials> {
    let started = tokio::time::Instant::now();
    let mut patience = Patience::default();
    loop {
        match client.join(request.clone()).await {
            Ok(credentials) => return Ok(credentials.into_inner()),
            Err(status) if is_passing(&status) && started.elapsed() < JOIN_PATIENCE => {
                tracing::info!("the server does not answer yet: {}", words(&status));
                patience.wait().await;
            }
            Err(status) => bail!("{}", words(&status)),
        }
    }
}

/// Nobody listens, or not yet: worth another try. A server that is not ours is not.
fn is_passing(status: &tonic::Status) -> bool {
    status.code() == tonic::Code::Unavailable && !words(status).contains("not the server of our fleet")
}

impl Identity {
    /// What an earlier start stored; None if this host never joined.
    pub(super) fn load(data_dir: &Path, server: &str) -> anyhow::Result<Option<Identity>> {
        let read = |file: &str| {
            let path = data_dir.join(file);
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        if !data_dir.join(NODE_FILE).exists() {
            return Ok(None);
        }
        let ca = read(CA_FILE)?;
        let ca = CertificateDer::from_pem_slice(ca.as_bytes()).context("the stored CA certificate is damaged")?;
        let keys = Arc::new(Keys {
            key_pem: read(KEY_FILE)?,
            ca_digest: tls::digest(&ca),
            certificate_pem: Mutex::new(read(CERTIFICATE_FILE)?),
        });
        let node_id = read(NODE_FILE)?.trim().parse().context("the stored node id is no number")?;
        let is_back = Arc::new(Notify::new());
        let channel = Mutex::new(keys.clone().channel(server, is_back.clone())?);
        let (data_dir, server) = (data_dir.to_owned(), server.to_owned());
        Ok(Some(Identity { data_dir, server, node_id, keys, channel, is_back }))
    }

    /// This host left: nothing of its identity stays.
    pub fn forget(&self) -> io::Result<()> {
        [NODE_FILE, CERTIFICATE_FILE, KEY_FILE, CA_FILE].iter().try_for_each(|file| {
            match std::fs::remove_file(self.data_dir.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => Ok(()),
            }
        })
    }

    /// What tells this fleet from others: the beginning of its CA's digest, in hexadecimal.
    pub fn fleet(&self) -> String {
        self.keys.ca_digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn node_id(&self) -> u16 {
        self.node_id
    }

    /// To be told when another host is heard again after silence: then the orchestrator may be there again too.
    pub(crate) fn is_back(&self) -> Arc<Notify> {
        self.is_back.clone()
    }

    /// Tells the orchestrator that this host leaves: it is forgotten there, and its certificate void.
    pub(crate) async fn say_farewell(&self) -> Result<(), String> {
        match tokio::time::timeout(FAREWELL_MAX, self.client().leave(LeaveRequest {})).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(words(&status)),
            Err(_) => Err("the server does not answer".into()),
        }
    }

    /// A client over the one connection, which is made when first used and again whenever it broke. Ask again after a
    /// failure: a renewed certificate has a new connection.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone())
            .max_decoding_message_size(MESSAGE_MAX_BYTES)
    }

    /// Renews at two thirds of the certificate's life, at once if that is over, for as long as the agent runs.
    pub(super) async fn renew_in_time(self: Arc<Self>, problems: Problems) {
        const ABOUT: &str = "certificate";
        let mut patience = Patience::default();
        loop {
            match self.renew_at_ms() {
                Ok(due_ms) if due_ms > now_ms() => {
                    let left = Duration::from_millis(due_ms - now_ms());
                    tokio::time::sleep(left.min(LIFE_CHECK_INTERVAL)).await;
                    continue;
                }
                Ok(_) => {}
                Err(error) => problems.set(ABOUT, format!("{error:#}")),
            }
            match self.renew().await {
                Ok(()) => {
                    patience.succeeded();
                    tracing::info!("certificate renewed");
                    match self.renew_at_ms() {
                        Ok(due_ms) if due_ms <= now_ms() => problems.set(ABOUT, CLOCK_AHEAD),
                        _ => problems.clear(ABOUT),
                    }
                    tokio::time::sleep(RENEWED_PAUSE).await;
                }
                Err(error) => {
                    problems.set(ABOUT, format!("renew it: {error:#}"));
                    patience.wait().await;
                }
            }
        }
    }

    async fn renew(&self) -> anyhow::Result<()> {
        let key = KeyPair::from_pem(&self.keys.key_pem).context("the stored key is damaged")?;
        let request = RenewRequest { csr_pem: signing_request(&key)? };
        // A connection of its own: an expired certificate may open this one method only.
        let mut client = Client::new(self.keys.clone().channel(&self.server, self.is_back())?);
        let answer = client.renew(request).await;
        let credentials = answer.map_err(|status| anyhow::anyhow!("{}", words(&status)))?.into_inner();
        durable::write(&self.data_dir.join(CERTIFICATE_FILE), credentials.certificate_pem.as_bytes(), 0o600)?;
        *self.keys.certificate_pem.lock().unwrap_or_else(PoisonError::into_inner) = credentials.certificate_pem;
        let channel = self.keys.clone().channel(&self.server, self.is_back())?;
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = channel;
        Ok(())
    }

    /// Unix milliseconds.
    fn renew_at_ms(&self) -> anyhow::Result<u64> {
        let pem = self.keys.certificate_pem();
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).context("the stored certificate is damaged")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).context("the certificate is damaged")?;
        let validity = parsed.validity();
        Ok(two_thirds(validity.not_before.timestamp(), validity.not_after.timestamp()) * 1000)
    }
}

impl Keys {
    fn certificate_pem(&self) -> String {
        self.certificate_pem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn channel(self: Arc<Self>, server: &str, is_back: Arc<Notify>) -> anyhow::Result<Channel> {
        channel(server, is_back, move || self.tls())
    }

    fn tls(&self) -> anyhow::Result<rustls::ClientConfig> {
        let pem = self.certificate_pem();
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).context("the stored key is damaged")?;
        Ok(tls::config(self.ca_digest, Some((chain.context("the stored certificate is damaged")?, key)))?)
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// Unix seconds at two thirds of a life.
fn two_thirds(begin_s: i64, end_s: i64) -> u64 {
    let life_s = end_s.saturating_sub(begin_s).max(0);
    u64::try_from(begin_s.saturating_add(life_s / 3 * 2)).unwrap_or(0)
}

/// The CA chooses every name, so the request carries none.
fn signing_request(key: &KeyPair) -> anyhow::Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(key).context("make a signing request")?.pem()?)
}

/// Key first, number last: an identity counts only when it is complete.
fn store(data_dir: &Path, key: &KeyPair, credentials: &Credentials) -> io::Result<()> {
    let write = |file: &str, text: &str| durable::write(&data_dir.join(file), text.as_bytes(), 0o600);
    write(KEY_FILE, &key.serialize_pem())?;
    write(CERTIFICATE_FILE, &credentials.certificate_pem)?;
    write(CA_FILE, &credentials.ca_pem)?;
    write(NODE_FILE, &format!("{}\n", credentials.node_id))
}

/// A connection to `ADDRESS:PORT` that is made when used, with the TLS configuration of that moment.
fn channel<F>(server: &str, is_back: Arc<Notify>, config: F) -> anyhow::Result<Channel>
where
    F: Fn() -> anyhow::Result<rustls::ClientConfig> + Send + Sync + 'static,
{
    let endpoint = Endpoint::try_from(format!("https://{server}"))
        .with_context(|| format!("{server} is no server address: write ADDRESS:PORT"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true);
    let (config, server) = (Arc::new(config), server.to_owned());
    let connector = service_fn(move |_| {
        let (config, server, is_back) = (config.clone(), server.clone(), is_back.clone());
        async move {
            let config = config().map_err(|error| io::Error::other(format!("{error:#}")))?;
            let stream = tokio::select! {
                stream = dial(&server) => stream?,
                () = is_back.notified() => dial(&server).await?,
            };
            stream.set_nodelay(true)?;
            let name = tls::server_name().map_err(io::Error::other)?;
            let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}

async fn dial(server: &str) -> io::Result<TcpStream> {
    let timed_out = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{server} does not answer"));
    tokio::time::timeout(SYN_TIMEOUT, TcpStream::connect(server)).await.map_err(timed_out)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_24_hours_is_renewed_after_16() {
        assert_eq!(two_thirds(1_000_000, 1_000_000 + 24 * 3600), 1_000_000 + 16 * 3600);
    }

    #[test]
    fn a_host_that_never_joined_has_no_identity() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Identity::load(folder.path(), "127.0.0.1:8443").expect("readable").is_none());
    }
}
