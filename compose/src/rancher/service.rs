//! A service's own keys in Rancher's words, from `rancher-compose.yml` or `x-remuda`: [`read`], [`read_key`].

use remuda_api::health::limits;
use remuda_api::spec::{REPLICAS_MAX, ServiceMode, ServiceSpec, UpgradeStrategy};

use super::image::{self, Kind};
use super::{balancer, external, keys, metadata, refusal};
use crate::context::Context;
use crate::field::Field;
use crate::limits::CPU_MAX_MILLI;
use crate::problem::shown;
use crate::report::Report;
use crate::{extension, health_check, service};

/// Longest pause between two batches of an upgrade, milliseconds: a day.
const UPGRADE_INTERVAL_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// Reads what the Rancher file says about `service`; where `x-remuda` of the Compose file says the same, this wins.
pub(crate) fn read(overlay: &Field, compose: &Field, service: &mut ServiceSpec, context: &mut Context) {
    let extension = compose.node.get("x-remuda");
    for entry in overlay.members().iter().filter(|entry| keys::SERVICE.find(entry.key()).is_some()) {
        if extension.is_some_and(|extension| extension.get(entry.key()).is_some()) {
            let message = format!("{} of the Compose file's `x-remuda` gives way to this", shown(entry.key()));
            context.report.notice(entry.key_place(), message);
        }
        read_key(entry, service, context);
        extension::check_health(entry, service, &mut context.report);
    }
}

/// Reads one key of [`keys::SERVICE`].
pub(crate) fn read_key(entry: &Field, service: &mut ServiceSpec, context: &mut Context) {
    let report = &mut context.report;
    match entry.key() {
        "scale" => read_scale(entry, service, report),
        "start_on_create" => service.start_on_create = entry.boolean(report).unwrap_or(true),
        "retain_ip" => service.retain_ip = entry.boolean(report).unwrap_or(false),
        "health_check" => service.health_check = health_check::read(entry, report),
        "lb_config" => balancer::read(entry, service, context),
        "external_ips" => external::read_addresses(entry, service, report),
        "hostname" if is_external(service) => external::read_hostname(entry, service, report),
        "hostname" => service.hostname = service::read_hostname(entry, report),
        "metadata" => service.metadata = metadata::read(entry, report),
        "upgrade_strategy" => service.upgrade_strategy = Some(read_upgrade(entry, report)),
        "drain_timeout_ms" => {
            let timeout = entry.number("milliseconds, a whole number", 0..=limits::DRAIN_MAX_MS, report);
            service.drain_timeout_ms = timeout.unwrap_or(service.drain_timeout_ms);
        }
        "milli_cpu_reservation" => {
            let milli = entry.number("thousandths of a core, a whole number", 0..=CPU_MAX_MILLI, report);
            service.resources.reserve_cpu_milli = milli.unwrap_or(0);
        }
        _ => {
            refusal::tell(entry, report);
        }
    }
}

fn is_external(service: &ServiceSpec) -> bool {
    service.image.as_deref().is_some_and(|image| image::kind(image) == Kind::External)
}

fn read_scale(entry: &Field, service: &mut ServiceSpec, report: &mut Report) {
    let Some(count) = entry.integer(0..=u64::from(REPLICAS_MAX), report) else {
        return;
    };
    if service.mode != ServiceMode::Global {
        service.mode = ServiceMode::Replicated { replicas: u32::try_from(count).ok() };
    } else if count > 1 {
        let message = "counts for nothing: a global service runs once on every host".to_owned();
        report.notice(entry.key_place(), message);
    }
}

fn read_upgrade(field: &Field, report: &mut Report) -> UpgradeStrategy {
    let mut strategy = UpgradeStrategy::default();
    for entry in crate::keys::acted(field, &keys::UPGRADE_STRATEGY, report) {
        match entry.key() {
            "batch_size" => {
                let count = entry.number("how many at once, a whole number", 1..=u64::from(REPLICAS_MAX), report);
                strategy.batch_size = count.and_then(|count| u32::try_from(count).ok());
            }
            "interval_millis" => {
                let what = "milliseconds, a whole number";
                strategy.interval_ms = entry.number(what, 0..=UPGRADE_INTERVAL_MAX_MS, report);
            }
            _ => strategy.start_first = entry.boolean(report).unwrap_or(false),
        }
    }
    strategy
}
