//! How health may be checked: times and counts within limits, a check that can reach the container, a line that is HTTP.

use std::ops::RangeInclusive;

use remuda_api::health::{HealthCheck, HealthCommand, Strategy, limits, request_line};
use remuda_api::spec::{NetworkMode, REPLICAS_MAX, ServiceSpec};

use super::service::{At, check_string};
use super::{Faults, shown};

/// Where Rancher's balancer answered the check of its own health: the dataplane stands for it, and nothing is asked.
const BALANCER_CHECK_PORT: u16 = 42;

pub(super) fn check(service: &ServiceSpec, at: &At, faults: &mut Faults) {
    if let Some(check) = &service.health_check {
        if service.balancer.is_some() && check.port != BALANCER_CHECK_PORT {
            let why =
                "is no port of a balancer's own: only its check on port 42 is answered, check the targets instead";
            faults.add(at("health_check.port"), format!("{} {why}", check.port));
        }
        from_outside(check, service.network_mode, &|field| at(&format!("health_check.{field}")), faults);
    }
    if let Some(command) = &service.healthcheck {
        from_inside(command, &|field| at(&format!("healthcheck.{field}")), faults);
    }
    if service.drain_timeout_ms > limits::DRAIN_MAX_MS {
        let message = format!("{} ms; at most {} (an hour)", service.drain_timeout_ms, limits::DRAIN_MAX_MS);
        faults.add(at("drain_timeout_ms"), message);
    }
}

fn from_outside(check: &HealthCheck, mode: NetworkMode, at: &At, faults: &mut Faults) {
    if check.port == 0 {
        faults.add(at("port"), "0 is no port: 1 to 65535");
    }
    if mode == NetworkMode::None {
        let why = "other hosts cannot reach a container of network_mode `none`: use `healthcheck`, which runs inside";
        faults.add(at("port"), why);
    }
    if let Some(Err(why)) = check.request_line.as_deref().map(request_line::normal) {
        faults.add(at("request_line"), why);
    }
    for (field, value, range) in [
        ("interval_ms", check.interval_ms, limits::INTERVAL_MS),
        ("response_timeout_ms", check.response_timeout_ms, limits::TIMEOUT_MS),
        ("initializing_timeout_ms", check.initializing_timeout_ms, limits::INITIALIZING_MS),
        ("reinitializing_timeout_ms", check.reinitializing_timeout_ms, limits::INITIALIZING_MS),
    ] {
        within(value, range, "ms", &at(field), faults);
    }
    within(check.healthy_threshold, limits::THRESHOLD, "passes", &at("healthy_threshold"), faults);
    within(check.unhealthy_threshold, limits::THRESHOLD, "failures", &at("unhealthy_threshold"), faults);
    if let Strategy::RecreateOnQuorum { quorum } = check.strategy {
        within(quorum, 1..=REPLICAS_MAX, "containers", &at("strategy.quorum"), faults);
    }
}

fn from_inside(command: &HealthCommand, at: &At, faults: &mut Faults) {
    if command.argv.first().is_none_or(String::is_empty) {
        faults.add(at("argv"), "names no program: [\"/bin/sh\", \"-c\", LINE] runs a line of shell");
    }
    if command.argv.len() > limits::ARGV_MAX {
        faults.add(at("argv"), format!("{} arguments; at most {}", command.argv.len(), limits::ARGV_MAX));
    }
    for (index, word) in command.argv.iter().enumerate().take(limits::ARGV_MAX) {
        check_string(&at(&format!("argv[{index}]")), word, faults);
    }
    for (field, value, range) in [
        ("interval_ms", command.interval_ms, limits::INTERVAL_MS),
        ("timeout_ms", command.timeout_ms, limits::TIMEOUT_MS),
        ("start_period_ms", command.start_period_ms, limits::START_PERIOD_MS),
        ("start_interval_ms", command.start_interval_ms, limits::INTERVAL_MS),
    ] {
        within(value, range, "ms", &at(field), faults);
    }
    within(command.retries, limits::THRESHOLD, "failures", &at("retries"), faults);
}

fn within<T: PartialOrd + std::fmt::Display>(
    value: T,
    range: RangeInclusive<T>,
    unit: &str,
    field: &str,
    faults: &mut Faults,
) {
    if !range.contains(&value) {
        faults.add(field, format!("{} {unit}; from {} to {}", shown(&value.to_string()), range.start(), range.end()));
    }
}

