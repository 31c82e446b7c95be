//! `/metrics`, `/healthz` and `/readyz`: text over HTTP/1.1, on the loopback address.

use std::convert::Infallible;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::Ordering;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use remuda_abi::addr::METRICS_PORT;
use tokio::net::TcpListener;

use crate::admin::rss_bytes;
use crate::agent::Agent;
use crate::peers::Counts;

/// Serves until the agent ends. A taken port is a problem that is named, not the end of the agent.
pub async fn serve(agent: Agent) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, METRICS_PORT));
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            let what = format!("listen on {address}: {error}; metrics are not served until the agent is restarted");
            return agent.parts.problems.set("metrics", what);
        }
    };
    while let Ok((stream, _)) = listener.accept().await {
        let agent = agent.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, agent.clone()));
            let mut http = hyper::server::conn::http1::Builder::new();
            let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, agent: Agent) -> Result<Response<String>, Infallible> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, metrics(&agent).await),
        "/healthz" => (StatusCode::OK, "ok\n".to_owned()),
        "/readyz" => ready(&agent),
        _ => (StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    Ok(response)
}

/// Ready: everything this host was told is done.
fn ready(agent: &Agent) -> (StatusCode, String) {
    let shown = agent.shown.borrow();
    let is_ready = shown.desired.is_some() && shown.generation == shown.wanted_generation;
    let text = format!("generation {} of {}\n", shown.generation, shown.wanted_generation);
    (if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
}

/// Prometheus text format 0.0.4.
async fn metrics(agent: &Agent) -> String {
    let shown = agent.shown.borrow().clone();
    let mut text = String::new();
    let problems = agent.parts.problems.lines().len();
    for (name, kind, help, value) in [
        ("remuda_generation", "gauge", "Last generation whose every step is done.", shown.generation),
        ("remuda_wanted_generation", "gauge", "Generation this host was told.", shown.wanted_generation),
        ("remuda_problems", "gauge", "Things that are wrong now.", problems as u64),
        ("remuda_containers", "gauge", "Containers on this host.", shown.containers.len() as u64),
        ("remuda_agent_resident_bytes", "gauge", "Memory of the agent.", rss_bytes()),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    text.push_str("# HELP remuda_dataplane_total Packets and events by counter or drop reason.\n");
    text.push_str("# TYPE remuda_dataplane_total counter\n");
    for (name, value) in agent.counters().await.unwrap_or_default() {
        let _ = writeln!(text, "remuda_dataplane_total{{counter=\"{name}\"}} {value}");
    }
    peers(agent.peers.counts(), &mut text);
    if let Some(stats) = agent.parts.names.lock().await.stats() {
        names(&stats, &mut text);
    }
    text
}

fn peers(counts: &Counts, text: &mut String) {
    for (name, help, counter) in [
        ("remuda_gossip_sent_total", "Sealed datagrams sent to other agents.", &counts.sent),
        ("remuda_gossip_received_total", "Sealed datagrams of other agents that were believed.", &counts.received),
        ("remuda_peer_probes_sent_total", "Echo requests to other hosts' endpoints.", &counts.probes_sent),
        ("remuda_peer_probes_answered_total", "Echo requests answered in time.", &counts.probes_answered),
    ] {
        let value = counter.load(Ordering::Relaxed);
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}");
    }
    text.push_str("# HELP remuda_gossip_dropped_total Gossip datagrams that were not believed, by reason.\n");
    text.push_str("# TYPE remuda_gossip_dropped_total counter\n");
    for (refusal, count) in counts.drops() {
        let _ = writeln!(text, "remuda_gossip_dropped_total{{reason=\"{}\"}} {count}", refusal.name());
    }
}

fn names(stats: &remuda_dns::Stats, text: &mut String) {
    let mut last = "";
    for (metric, (label, value), count) in stats.rows() {
        if metric != last {
            let _ = writeln!(text, "# TYPE remuda_{metric} counter");
            last = metric;
        }
        let _ = writeln!(text, "remuda_{metric}{{{label}=\"{value}\"}} {count}");
    }
}
