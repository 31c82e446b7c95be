//! `x-remuda`: what Compose has no key for.

use remuda_api::health::Strategy;
use remuda_api::spec::{NetworkMode, RuntimeKind, ServiceMode, ServiceSpec};

use crate::context::Context;
use crate::field::Field;
use crate::report::Report;
use crate::{keys, rancher};

const RUNTIMES: &[(&str, RuntimeKind)] = &[("process", RuntimeKind::Process), ("docker", RuntimeKind::Docker)];

/// Reads everything under `x-remuda` of a service.
pub(crate) fn read(field: &Field, service: &mut ServiceSpec, context: &mut Context) {
    for entry in keys::acted(field, &keys::X_REMUDA, &mut context.report) {
        match entry.key() {
            "runtime" => service.runtime = entry.choice(RUNTIMES, &mut context.report),
            _ => rancher::service::read_key(&entry, service, context),
        }
    }
}

/// What must hold between `x-remuda` and the service's other keys, once all are read.
pub(crate) fn check(field: &Field, service: &ServiceSpec, report: &mut Report) {
    for entry in field.members() {
        check_health(&entry, service, report);
    }
}

/// [`check`] for one entry, if it is `health_check`, wherever it is written.
pub(crate) fn check_health(entry: &Field, service: &ServiceSpec, report: &mut Report) {
    if let Some(health) = service.health_check.as_ref().filter(|_| entry.key() == "health_check") {
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