#[cfg(test)]
mod tests {
    use remuda_api::health::{HealthCheck, HealthCommand, Strategy};
    use remuda_api::spec::{NetworkMode, ServiceSpec};

    use super::super::Faults;
    use super::super::service::At;

    /// The fields that are refused, in order.
    fn refused(service: &ServiceSpec) -> Vec<String> {
        let mut faults = Faults::default();
        let at: &At = &|field| format!("services.web.{field}");
        super::check(service, at, &mut faults);
        faults.list.into_iter().map(|fault| fault.field.replace("services.web.", "")).collect()
    }

    fn checked(check: HealthCheck) -> ServiceSpec {
        ServiceSpec { health_check: Some(check), ..ServiceSpec::default() }
    }

    fn commanded(command: HealthCommand) -> ServiceSpec {
        ServiceSpec { healthcheck: Some(command), ..ServiceSpec::default() }
    }

    #[test]
    fn defaults_are_accepted() {
        assert_eq!(refused(&ServiceSpec::default()), [""; 0]);
        let check = HealthCheck { port: 80, ..HealthCheck::default() };
        assert_eq!(refused(&checked(check.clone())), [""; 0]);
        let on_host = ServiceSpec { network_mode: NetworkMode::Host, ..checked(check) };
        assert_eq!(refused(&on_host), [""; 0]);
        assert_eq!(refused(&commanded(HealthCommand::new(vec!["true".into()]))), [""; 0]);
    }

    #[test]
    fn every_field_of_a_check_has_its_limits() {
        let zero = HealthCheck {
            port: 0,
            request_line: Some("GET / HTTP/1.0\r\nHost: x".into()),
            interval_ms: 0,
            response_timeout_ms: 0,
            healthy_threshold: 0,
            unhealthy_threshold: 0,
            initializing_timeout_ms: 0,
            reinitializing_timeout_ms: 0,
            strategy: Strategy::RecreateOnQuorum { quorum: 0 },
        };
        let fields = [
            "port",
            "request_line",
            "interval_ms",
            "response_timeout_ms",
            "initializing_timeout_ms",
            "reinitializing_timeout_ms",
            "healthy_threshold",
            "unhealthy_threshold",
            "strategy.quorum",
        ];
        let fields = fields.map(|field| format!("health_check.{field}"));
        assert_eq!(refused(&checked(zero)), fields);
        let huge = HealthCheck {
            port: 80,
            request_line: None,
            interval_ms: u64::MAX,
            response_timeout_ms: u64::MAX,
            healthy_threshold: u32::MAX,
            unhealthy_threshold: u32::MAX,
            initializing_timeout_ms: u64::MAX,
            reinitializing_timeout_ms: u64::MAX,
            strategy: Strategy::RecreateOnQuorum { quorum: u32::MAX },
        };
        assert_eq!(refused(&checked(huge)), fields[2..]);
    }

    #[test]
    fn every_field_of_a_command_has_its_limits() {
        let zero = HealthCommand {
            interval_ms: 0,
            timeout_ms: 0,
            retries: 0,
            start_interval_ms: 0,
            ..HealthCommand::new(vec![])
        };
        let fields = ["argv", "interval_ms", "timeout_ms", "start_interval_ms", "retries"];
        assert_eq!(refused(&commanded(zero)), fields.map(|field| format!("healthcheck.{field}")));
        let long = HealthCommand { start_period_ms: u64::MAX, ..HealthCommand::new(vec!["a\0b".into()]) };
        assert_eq!(refused(&commanded(long)), ["healthcheck.argv[0]", "healthcheck.start_period_ms"]);
    }

    #[test]
    fn what_nobody_can_reach_is_not_checked_from_outside() {
        let check = HealthCheck { port: 80, ..HealthCheck::default() };
        let service = ServiceSpec { network_mode: NetworkMode::None, ..checked(check) };
        assert_eq!(refused(&service), ["health_check.port"]);
    }

    #[test]
    fn a_drain_ends_within_an_hour() {
        let service = ServiceSpec { drain_timeout_ms: 3_600_001, ..ServiceSpec::default() };
        assert_eq!(refused(&service), ["drain_timeout_ms"]);
    }
}
