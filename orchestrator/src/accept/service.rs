//! One service by itself: ranges, modes, constraints.

use remuda_api::names;
use remuda_api::spec::{
    Constraint, EndpointMode, NetworkMode, REPLICAS_MAX, Resources, ServiceMode, ServiceSpec, StackSpec,
};

use super::{Faults, engine, health, shown, too_many};
use crate::publish::DEFAULT_NETWORK;

/// A reservation above these fits no machine; larger numbers are mistakes of unit.
const CPU_MAX_MILLI: u64 = 1_000_000;
const MEMORY_MAX_BYTES: u64 = 1 << 50;
/// A stop, or a wait before a start, that takes longer than a day is a mistake of unit.
const DAY_MS: u64 = 86_400_000;
/// Arguments and environment of a process share what execve takes (128 KiB per string, 2 MiB in all).
const STRING_MAX_BYTES: usize = 128 << 10;
const SIGNALS: [&str; 12] = [
    "SIGTERM", "SIGINT", "SIGQUIT", "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGABRT", "SIGALRM",
    "SIGCONT", "SIGPIPE",
];

pub(super) fn check(name: &str, service: &ServiceSpec, stack: &StackSpec, faults: &mut Faults) {
    let at = |field: &str| format!("services.{}.{field}", shown(name));
    if let ServiceMode::Replicated { replicas: Some(replicas) } = service.mode
        && replicas > REPLICAS_MAX
    {
        faults.add(at("mode.replicas"), too_many(replicas));
    }
    strings(service, &at, faults);
    networks(service, stack, &at, faults);
    resources(&service.resources, &at, faults);
    health::check(service, &at, faults);
    engine::check(&service.engine, &at, faults);
    for (index, rule) in service.constraints.iter().enumerate() {
        constraint(rule, &at(&format!("constraints[{index}]")), faults);
    }
    if service.stop_grace_ms > DAY_MS {
        faults.add(at("stop_grace_ms"), format!("{} ms is more than a day", service.stop_grace_ms));
    }
    let limits = service.restart_limits;
    let times = [("restart_limits.delay_ms", limits.delay_ms), ("restart_limits.window_ms", limits.window_ms)];
    for (field, ms) in times.into_iter().filter_map(|(field, ms)| Some((field, ms?))).filter(|(_, ms)| *ms > DAY_MS) {
        faults.add(at(field), format!("{ms} ms is more than a day"));
    }
    if let Some(signal) = &service.stop_signal
        && !is_signal(signal)
    {
        faults.add(at("stop_signal"), format!("`{}` is no signal: SIGTERM, SIGINT, SIGQUIT, …", shown(signal)));
    }
}

/// The path of a field of the service.
pub(super) type At<'a> = dyn Fn(&str) -> String + 'a;

fn strings(service: &ServiceSpec, at: &At, faults: &mut Faults) {
    let words = service.command.iter().chain(&service.entrypoint).flatten().map(|word| ("command", word));
    let single = [
        ("image", &service.image),
        ("user", &service.user),
        ("working_dir", &service.working_dir),
        ("hostname", &service.hostname),
    ];
    let single = single.into_iter().filter_map(|(field, value)| value.as_ref().map(|value| (field, value)));
    let pairs = [("environment", &service.environment), ("labels", &service.labels)];
    for (field, value) in words.chain(single) {
        check_string(&at(field), value, faults);
    }
    for (field, (key, value)) in pairs.iter().flat_map(|(field, map)| map.iter().map(move |pair| (field, pair))) {
        let path = format!("{}.{}", at(field), shown(key));
        if key.is_empty() || key.contains('=') {
            faults.add(&path, "a key has at least one character and no `=`");
        }
        check_string(&path, key, faults);
        check_string(&path, value, faults);
    }
}

pub(super) fn check_string(path: &str, value: &str, faults: &mut Faults) {
    if value.contains('\0') {
        faults.add(path, "holds a NUL byte");
    }
    if value.len() > STRING_MAX_BYTES {
        faults.add(path, format!("{} bytes; at most {STRING_MAX_BYTES}", value.len()));
    }
}

fn networks(service: &ServiceSpec, stack: &StackSpec, at: &At, faults: &mut Faults) {
    for (name, how) in &service.networks {
        let field = at(&format!("networks.{}", shown(name)));
        if name != DEFAULT_NETWORK && !stack.networks.contains_key(name) {
            faults.add(&field, "there is no such network in this stack: add it under `networks:`");
        }
        for alias in &how.aliases {
            if let Err(why) = names::check_label(alias) {
                faults.add(format!("{field}.aliases"), format!("`{}` {why}", shown(alias)));
            }
        }
    }
    if service.network_mode != NetworkMode::Managed && !service.networks.is_empty() {
        faults.add(at("networks"), "go with network_mode `managed` only: leave out one of the two");
    }
    if service.network_mode == NetworkMode::None {
        if service.ports.iter().any(|port| port.published.is_some()) {
            faults.add(at("ports"), "nothing can be published with network_mode `none`: it has loopback only");
        }
        if service.endpoint_mode == EndpointMode::Vip {
            faults.add(at("endpoint_mode"), "`vip` needs an address, network_mode `none` gives none");
        }
    }
}

fn resources(resources: &Resources, at: &At, faults: &mut Faults) {
    let caps = [
        ("reserve_cpu_milli", resources.reserve_cpu_milli, CPU_MAX_MILLI),
        ("limit_cpu_milli", resources.limit_cpu_milli, CPU_MAX_MILLI),
        ("reserve_memory_bytes", resources.reserve_memory_bytes, MEMORY_MAX_BYTES),
        ("limit_memory_bytes", resources.limit_memory_bytes, MEMORY_MAX_BYTES),
    ];
    for (field, value, cap) in caps.iter().filter(|(_, value, cap)| value > cap) {
        faults.add(at(&format!("resources.{field}")), format!("{value} is more than any machine has (at most {cap})"));
    }
    let pairs = [
        ("cpu", resources.reserve_cpu_milli, resources.limit_cpu_milli),
        ("memory", resources.reserve_memory_bytes, resources.limit_memory_bytes),
    ];
    for (what, reserved, limit) in pairs.iter().filter(|(_, reserved, limit)| *limit != 0 && reserved > limit) {
        faults.add(at("resources"), format!("{what}: reserves {reserved}, but may use only {limit}"));
    }
}

fn constraint(rule: &Constraint, field: &str, faults: &mut Faults) {
    let is_known = match rule.key.strip_prefix("node.labels.") {
        Some(label) => !label.is_empty(),
        None => ["node.hostname", "node.id"].contains(&rule.key.as_str()),
    };
    if !is_known {
        let known = "node.hostname, node.id and node.labels.<key>";
        faults.add(field, format!("`{}` is not known: constraints are about {known}", shown(&rule.key)));
    }
}

fn is_signal(signal: &str) -> bool {
    let full = if signal.starts_with("SIG") { signal.to_owned() } else { format!("SIG{signal}") };
    SIGNALS.contains(&full.as_str()) || signal.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number))
}
