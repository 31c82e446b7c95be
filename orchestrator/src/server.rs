//! `remuda server`: opens the data directory, takes the port, serves until told to stop.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use ipnetwork::Ipv4Network;
use rand::RngCore;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::clock::now_ms;
use crate::fleet::{ChangeError, Fleet};
use crate::pki::{self, Ca, token};
use crate::state::{ApiKey, FleetRecord, State, Token};
use crate::store::redb::RedbStore;
use crate::watchdog::Watchdog;
use crate::{alloc, detector, http, link, listen};

/// The first admin key, in the data directory.
pub const ADMIN_KEY_FILE: &str = "admin.key";
pub(crate) const STORE_FILE: &str = "state.redb";
/// The token printed at start: long enough to paste a line on the hosts of a first fleet.
const START_TOKEN_USES: u32 = 100;
const START_TOKEN_TTL: Duration = Duration::from_secs(15 * 60);
/// A VIP pool of four addresses serves two services; an overlay or VIP pool is a /8 at most.
const VIP_POOL_PREFIX_MAX: u8 = 30;
const POOL_PREFIX_MIN: u8 = 8;
/// A host is not found control-lost sooner.
const CONTROL_LOST_TIMEOUT_MIN: Duration = Duration::from_secs(5);
/// Work in progress when told to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

pub struct ServerOptions {
    pub data_dir: PathBuf,
    /// The address other hosts reach this server at; into its certificate and the printed line.
    pub advertise: Ipv4Addr,
    pub listen: SocketAddr,
    /// Used at first start; afterwards the store's own.
    pub overlay_pools: Vec<Ipv4Network>,
    pub vip_pools: Vec<Ipv4Network>,
    /// How long a host whose agent is silent keeps what runs there, as long as its kernel answers.
    pub control_lost_timeout: Duration,
    /// Told once, when the server answers.
    pub ready: Option<oneshot::Sender<Ready>>,
}

impl ServerOptions {
    /// The defaults for a server reachable at `advertise`.
    pub fn new(data_dir: PathBuf, advertise: Ipv4Addr) -> ServerOptions {
        ServerOptions {
            data_dir,
            advertise,
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            overlay_pools: vec![pool([10, 42, 0, 0])],
            vip_pools: vec![pool([10, 43, 0, 0])],
            control_lost_timeout: Duration::from_millis(detector::CONTROL_LOST_TIMEOUT_MS),
            ready: None,
        }
    }
}

fn pool(octets: [u8; 4]) -> Ipv4Network {
    Ipv4Network::new_checked(octets.into(), 16).unwrap_or_else(|| Ipv4Network::from(Ipv4Addr::from(octets)))
}

/// What a host needs to join, and people to talk to the server.
#[derive(Clone, Debug)]
pub struct Ready {
    /// `ADDR:PORT` to dial.
    pub address: String,
    pub listen: SocketAddr,
    pub token: String,
    pub ca_path: PathBuf,
    pub key_path: PathBuf,
}

/// Runs the server until SIGTERM or SIGINT; prints the start message, the join line alone on its last line.
pub async fn run(mut options: ServerOptions) -> anyhow::Result<()> {
    let ready = options.ready.take();
    let server = start(options).await?;
    println!("{}", start_message(&server.ready));
    Watchdog::of_environment().ready();
    if let Some(ready) = ready {
        // The caller may not care.
        let _ = ready.send(server.ready.clone());
    }
    stop_signal().await?;
    tracing::info!("stopping");
    server.stop().await;
    Ok(())
}

/// A server that runs in the background until stopped or dropped.
pub struct Server {
    pub ready: Ready,
    pub fleet: Arc<Fleet>,
    task: JoinHandle<()>,
}

impl Server {
    /// Ends every connection, lets the change in progress finish, closes the store.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = tokio::time::timeout(STOP_TIMEOUT, &mut self.task).await;
        let _ = tokio::time::timeout(STOP_TIMEOUT, self.fleet.close()).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Opens everything and begins to serve. Errors are one sentence that says what to do.
pub async fn start(options: ServerOptions) -> anyhow::Result<Server> {
    check_pools(&options)?;
    check_timeout(options.control_lost_timeout)?;
    create_dir(&options.data_dir)?;
    let listener = bind(options.listen).await?;
    let listen = listener.local_addr().context("the listening socket has no address")?;
    let ca = Ca::open(&options.data_dir).map_err(data_dir_error)?;
    let tls = listen::tls(&ca, options.advertise)?;
    let store = RedbStore::open(&options.data_dir.join(STORE_FILE))?;
    let address = format!("{}:{}", options.advertise, listen.port());
    let (ca_path, key_path) = (ca.path().to_owned(), options.data_dir.join(ADMIN_KEY_FILE));
    let fleet = Fleet::open(Arc::new(store), ca, address.clone(), options.control_lost_timeout).await?;
    let token = prepare(&fleet, &options, &key_path).await?;
    let app = http::router(fleet.clone()).route_service(&link_path(), link::service(fleet.clone()));
    let task = tokio::spawn(listen::serve(listener, tls, app));
    Ok(Server { ready: Ready { address, listen, token, ca_path, key_path }, fleet, task })
}

fn link_path() -> String {
    format!("/{}/{{*method}}", remuda_api::link::SERVICE)
}

fn check_pools(options: &ServerOptions) -> anyhow::Result<()> {
    let overlay = options.overlay_pools.iter().map(|pool| ("--overlay-pool", *pool, alloc::BLOCK_PREFIX));
    let vip = options.vip_pools.iter().map(|pool| ("--vip-pool", *pool, VIP_POOL_PREFIX_MAX));
    let pools: Vec<_> = overlay.chain(vip).collect();
    if options.overlay_pools.is_empty() || options.vip_pools.is_empty() {
        bail!("a fleet needs at least one --overlay-pool and one --vip-pool");
    }
    for (index, (option, pool, longest)) in pools.iter().enumerate() {
        if pool.prefix() > *longest {
            bail!("{option} {pool} is too small: /{longest} at least");
        }
        if pool.prefix() < POOL_PREFIX_MIN {
            bail!("{option} {pool} is too large: /{POOL_PREFIX_MIN} at most");
        }
        if pool.network() != pool.ip() {
            bail!("{option} {pool} has host bits: write {}/{}", pool.network(), pool.prefix());
        }
        if let Some((other_option, other, _)) = pools[..index].iter().find(|(_, other, _)| other.overlaps(*pool)) {
            bail!("{option} {pool} and {other_option} {other} overlap: an address means one thing");
        }
    }
    Ok(())
}

fn check_timeout(timeout: Duration) -> anyhow::Result<()> {
    if timeout < CONTROL_LOST_TIMEOUT_MIN {
        bail!(
            "--control-lost-timeout {timeout:?} is too short: {CONTROL_LOST_TIMEOUT_MIN:?} at least, or what runs on a \
             host moves whenever its agent restarts"
        );
    }
    Ok(())
}

fn create_dir(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let created = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    let probe = path.join(".writable");
    let written = created.and_then(|()| fs::write(&probe, b"x")).and_then(|()| fs::remove_file(&probe));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull => {
            anyhow!("{}: no space left on the device: free some and start again", path.display())
        }
        _ => {
            anyhow!("{}: {error}: the data directory must be writable; choose another with --data-dir", path.display())
        }
    })
}

