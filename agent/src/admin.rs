//! The admin socket: one JSON object per line in, one per line out; for root on this host, tests and `remuda leave`.
//!
//! `{"do": "status"}`, `counters`, `desired`, `observed`, `plan`, `assignment`, `leave`. An answer has `error` if
//! there is nothing else to say.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use remuda_api::assignment::Assignment;
use remuda_api::link::{CheckOutcome, CheckResult, PeerSeen};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

use crate::agent::Agent;
use crate::reconcile::Request;

/// Inside the data directory.
pub const SOCKET: &str = "admin.sock";
/// A request is a few words.
const REQUEST_MAX_BYTES: u64 = 4096;

/// Asks a running agent; `socket` is `DATA_DIR/admin.sock`. Errors if no agent listens or it hangs up.
pub async fn ask(socket: &Path, what: &str) -> io::Result<Value> {
    let (read, mut write) = UnixStream::connect(socket).await?.into_split();
    write.write_all(format!("{}\n", json!({ "do": what })).as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await?;
    serde_json::from_str(&line).map_err(io::Error::other)
}

/// Opens the socket, 0600, in place of one left by an agent before.
pub fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let path = data_dir.join(SOCKET);
    let beside = data_dir.join("admin.sock.new");
    let _ = std::fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside)?;
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&beside, &path)?;
    Ok(listener)
}

/// Answers until the agent ends.
pub async fn serve(listener: UnixListener, agent: Agent) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(session(stream, agent.clone()))),
            Err(error) => {
                tracing::warn!("admin socket: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn session(stream: UnixStream, agent: Agent) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = String::new();
        if (&mut read).take(REQUEST_MAX_BYTES).read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let answer = answer(&line, &agent).await;
        write.write_all(format!("{answer}\n").as_bytes()).await?;
        if answer.get("left").is_some() {
            agent.answered.notify_one();
        }
    }
}

async fn answer(line: &str, agent: &Agent) -> Value {
    let request: Value = match serde_json::from_str(line) {
        Ok(request) => request,
        Err(error) => return json!({ "error": format!("no JSON: {error}") }),
    };
    let shown = agent.shown.borrow().clone();
    match request["do"].as_str() {
        Some("status") => json!({
            "node_id": agent.node_id,
            "generation": shown.generation,
            "wanted_generation": shown.wanted_generation,
            "synced": shown.synced,
            "problems": agent.parts.problems.lines(),
            "plan": shown.plan,
            "containers": shown.containers,
            "peers": agent.peers.ages().iter().map(peer).collect::<Vec<_>>(),
            "checks": agent.checks.borrow().values().map(check).collect::<Vec<_>>(),
            "rss_bytes": rss_bytes(),
        }),
        Some("counters") => counters(agent).await,
        Some("desired") => json!({ "desired": format!("{:#?}", shown.desired) }),
        Some("observed") => json!({ "observed": format!("{:#?}", shown.observed) }),
        Some("plan") => json!({ "plan": shown.plan }),
        Some("assignment") => json!({ "assignment": shown.assignment.as_deref().map(without_passwords) }),
        Some("leave") => leave(agent).await,
        _ => json!({ "error": "say one of status, counters, desired, observed, plan, assignment, leave" }),
    }
}

fn peer(seen: &PeerSeen) -> Value {
    json!({ "node_id": seen.node_id, "gossip_ms": seen.gossip_ms, "probe_ms": seen.probe_ms })
}

fn check(found: &CheckResult) -> Value {
    let outcome = match found.outcome() {
        CheckOutcome::Unknown => "unknown",
        CheckOutcome::Passing => "passing",
        CheckOutcome::Failing => "failing",
    };
    json!({ "endpoint_id": found.endpoint_id, "outcome": outcome, "reason": found.reason })
}

/// Credentials for registries are shown nowhere, not even to root of this host.
fn without_passwords(assignment: &Assignment) -> Assignment {
    let mut shown = assignment.clone();
    let registries = shown.environment.iter_mut().flat_map(|environment| &mut environment.registries);
    registries.for_each(|registry| registry.password.clear());
    shown
}

async fn counters(agent: &Agent) -> Value {
    match agent.counters().await {
        Ok(counters) => json!({ "counters": counters.into_iter().collect::<std::collections::BTreeMap<_, _>>() }),
        Err(error) => json!({ "error": error }),
    }
}

/// The orchestrator hears of it first, so that nothing new is placed here; an unreachable one keeps nobody.
async fn leave(agent: &Agent) -> Value {
    let untold = match &agent.identity {
        Some(identity) => identity.say_farewell().await.err(),
        None => None,
    };
    let (reply, left) = oneshot::channel();
    if agent.requests.send(Request::Leave(reply)).await.is_err() {
        return json!({ "error": "the agent is ending" });
    }
    match left.await {
        Ok(Ok(())) => json!({ "left": true, "untold": untold }),
        Ok(Err(error)) => json!({ "error": error }),
        Err(_) => json!({ "error": "the agent ended before it had left" }),
    }
}

/// Resident memory of this process (proc(5), `statm`, in pages).
pub(crate) fn rss_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096) as u64
}
