//! `x-remuda`: what Compose has no key for.

use remuda_api::health::{Strategy, limits};
use remuda_api::spec::{NetworkMode, RuntimeKind, ServiceMode, ServiceSpec};

use crate::field::Field;
use crate::report::Report;
use crate::{health_check, keys};

const RUNTIMES: &[(&str, RuntimeKind)] = &[("process", RuntimeKind::Process), ("docker", RuntimeKind::Docker)];

/// Reads everything under `x-remuda` of a service.
pub(crate) fn read(field: &Field, service: &mut ServiceSpec, report: &mut Report) {
    for entry in keys::acted(field, &keys::X_REMUDA, report) {
        match entry.key() {
            "runtime" => service.runtime = entry.choice(RUNTIMES, report),
            "health_check" => service.health_check = health_check::read(&entry, report),
            "drain_timeout_ms" => {
                let timeout = entry.number("milliseconds, a whole number", 0..=limits::DRAIN_MAX_MS, report);
                service.drain_timeout_ms = timeout.unwrap_or(service.drain_timeout_ms);
            }
            _ => {}
        }
    }
}

/// What must hold between `x-remuda` and the service's other keys, once all are read.
pub(crate) fn check(field: &Field, service: &ServiceSpec, report: &mut Report) {
    let Some(health) = &service.health_check else { return };
    for entry in field.members().iter().filter(|entry| entry.key() == "health_check") {
        if service.network_mode == NetworkMode::None {
            let message = "`network_mode: none` leaves no way to check it from outside: remove one of them, or use \
                           `healthcheck:`, which runs inside";
            entry.problem_at_key(message, report);
        }
        if let (Strategy::RecreateOnQuorum { quorum }, ServiceMode::Replicated { replicas: Some(replicas) }) =
            (health.strategy, service.mode)
            && quorum >= replicas
        {
            let message = format!(
                "quorum {quorum} of {replicas} containers is never met while one of them is unhealthy: none is replaced"
            );
            report.notice(entry.key_place(), message);
        }
    }
}
