//! `deploy`: how many, where, with which resources, and when they are started again.

use remuda_api::spec::{EndpointMode, RestartPolicy, ServiceMode, ServiceSpec};
use serde_json::{Map, Value, json};

use super::words::{Object, cores, duration, size};

pub(super) fn print(service: &ServiceSpec) -> Value {
    let mut printed = Object::default();
    match service.mode {
        ServiceMode::Global => printed.put("mode", "global"),
        ServiceMode::Replicated { replicas } => {
            printed.put("mode", "replicated");
            printed.put("replicas", replicas.unwrap_or(1));
        }
    }
    match service.endpoint_mode {
        EndpointMode::Inherit => {}
        EndpointMode::List => printed.put("endpoint_mode", "dnsrr"),
        EndpointMode::Vip => printed.put("endpoint_mode", "vip"),
    }
    printed.put_some("resources", resources(service));
    printed.put_some("placement", placement(service));
    printed.put("restart_policy", restart(service));
    printed.into()
}

/// All that `deploy` says of a service without containers.
pub(super) fn print_global(service: &ServiceSpec, printed: &mut Object) {
    if service.mode == ServiceMode::Global {
        printed.put("deploy", json!({"mode": "global"}));
    }
}

fn resources(service: &ServiceSpec) -> Value {
    let resources = &service.resources;
    let mut limits = Object::default();
    limits.put_some("cpus", cores(resources.limit_cpu_milli));
    limits.put_some("memory", size(resources.limit_memory_bytes));
    limits.put_some("pids", resources.limit_pids);
    let mut reservations = Object::default();
    reservations.put_some("cpus", cores(resources.reserve_cpu_milli));
    // What the engine is to keep too has a key of its own.
    if service.engine.memory_reservation_bytes == 0 {
        reservations.put_some("memory", size(resources.reserve_memory_bytes));
    }
    let mut printed = Object::default();
    printed.put_some("limits", limits);
    printed.put_some("reservations", reservations);
    printed.into()
}

fn placement(service: &ServiceSpec) -> Value {
    let constraint = |c: &remuda_api::spec::Constraint| {
        let operator = if c.equal { "==" } else { "!=" };
        Value::String(format!("{} {operator} {}", c.key, c.value))
    };
    let mut printed = Object::default();
    printed.put_some("constraints", service.constraints.iter().map(constraint).collect::<Vec<_>>());
    printed.put_some("max_replicas_per_node", service.max_replicas_per_node);
    printed.into()
}

fn restart(service: &ServiceSpec) -> Map<String, Value> {
    let condition = match service.restart {
        RestartPolicy::Always => "any",
        RestartPolicy::OnFailure => "on-failure",
        RestartPolicy::Never => "none",
    };
    let limits = &service.restart_limits;
    let mut printed = Map::from_iter([("condition".to_owned(), Value::from(condition))]);
    for (key, value) in [
        ("delay", limits.delay_ms.map(|ms| duration(ms).into())),
        ("max_attempts", limits.max_attempts.map(Value::from)),
        ("window", limits.window_ms.map(|ms| duration(ms).into())),
    ] {
        printed.extend(value.map(|value| (key.to_owned(), value)));
    }
    printed
}
