//! What this host runs.

use std::collections::BTreeMap;

use remuda_api::assignment::{Assignment, Container};
use remuda_api::names::ZONE;
use remuda_api::spec::RestartLimits;

use super::check::{Checker, Record};
use super::checks;
use super::{DesiredUnit, Restart};
use crate::action::{HostConfig, Plug, UnitSpec};

/// What a unit that says nothing is told to stop with.
const STOP_SIGNAL: &str = "SIGTERM";

pub(super) fn units(assignment: &Assignment, host: &HostConfig, check: &mut Checker) -> BTreeMap<String, DesiredUnit> {
    let environment = assignment.environment.as_ref().map_or("", |environment| &environment.name);
    let units = assignment.containers.iter().map(|container| {
        let mut at = check.record(format!("container {}", container.name));
        (container.name.clone(), unit(container, environment, host, &mut at))
    });
    units.collect()
}

fn unit(container: &Container, environment: &str, host: &HostConfig, at: &mut Record) -> DesiredUnit {
    at.label("name", &container.name);
    let modes = [("managed", true), ("host", false), ("none", false)];
    let is_managed = at.word("network_mode", &container.network_mode, &modes, false);
    let ip = is_managed.then(|| at.ip("ip", &container.ip));
    let plug = ip.map(|ip| Plug {
        name: container.name.clone(),
        endpoint_id: at.endpoint_id("endpoint_id", container.endpoint_id),
        ip,
        mtu: host.endpoint_mtu,
        no_egress: container.internal || host.no_egress,
    });
    if let Some(command) = &container.health_command {
        checks::command(command, at);
    }
    let restarts = [("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];
    DesiredUnit {
        plug,
        stop: container.stop,
        stop_signal: stop_signal(container),
        grace_ms: container.stop_grace_ms,
        drain_ms: container.drain_ms,
        restart: at.word("restart", or_else(&container.restart, "always").as_str(), &restarts, Restart::Always),
        limits: RestartLimits {
            delay_ms: container.restart_delay_ms,
            max_attempts: container.restart_max_attempts,
            window_ms: container.restart_window_ms,
        },
        health_command: container.health_command.clone(),
        spec: UnitSpec {
            name: container.name.clone(),
            spec_revision: container.spec_revision,
            runtime: runtime(container, at),
            image: container.image.clone(),
            entrypoint: container.entrypoint.clone(),
            command: container.command.clone(),
            environment: container.environment.clone(),
            user: container.user.clone(),
            working_dir: container.working_dir.clone(),
            hostname: or_else(&container.hostname, &container.name),
            network_mode: container.network_mode.clone(),
            ip,
            host_ip: (container.network_mode != "none").then_some(host.overlay_ip),
            dns_ip: host.dns_ip,
            dns_search: search(environment, &container.stack),
            limit_cpu_milli: container.limit_cpu_milli,
            limit_memory_bytes: container.limit_memory_bytes,
            limit_pids: container.limit_pids,
            labels: container.labels.clone(),
            stack: container.stack.clone(),
            service: container.service.clone(),
            engine: container.engine.clone().unwrap_or_default(),
            stop_signal: container.stop_signal.clone(),
            stop_grace_ms: container.stop_grace_ms,
            has_health_command: container.health_command.is_some(),
        },
    }
}

/// An image may have one of its own, which its engine knows.
fn stop_signal(container: &Container) -> String {
    let otherwise = if container.runtime == "docker" { "" } else { STOP_SIGNAL };
    or_else(&container.stop_signal, otherwise)
}

fn runtime(container: &Container, at: &mut Record) -> String {
    at.word("runtime", &container.runtime, &[("process", ()), ("docker", ())], ());
    let runs_nothing = container.entrypoint.is_empty() && container.command.is_empty();
    if container.runtime == "process" && runs_nothing {
        at.problem("command", "is empty: runtime `process` runs programs of the host, so name one");
    }
    if let Some(bad) = container.environment.iter().find(|pair| !pair.contains('=')) {
        at.problem("environment", format!("holds {bad:?}: write KEY=value"));
    }
    container.runtime.clone()
}

/// Own stack first, then the environment, so that `web` and `web.shop` both lead somewhere.
fn search(environment: &str, stack: &str) -> Vec<String> {
    vec![format!("{stack}.{environment}.{ZONE}").to_lowercase(), format!("{environment}.{ZONE}").to_lowercase()]
}

fn or_else(text: &str, otherwise: &str) -> String {
    if text.is_empty() { otherwise } else { text }.to_owned()
}
