//! One agent from its first check to its last signal.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinSet;

use crate::facts::{self, Host};
use crate::health::rota::Verdicts;
use crate::health::{checks, commands, kept};
use crate::kernel::{Kernel, KernelOptions};
use crate::link::{self, Identity};
use crate::names::Names;
use crate::options::{AgentOptions, AssignmentSource};
use crate::peers::Peers;
use crate::problems::Problems;
use crate::reconcile::{Ended, Parts, Reconciler, Request, Shown};
use crate::runtime::{DockerOptions, Runtimes, docker};
use crate::source::{Assignments, file, stored};
use crate::{admin, peers, preflight, telemetry};

/// Requests come from people, one at a time.
const REQUESTS_MAX: usize = 8;

/// How long the one who asked to leave may take to read that it is done.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// What every task of the agent may see.
#[derive(Clone)]
pub struct Agent {
    pub node_id: u16,
    pub parts: Parts,
    pub shown: watch::Receiver<Arc<Shown>>,
    /// What this host's checks of other hosts' containers have found.
    pub checks: watch::Receiver<checks::Results>,
    pub requests: mpsc::Sender<Request>,
    /// Nothing is seen with a file source: there is nobody to tell.
    pub peers: Peers,
    /// None with a file source: there is nobody to tell.
    pub identity: Option<Arc<Identity>>,
    /// Told when the answer to a leave request is out.
    pub answered: Arc<Notify>,
}

/// Runs until SIGTERM or SIGINT, or until this host has left the fleet. Containers and dataplane stay when it ends;
/// the next agent with the same data directory goes on from what it finds.
///
/// Errors say what stands in the way and what to do; nothing is left behind then.
pub async fn run(options: AgentOptions) -> anyhow::Result<()> {
    preflight::machine()?;
    let uplinks = facts::uplinks(&options).map_err(anyhow::Error::msg)?;
    let _lock = preflight::data_dir(&options.data_dir)?;
    let engine = docker::engine(&options.data_dir, options.docker.as_deref()).await;
    let host = Host { options, uplinks, engine };
    let problems = Problems::default();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let work = async {
        match &host.options.source {
            AssignmentSource::File(path) => {
                let assignments = file::follow(path, problems.clone())
                    .with_context(|| format!("watch the folder of {}", path.display()))?;
                serve(&host, assignments, None, problems).await
            }
            AssignmentSource::Server { address, token_file } => {
                let identity = link::identity(&host, address, token_file.as_deref()).await?;
                let assignments = link::assignments(&host, &identity, problems.clone())?;
                serve(&host, assignments, Some(identity), problems).await
            }
        }
    };
    tokio::select! {
        result = work => result,
        _ = terminated.recv() => {
            tracing::info!("told to stop: containers and dataplane stay");
            Ok(())
        }
        _ = interrupted.recv() => {
            tracing::info!("interrupted: containers and dataplane stay");
            Ok(())
        }
    }
}

/// What hosts that follow a file call their fleet: there is nothing else they share.
const FILE_FLEET: &str = "file";

/// Everything after the source is known: kernel, runtimes, names, the loop, and who may watch it.
async fn serve(
    host: &Host,
    mut assignments: Assignments,
    identity: Option<Arc<Identity>>,
    problems: Problems,
) -> anyhow::Result<()> {
    let options = &host.options;
    let admin = admin::listen(&options.data_dir).context("open the admin socket")?;
    let node_id = match &identity {
        Some(identity) => identity.node_id(),
        None => first_node_id(&mut assignments).await?,
    };
    let (verdicts, health) = watch::channel(kept::load(&options.data_dir));
    let fleet = identity.as_ref().map_or_else(|| FILE_FLEET.to_owned(), |identity| identity.fleet());
    let parts = parts(host, (fleet, node_id), problems, health).await?;
    let (results, checks) = watch::channel(checks::Results::new());
    let (requests, asked) = mpsc::channel(REQUESTS_MAX);
    let (reconciler, shown) = Reconciler::new(parts.clone(), node_id, assignments, asked);
    let peers = identity.as_ref().map_or_else(Peers::default, |identity| Peers::new(identity.is_back()));
    let agent =
        Agent { node_id, parts, shown, checks, requests, peers, identity: identity.clone(), answered: Arc::default() };
    let mut tasks = JoinSet::new();
    tasks.spawn(checks::run(agent.shown.clone(), results));
    let runtimes = agent.parts.runtimes.clone();
    tasks.spawn(commands::run(agent.shown.clone(), runtimes, options.data_dir.clone(), verdicts));
    watch_and_work(host, agent, reconciler, admin, identity, tasks).await;
    Ok(())
}

