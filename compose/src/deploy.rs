//! `deploy`: how many, where, with which resources; and `scale`.

use remuda_api::spec::{
    Constraint, EndpointMode, REPLICAS_MAX, RestartLimits, RestartPolicy, ServiceMode, ServiceSpec,
};

use crate::field::Field;
use crate::keys;
use crate::limits::{ATTEMPTS_MAX, CPU_MAX_MILLI, MEMORY_MAX_BYTES, PIDS_MAX, RESTART_MAX_MS};
use crate::quantity;
use crate::report::Report;

const ENDPOINT_MODES: &[(&str, EndpointMode)] = &[("vip", EndpointMode::Vip), ("dnsrr", EndpointMode::List)];
const CONDITIONS: &[(&str, RestartPolicy)] =
    &[("any", RestartPolicy::Always), ("on-failure", RestartPolicy::OnFailure), ("none", RestartPolicy::Never)];
/// Longest label key or value in a constraint, bytes.
const LABEL_MAX_BYTES: usize = 255;

/// Reads everything under `deploy` but its restart policy.
pub(crate) fn read(field: &Field, service: &mut ServiceSpec, report: &mut Report) {
    let (mut is_global, mut replicas) = (false, None);
    for entry in keys::acted(field, &keys::DEPLOY, report) {
        match entry.key() {
            "mode" => is_global = read_mode(&entry, report),
            "replicas" => replicas = Some(entry),
            "endpoint_mode" => service.endpoint_mode = entry.choice(ENDPOINT_MODES, report).unwrap_or_default(),
            "resources" => read_resources(&entry, service, report),
            "placement" => read_placement(&entry, service, report),
            _ => {}
        }
    }
    if let Some(replicas) = &replicas {
        read_scale(replicas, service, report);
    }
    if is_global {
        service.mode = ServiceMode::Global;
        if let Some(replicas) = &replicas {
            replicas.problem_at_key("a global service runs once on every host: remove `replicas`", report);
        }
    }
}

/// Reads `scale` or `replicas`.
pub(crate) fn read_scale(field: &Field, service: &mut ServiceSpec, report: &mut Report) {
    if let Some(count) = field.integer(0..=u64::from(REPLICAS_MAX), report)
        && service.mode != ServiceMode::Global
    {
        service.mode = ServiceMode::Replicated { replicas: u32::try_from(count).ok() };
    }
}

/// Reads `deploy.restart_policy`; unknown keys of `deploy` have been reported by [`read`].
pub(crate) fn read_restart_policy(deploy: &Field, service: &mut ServiceSpec, report: &mut Report) {
    for policy in deploy.members().iter().filter(|entry| entry.key() == "restart_policy") {
        service.restart = RestartPolicy::Always;
        service.restart_limits = RestartLimits::default();
        for entry in keys::acted(policy, &keys::RESTART_POLICY, report) {
            let limits = &mut service.restart_limits;
            match entry.key() {
                "condition" => service.restart = entry.choice(CONDITIONS, report).unwrap_or_default(),
                "delay" => limits.delay_ms = quantity::duration_ms(&entry, 0..=RESTART_MAX_MS, report),
                "window" => limits.window_ms = quantity::duration_ms(&entry, 0..=RESTART_MAX_MS, report),
                _ => limits.max_attempts = read_attempts(&entry, report),
            }
        }
    }
}

/// How often it is tried again; None = without end, which 0 means too.
fn read_attempts(field: &Field, report: &mut Report) -> Option<u32> {
    let attempts = field.integer(0..=u64::from(ATTEMPTS_MAX), report).and_then(|attempts| u32::try_from(attempts).ok());
    attempts.filter(|attempts| *attempts > 0)
}

fn read_mode(field: &Field, report: &mut Report) -> bool {
    if let crate::value::Value::Text { text, .. } = &field.node.value
        && matches!(&**text, "replicated-job" | "global-job")
    {
        let message = "jobs do not run yet: use `replicated` or `global`, with `restart: \"no\"` to run once";
        field.problem(message, report);
        return false;
    }
    field.choice(&[("replicated", false), ("global", true)], report).unwrap_or(false)
}

