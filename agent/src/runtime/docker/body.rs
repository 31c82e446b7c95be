//! A [`UnitSpec`] in the engine's words: what its two containers are made of. Pure.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, HealthConfig, HostConfig, HostConfigLogConfig, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use remuda_api::engine::EngineSpec;

use super::labels::{Owner, Role, labels};
use super::mounts::{Mounts, mounts};
use crate::action::UnitSpec;

/// How much of a container's log the engine keeps: 3 x 10 MB is what a host with 200 units can spare (6 GB).
const LOG_DRIVER: &str = "json-file";
const LOG_OPTIONS: [(&str, &str); 2] = [("max-size", "10m"), ("max-file", "3")];
/// The scheduler's period, microseconds; quotas are shares of it.
const CPU_PERIOD_US: i64 = 100_000;
/// Who reads `host-gateway` in an extra host wants this host.
const HOST_GATEWAY: &str = "host-gateway";

/// The unit's own container. It joins its holder's network namespace, or has the host's or none.
pub(super) fn unit(spec: &UnitSpec, owner: &Owner) -> ContainerCreateBody {
    let engine = &spec.engine;
    let Mounts { binds, mounts } = mounts(&engine.mounts);
    let network = Network::of(spec, Role::Unit);
    let no_healthcheck = spec.has_health_command || engine.no_healthcheck;
    ContainerCreateBody {
        hostname: network.hostname,
        domainname: network.domainname,
        user: word(&spec.user),
        tty: flag(engine.tty),
        open_stdin: flag(engine.stdin_open),
        env: list(&spec.environment),
        entrypoint: list(&spec.entrypoint).or(engine.clear_entrypoint.then(Vec::new)),
        cmd: list(&spec.command).or(engine.clear_command.then(Vec::new)),
        healthcheck: no_healthcheck
            .then(|| HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() }),
        image: word(&spec.image),
        working_dir: word(&spec.working_dir),
        labels: Some(labels(spec, owner, Role::Unit)),
        stop_signal: word(&spec.stop_signal),
        stop_timeout: Some(spec.stop_grace_ms.div_ceil(1000) as i64),
        host_config: Some(HostConfig {
            binds: list(&binds),
            mounts: list(&mounts),
            network_mode: Some(network.mode),
            dns: network.dns,
            dns_search: network.dns_search,
            dns_options: network.dns_options,
            extra_hosts: network.extra_hosts,
            sysctls: network.sysctls,
            // Whether and when it is started again is for the agent to decide.
            restart_policy: Some(never_again()),
            log_config: Some(log_config(engine)),
            cap_add: list(&engine.cap_add),
            cap_drop: list(&cap_drop(engine)),
            ..with_limits(spec, with_options(engine))
        }),
        ..ContainerCreateBody::default()
    }
}