async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(listen).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "port {} is taken by another process (`ss -ltnp 'sport = :{}'` names it): stop it, or choose another with --listen",
            listen.port(),
            listen.port()
        ),
        _ => anyhow!("{listen}: {error}: choose an address of this machine with --listen"),
    })
}

fn data_dir_error(error: pki::PkiError) -> anyhow::Error {
    anyhow!("{error}: restore this file from a backup, or start with an empty --data-dir")
}

/// The fleet record and the admin key at first start, and a join token at every start.
async fn prepare(fleet: &Arc<Fleet>, options: &ServerOptions, key_path: &Path) -> anyhow::Result<String> {
    let (secret, token_digest) = token::new_secret();
    let (key, key_digest) = token::new_key();
    let is_first = fleet.state().keys.is_empty();
    if is_first {
        // The file first: a key that is stored but nowhere to be read would lock everybody out.
        pki::write_secret(key_path, &format!("{key}\n")).map_err(data_dir_error)?;
    }
    let (overlay, vip) = (options.overlay_pools.clone(), options.vip_pools.clone());
    let outcome = fleet.change(move |state: &mut State, now_ms| {
        if state.fleet.overlay_pools.is_empty() {
            state.fleet = Arc::new(new_fleet(overlay, vip));
        }
        if state.fleet.gossip_key.is_empty() {
            // A store of a version without gossip.
            Arc::make_mut(&mut state.fleet).gossip_key = new_gossip_key();
        }
        if is_first {
            state
                .keys
                .insert(key_digest, Arc::new(ApiKey { name: "admin".into(), created_ms: now_ms, host_access: true }));
        }
        let expires_ms = now_ms + START_TOKEN_TTL.as_millis() as u64;
        token::add(state, token_digest, Token { uses_left: START_TOKEN_USES, expires_ms }, now_ms);
        state.record(now_ms, "server-started", "server", format!("version {}", env!("CARGO_PKG_VERSION")));
        Ok::<(), std::convert::Infallible>(())
    });
    match outcome.await {
        Ok(_) => Ok(token::format(&fleet.ca.digest(), &secret)),
        Err(ChangeError::Store(error)) => Err(error.into()),
        Err(error) => Err(anyhow!("the server's state could not be written: {error}")),
    }
}

fn new_fleet(overlay_pools: Vec<Ipv4Network>, vip_pools: Vec<Ipv4Network>) -> FleetRecord {
    let hash_seed = rand::rng().next_u64();
    FleetRecord { overlay_pools, vip_pools, hash_seed, gossip_key: new_gossip_key(), ..FleetRecord::default() }
}

/// 32 bytes in hex.
fn new_gossip_key() -> String {
    let mut key = [0u8; 32];
    rand::rng().fill_bytes(&mut key);
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The line that makes a host join.
pub fn join_command(token: &str, address: &str) -> String {
    format!("echo {token} | remuda agent --server {address} --token-file -")
}

fn start_message(ready: &Ready) -> String {
    let until = crate::clock::rfc3339(now_ms() + START_TOKEN_TTL.as_millis() as u64);
    format!(
        "remuda server {} listens on {} (API, agents: https://{})\n\
         CA certificate: {}   (REMUDA_CA)\n\
         admin key:      {}   (REMUDA_KEY_FILE)\n\
         To add a host, run this there as root (until {until}, {START_TOKEN_USES} hosts at most):\n{}",
        env!("CARGO_PKG_VERSION"),
        ready.listen,
        ready.address,
        ready.ca_path.display(),
        ready.key_path.display(),
        join_command(&ready.token, &ready.address),
    )
}

async fn stop_signal() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {},
        _ = interrupt.recv() => {},
    }
    Ok(())
}