fn read_resources(field: &Field, service: &mut ServiceSpec, report: &mut Report) {
    let resources = &mut service.resources;
    for part in keys::acted(field, &keys::RESOURCES, report) {
        let is_limit = part.key() == "limits";
        let table = if is_limit { &keys::LIMITS } else { &keys::RESERVATIONS };
        for entry in keys::acted(&part, table, report) {
            let slot = match (entry.key(), is_limit) {
                ("cpus", true) => &mut resources.limit_cpu_milli,
                ("cpus", false) => &mut resources.reserve_cpu_milli,
                ("memory", true) => &mut resources.limit_memory_bytes,
                ("memory", false) => &mut resources.reserve_memory_bytes,
                _ => &mut resources.limit_pids,
            };
            let amount = match entry.key() {
                "cpus" => quantity::cpu_milli(&entry, CPU_MAX_MILLI, report),
                "memory" => quantity::size_bytes(&entry, MEMORY_MAX_BYTES, report),
                _ => entry.integer(1..=PIDS_MAX, report),
            };
            *slot = amount.unwrap_or(0);
        }
    }
    for (what, limit, reserve) in [
        ("cpus", resources.limit_cpu_milli, resources.reserve_cpu_milli),
        ("memory", resources.limit_memory_bytes, resources.reserve_memory_bytes),
    ] {
        if limit > 0 && reserve > limit {
            field.problem_at_key(
                format!("reserves more {what} than the limit allows: raise one or lower the other"),
                report,
            );
        }
    }
}

fn read_placement(field: &Field, service: &mut ServiceSpec, report: &mut Report) {
    for entry in keys::acted(field, &keys::PLACEMENT, report) {
        if entry.key() == "max_replicas_per_node" {
            let most = entry.integer(0..=u64::from(REPLICAS_MAX), report).unwrap_or(0);
            service.max_replicas_per_node = u32::try_from(most).unwrap_or(REPLICAS_MAX);
            continue;
        }
        for item in entry.items("a list of constraints such as `- node.labels.zone == a`", report) {
            service.constraints.extend(read_constraint(&item, report));
        }
    }
}

/// True for what Swarm's files ask of every node and every host of a fleet is: Linux, and allowed to run anything.
fn holds_anywhere(key: &str, value: &str, equal: bool, field: &Field, report: &mut Report) -> bool {
    match (key, value, equal) {
        ("node.role", "manager" | "worker", _) => {
            let message = "hosts have no roles: `node.role` holds on every host (choose some by a label, set with `remuda host \
                           label`, and `node.labels.<key>`)";
            report.notice(field.place(), message.to_owned());
            true
        }
        ("node.platform.os", "linux", true) => true,
        ("node.platform.os", other, false) => other != "linux",
        _ => false,
    }
}

fn read_constraint(field: &Field, report: &mut Report) -> Option<Constraint> {
    let expected = "a constraint such as `node.labels.zone == a` or `node.hostname != h1`";
    let text = field.line(expected, report)?;
    let (key, value, equal) = match (text.split_once("=="), text.split_once("!=")) {
        (Some((key, value)), None) => (key.trim(), value.trim(), true),
        (None, Some((key, value))) => (key.trim(), value.trim(), false),
        _ => {
            field.expected(expected, report);
            return None;
        }
    };
    if holds_anywhere(key, value, equal, field, report) {
        return None;
    }
    let label = key.strip_prefix("node.labels.");
    if !matches!(key, "node.hostname" | "node.id") && label.is_none_or(str::is_empty) {
        let message = "hosts have no such property: expected `node.hostname`, `node.id` or `node.labels.<key>` \
                       before the operator (set a label with `remuda host label`)";
        field.problem(format!("{} is not known: {message}", crate::problem::shown(key)), report);
        return None;
    }
    if value.is_empty() || value.len() > LABEL_MAX_BYTES || key.len() > LABEL_MAX_BYTES {
        field.expected(expected, report);
        return None;
    }
    Some(Constraint { key: key.to_owned(), equal, value: value.to_owned() })
}