async fn parts(
    host: &Host,
    (fleet, node_id): (String, u16),
    problems: Problems,
    health: watch::Receiver<Verdicts>,
) -> anyhow::Result<Parts> {
    let Host { options, uplinks, engine } = host;
    let kernel = KernelOptions { node_id, uplinks: uplinks.names.clone(), data_dir: options.data_dir.clone() };
    let kernel = Kernel::open(kernel).await.context("open the dataplane")?;
    let docker = engine.clone().map(|engine| DockerOptions {
        engine,
        fleet,
        node_id,
        host: options.name.clone(),
        problems: problems.clone(),
    });
    let runtimes = Runtimes::open(&options.data_dir, docker).await.context("find this host's containers")?;
    let host_ips = uplinks.frontend_ips.iter().map(|ip| IpAddr::V4(*ip)).collect();
    Ok(Parts {
        kernel: Arc::new(Mutex::new(Some(kernel))),
        runtimes: Arc::new(runtimes),
        names: Arc::new(Mutex::new(Names::new(host_ips))),
        problems,
        uplinks: uplinks.names.clone(),
        health,
    })
}

/// With a file source, the first good file says who this host is.
async fn first_node_id(assignments: &mut Assignments) -> anyhow::Result<u16> {
    let held = assignments.wait_for(Option::is_some).await.context("the assignment file is not followed any more")?;
    let node_id = held.as_ref().map_or(0, |held| held.assignment.node_id);
    Ok(u16::try_from(node_id)?)
}

/// Ends when the loop does: it has left the fleet. All other tasks end with it.
async fn watch_and_work(
    host: &Host,
    agent: Agent,
    reconciler: Reconciler,
    admin: UnixListener,
    identity: Option<Arc<Identity>>,
    mut tasks: JoinSet<()>,
) {
    tasks.spawn(admin::serve(admin, agent.clone()));
    tasks.spawn(telemetry::serve(agent.clone()));
    if let Some(identity) = identity.clone() {
        link::spawn(&mut tasks, host, identity, &agent);
        peers::spawn(&mut tasks, &agent);
    }
    let (node_id, name) = (agent.node_id, &host.options.name);
    tracing::info!("agent of host {name} (node {node_id}) at {}", host.uplinks.underlay_ip);
    let answered = agent.answered.clone();
    drop(agent);
    let ended = tokio::spawn(reconciler.run()).await;
    if ended.inspect_err(|error| tracing::error!("the loop ended: {error}")).is_ok_and(|ended| ended == Ended::Left) {
        let _ = tokio::time::timeout(ANSWER_MAX, answered.notified()).await;
        forget(&host.options, identity.as_deref());
    }
}

/// After leaving, the data directory holds no assignment, no identity and no socket any more.
fn forget(options: &AgentOptions, identity: Option<&Identity>) {
    let forgotten = stored::forget(&options.data_dir)
        .and_then(|()| kept::forget(&options.data_dir))
        .and_then(|()| identity.map_or(Ok(()), Identity::forget));
    if let Err(error) = forgotten {
        tracing::warn!("{}: {error}; remove it by hand", options.data_dir.display());
    }
    let _ = std::fs::remove_file(options.data_dir.join(admin::SOCKET));
    tracing::info!("this host has left the fleet");
}

impl Agent {
    /// Every dataplane counter and drop reason by name.
    pub async fn counters(&self) -> Result<Vec<(String, u64)>, String> {
        let kernel = self.parts.kernel.lock().await;
        let kernel = kernel.as_ref().ok_or("this host has left the fleet")?;
        kernel.counters().map_err(|error| error.to_string())
    }
}
