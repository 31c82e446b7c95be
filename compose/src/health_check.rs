//! `x-remuda: {health_check: …}`: how other hosts look at a container, in rancher-compose's words.

use remuda_api::health::{HealthCheck, Strategy, limits, request_line};
use remuda_api::spec::REPLICAS_MAX;

use crate::field::Field;
use crate::keys;
use crate::report::Report;
use crate::value::Value;

/// A strategy by its name, before its quorum is known.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    None,
    Recreate,
    RecreateOnQuorum,
}

const STRATEGIES: &[(&str, Kind)] =
    &[("none", Kind::None), ("recreate", Kind::Recreate), ("recreateOnQuorum", Kind::RecreateOnQuorum)];

/// The check; None when it has been reported as wrong.
pub(crate) fn read(field: &Field, report: &mut Report) -> Option<HealthCheck> {
    let mut check = HealthCheck::default();
    let entries = keys::acted(field, &keys::HEALTH_CHECK, report);
    for entry in &entries {
        read_key(entry, &mut check, report);
    }
    let find = |key: &str| entries.iter().find(|entry| entry.key() == key);
    check.strategy = read_strategy(field, find("strategy"), find("recreate_on_quorum_strategy_config"), report)?;
    if find("port").is_none() {
        if let Value::Map(_) | Value::Null = field.node.value {
            field.problem_at_key("has no `port:`: say which port of the container is checked", report);
        }
        return None;
    }
    (check.port != 0).then_some(check)
}

fn read_key(entry: &Field, check: &mut HealthCheck, report: &mut Report) {
    let threshold = u64::from(*limits::THRESHOLD.start())..=u64::from(*limits::THRESHOLD.end());
    let (slot, range_ms) = match entry.key() {
        "interval" => (&mut check.interval_ms, limits::INTERVAL_MS),
        "response_timeout" => (&mut check.response_timeout_ms, limits::TIMEOUT_MS),
        "initializing_timeout" => (&mut check.initializing_timeout_ms, limits::INITIALIZING_MS),
        "reinitializing_timeout" => (&mut check.reinitializing_timeout_ms, limits::INITIALIZING_MS),
        "healthy_threshold" | "unhealthy_threshold" => {
            let count = entry.integer(threshold, report).and_then(|count| u32::try_from(count).ok());
            let slot = match entry.key() {
                "healthy_threshold" => &mut check.healthy_threshold,
                _ => &mut check.unhealthy_threshold,
            };
            *slot = count.unwrap_or(*slot);
            return;
        }
        "port" => {
            let port = entry.number("a port of the container, a whole number", 1..=65_535, report);
            check.port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
            return;
        }
        "request_line" => {
            check.request_line = read_request_line(entry, report);
            return;
        }
        // A label that nothing refers to; Rancher's own tools wrote it.
        "name" => {
            entry.line("a name", report);
            return;
        }
        _ => return,
    };
    *slot = entry.number("milliseconds, a whole number", range_ms, report).unwrap_or(*slot);
}

/// Empty = a connection that opens is enough, as Rancher has it.
fn read_request_line(entry: &Field, report: &mut Report) -> Option<String> {
    if matches!(entry.node.value, Value::Null) {
        return None;
    }
    let text = entry.text("a request line such as `GET /ping HTTP/1.0`", report)?;
    if text.is_empty() {
        return None;
    }
    let line = request_line::normal(text);
    line.map_err(|why| entry.problem(format!("{}: {why}", crate::problem::shown(text)), report)).ok()
}

fn read_strategy(
    field: &Field,
    strategy: Option<&Field>,
    config: Option<&Field>,
    report: &mut Report,
) -> Option<Strategy> {
    let kind = match strategy {
        Some(strategy) => strategy.choice(STRATEGIES, report)?,
        None => Kind::Recreate,
    };
    if let (Some(config), Kind::None | Kind::Recreate) = (config, kind) {
        let message = "goes with `strategy: recreateOnQuorum` only: change the strategy or remove this";
        config.problem_at_key(message, report);
        return None;
    }
    match kind {
        Kind::None => Some(Strategy::None),
        Kind::Recreate => Some(Strategy::Recreate),
        Kind::RecreateOnQuorum => {
            let Some(config) = config else {
                let message = "needs `recreate_on_quorum_strategy_config: {quorum: N}`: how many must be healthy";
                strategy.unwrap_or(field).problem(message, report);
                return None;
            };
            let quorum = read_quorum(config, report)?;
            Some(Strategy::RecreateOnQuorum { quorum })
        }
    }
}

fn read_quorum(config: &Field, report: &mut Report) -> Option<u32> {
    let entries = keys::acted(config, &keys::QUORUM, report);
    let Some(entry) = entries.iter().find(|entry| entry.key() == "quorum") else {
        if let Value::Map(_) | Value::Null = config.node.value {
            config.problem_at_key("has no `quorum:`: say how many must be healthy", report);
        }
        return None;
    };
    let quorum = entry.number("how many must be healthy, a whole number", 1..=u64::from(REPLICAS_MAX), report)?;
    u32::try_from(quorum).ok()
}