/// The container that owns the unit's network namespace, with everything that belongs to that: hostname, resolver,
/// hosts and the network's sysctls. The unit's container gets them from it.
pub(super) fn holder(spec: &UnitSpec, owner: &Owner, image: &str) -> ContainerCreateBody {
    let network = Network::of(spec, Role::Holder);
    ContainerCreateBody {
        hostname: network.hostname,
        domainname: network.domainname,
        image: Some(image.to_owned()),
        labels: Some(labels(spec, owner, Role::Holder)),
        // It heeds no other.
        stop_signal: Some("SIGKILL".into()),
        host_config: Some(HostConfig {
            network_mode: Some(network.mode),
            dns: network.dns,
            dns_search: network.dns_search,
            dns_options: network.dns_options,
            extra_hosts: network.extra_hosts,
            sysctls: network.sysctls,
            restart_policy: Some(never_again()),
            log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
            readonly_rootfs: Some(true),
            cap_drop: Some(vec!["ALL".into()]),
            // Nothing runs in it but our own program, which pauses: no filter to compile at each start.
            security_opt: Some(vec!["no-new-privileges".into(), "seccomp=unconfined".into()]),
            ipc_mode: Some("none".into()),
            userns_mode: word(&spec.engine.userns_mode),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// What a container says of its network.
struct Network {
    mode: String,
    hostname: Option<String>,
    domainname: Option<String>,
    dns: Option<Vec<String>>,
    dns_search: Option<Vec<String>>,
    dns_options: Option<Vec<String>>,
    extra_hosts: Option<Vec<String>>,
    sysctls: Option<HashMap<String, String>>,
}

impl Network {
    fn of(spec: &UnitSpec, role: Role) -> Network {
        let engine = &spec.engine;
        let is_joined = spec.network_mode == "managed" && role == Role::Unit;
        let is_of_network = |key: &str| key.starts_with("net.");
        let sysctls = pairs(&engine.sysctls).into_iter().filter(|(key, _)| match (spec.network_mode.as_str(), role) {
            ("managed", Role::Holder) => is_of_network(key),
            ("managed", Role::Unit) => !is_of_network(key),
            _ => true,
        });
        let sysctls = Some(sysctls.collect()).filter(|all: &HashMap<_, _>| !all.is_empty());
        if is_joined {
            let mode = format!("container:{}", Role::Holder.container_name(&spec.name));
            let (hostname, domainname, dns, dns_search) = (None, None, None, None);
            return Network {
                mode,
                hostname,
                domainname,
                dns,
                dns_search,
                dns_options: None,
                extra_hosts: None,
                sysctls,
            };
        }
        let is_managed = spec.network_mode == "managed";
        let fleet_dns = is_managed && engine.dns.is_empty();
        let search = if fleet_dns && engine.dns_search.is_empty() { &spec.dns_search } else { &engine.dns_search };
        // On the host's network it has the host's name, unless it asks for another.
        let has_own_name = spec.network_mode != "host" || spec.hostname != spec.name;
        Network {
            mode: if is_managed { "none".into() } else { spec.network_mode.clone() },
            hostname: word(&spec.hostname).filter(|_| has_own_name && engine.uts_mode != "host"),
            domainname: word(&engine.domainname),
            dns: if fleet_dns { Some(vec![spec.dns_ip.to_string()]) } else { list(&engine.dns) },
            dns_search: list(search),
            dns_options: list(&engine.dns_opt),
            extra_hosts: list(&extra_hosts(spec)),
            sysctls,
        }
    }
}

/// Those asked for, and the unit's own names at its own address.
fn extra_hosts(spec: &UnitSpec) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for asked in &spec.engine.extra_hosts {
        let gateway = asked.strip_suffix(HOST_GATEWAY).filter(|name| name.ends_with([':', '=']));
        hosts.push(gateway.zip(spec.host_ip).map_or_else(|| asked.clone(), |(name, ip)| format!("{name}{ip}")));
    }
    if let Some(ip) = spec.ip {
        hosts.push(format!("{}:{ip}", spec.hostname));
        hosts.extend((spec.hostname != spec.name).then(|| format!("{}:{ip}", spec.name)));
    }
    hosts
}

/// What an engine gives or takes beside limits.
fn with_options(engine: &EngineSpec) -> HostConfig {
    HostConfig {
        readonly_rootfs: flag(engine.read_only),
        init: flag(engine.init),
        privileged: flag(engine.privileged),
        // As the file says. Programs that gain rights when they begin (sudo, ping) are common in images, and Docker
        // lets them: `no-new-privileges:true` is for the file to ask for.
        security_opt: list(&engine.security_opt),
        devices: list(&engine.devices.iter().map(device).collect::<Vec<_>>()),
        device_cgroup_rules: list(&engine.device_cgroup_rules),
        group_add: list(&engine.group_add),
        pid_mode: word(&engine.pid_mode),
        ipc_mode: word(&engine.ipc_mode),
        userns_mode: word(&engine.userns_mode),
        uts_mode: word(&engine.uts_mode),
        runtime: word(&engine.oci_runtime),
        storage_opt: Some(pairs(&engine.storage_options)).filter(|all| !all.is_empty()),
        ..HostConfig::default()
    }
}

fn with_limits(spec: &UnitSpec, config: HostConfig) -> HostConfig {
    let engine = &spec.engine;
    HostConfig {
        // A quota may be more than the machine has; the engine's `NanoCpus` is refused then.
        cpu_period: number(spec.limit_cpu_milli).map(|_| CPU_PERIOD_US),
        cpu_quota: number(spec.limit_cpu_milli).map(|milli| milli.saturating_mul(CPU_PERIOD_US / 1000)),
        cpu_shares: number(engine.cpu_shares),
        cpuset_cpus: word(&engine.cpuset),
        memory: number(spec.limit_memory_bytes),
        memory_reservation: number(engine.memory_reservation_bytes),
        memory_swap: Some(engine.memory_swap_bytes).filter(|bytes| *bytes != 0),
        oom_kill_disable: flag(engine.oom_kill_disable),
        oom_score_adj: Some(i64::from(engine.oom_score_adj)).filter(|adjust| *adjust != 0),
        pids_limit: number(spec.limit_pids),
        shm_size: number(engine.shm_bytes),
        ulimits: list(&engine.ulimits.iter().map(ulimit).collect::<Vec<_>>()),
        cgroup_parent: word(&engine.cgroup_parent),
        ..config
    }
}

/// NET_RAW is not among what a container gets: with it, any program in it could forge packets of its neighbours on the
/// same host (the veth hook refuses them, but one wall is not two). Ping works without: by datagram sockets.
fn cap_drop(engine: &EngineSpec) -> Vec<String> {
    let named = |list: &[String], names: &[&str]| {
        list.iter().any(|cap| names.contains(&cap.to_ascii_uppercase().trim_start_matches("CAP_")))
    };
    let mut dropped = engine.cap_drop.clone();
    let is_asked_for = engine.privileged || named(&engine.cap_add, &["NET_RAW", "ALL"]);
    if !is_asked_for && !named(&dropped, &["NET_RAW", "ALL"]) {
        dropped.push("NET_RAW".into());
    }
    dropped
}

fn log_config(engine: &EngineSpec) -> HostConfigLogConfig {
    let mut options = pairs(&engine.log_options);
    if matches!(engine.log_driver.as_str(), "" | LOG_DRIVER) {
        for (key, value) in LOG_OPTIONS {
            options.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
    }
    let driver = word(&engine.log_driver).unwrap_or_else(|| LOG_DRIVER.into());
    HostConfigLogConfig { typ: Some(driver), config: Some(options) }
}

fn device(device: &remuda_api::engine::Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.host.clone()),
        path_in_container: word(&device.container).or(Some(device.host.clone())),
        cgroup_permissions: word(&device.permissions).or(Some("rwm".into())),
    }
}

fn ulimit(limit: &remuda_api::engine::Ulimit) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(limit.name.clone()), soft: Some(limit.soft), hard: Some(limit.hard) }
}

fn never_again() -> RestartPolicy {
    RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }
}

/// Empty means the engine's own default.
fn word(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn list<T: Clone>(items: &[T]) -> Option<Vec<T>> {
    (!items.is_empty()).then(|| items.to_vec())
}

fn flag(is_set: bool) -> Option<bool> {
    is_set.then_some(true)
}

fn number(value: u64) -> Option<i64> {
    (value > 0).then(|| i64::try_from(value).unwrap_or(i64::MAX))
}

/// `key=value` each.
fn pairs(all: &[String]) -> HashMap<String, String> {
    let pair = |text: &String| {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        (key.to_owned(), value.to_owned())
    };
    all.iter().map(pair).collect()
}

#[cfg(test)]
mod tests;
