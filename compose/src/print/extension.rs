//! `x-remuda`: what Compose has no key for.

use remuda_api::health::{HealthCheck, Strategy};
use remuda_api::spec::{BalancerRule, Protocol, RuntimeKind, ServiceSpec, UpgradeStrategy};
use serde_json::{Value, json};

use super::words::Object;

pub(super) fn print(service: &ServiceSpec) -> Value {
    let mut printed = Object::default();
    let has_containers = service.balancer.is_none() && service.external.is_none();
    match service.runtime {
        Some(RuntimeKind::Process) => printed.put("runtime", "process"),
        Some(RuntimeKind::Docker) => printed.put("runtime", "docker"),
        // Without an image there is nothing to choose.
        None if service.image.is_none() => printed.put("runtime", "process"),
        None => {}
    }
    if let Some(check) = &service.health_check {
        printed.put("health_check", health(check));
    }
    if has_containers {
        printed.put("drain_timeout_ms", service.drain_timeout_ms);
        printed.put("start_on_create", service.start_on_create);
        printed.put("retain_ip", service.retain_ip);
    }
    if let Some(balancer) = &service.balancer {
        printed.put("lb_config", json!({"port_rules": balancer.rules.iter().map(rule).collect::<Vec<_>>()}));
    }
    if let Some(external) = &service.external {
        printed.put_some("external_ips", external.addresses.clone());
        printed.put_some("hostname", external.hostname.clone());
    }
    if let Some(strategy) = &service.upgrade_strategy {
        printed.put("upgrade_strategy", upgrade(strategy));
    }
    let metadata = service.metadata.iter().map(|(key, value)| (key.clone(), value.clone()));
    printed.put_some("metadata", metadata.collect::<serde_json::Map<_, _>>());
    printed.into()
}

fn health(check: &HealthCheck) -> Value {
    let mut printed = Object::default();
    printed.put("port", check.port);
    printed.put_some("request_line", check.request_line.clone());
    printed.put("interval", check.interval_ms);
    printed.put("response_timeout", check.response_timeout_ms);
    printed.put("healthy_threshold", check.healthy_threshold);
    printed.put("unhealthy_threshold", check.unhealthy_threshold);
    printed.put("initializing_timeout", check.initializing_timeout_ms);
    printed.put("reinitializing_timeout", check.reinitializing_timeout_ms);
    match check.strategy {
        Strategy::None => printed.put("strategy", "none"),
        Strategy::Recreate => printed.put("strategy", "recreate"),
        Strategy::RecreateOnQuorum { quorum } => {
            printed.put("strategy", "recreateOnQuorum");
            printed.put("recreate_on_quorum_strategy_config", json!({"quorum": quorum}));
        }
    }
    printed.into()
}

fn rule(rule: &BalancerRule) -> Value {
    let mut printed = Object::default();
    printed.put("source_port", rule.source_port);
    printed.put("target_port", rule.target_port);
    let service = match &rule.stack {
        Some(stack) => format!("{stack}/{}", rule.service),
        None => rule.service.clone(),
    };
    printed.put("service", service);
    let protocol = match rule.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    };
    printed.put("protocol", protocol);
    if let Some(priority) = rule.priority {
        printed.put("priority", priority);
    }
    printed.into()
}

fn upgrade(strategy: &UpgradeStrategy) -> Value {
    let mut printed = Object::default();
    if let Some(size) = strategy.batch_size {
        printed.put("batch_size", size);
    }
    if let Some(interval_ms) = strategy.interval_ms {
        printed.put("interval_millis", interval_ms);
    }
    printed.put("start_first", strategy.start_first);
    printed.into()
}
