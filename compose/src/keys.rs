//! Every key Compose knows, and which of them we act on: [`acted`] sorts the entries of a map by it.
//!
//! Derived by hand from the published JSON schema; `schema_test` compares the two wherever the schema is at hand. Keys we
//! act on come first in each table.

use crate::field::Field;
use crate::limits::SHOWN_MAX_CHARS;
use crate::problem::shown;
use crate::rancher::keys as rancher;
use crate::report::Report;

/// The entries of map `field` that are acted on. Reports unknown keys, and once per key those left for later, whose own
/// keys are checked all the same. `x-…` is anybody's and passed over.
pub(crate) fn acted<'a>(field: &'a Field<'_>, table: &'static Table, report: &mut Report) -> Vec<Field<'a>> {
    let mut entries = field.entries(table.expected, report);
    entries.retain(|entry| match table.find(entry.key()) {
        Some(key) if key.is_acted => true,
        Some(key) => {
            let consequence = consequence(key.name);
            report.notice(entry.key_place(), format!("`{}` is understood, not acted on yet{consequence}", key.name));
            check_inner(entry, key.inner, report);
            false
        }
        None if entry.key().starts_with("x-") => false,
        None => {
            unknown(entry, table, report);
            false
        }
    });
    entries
}

/// The keys one kind of map may have.
#[derive(Debug)]
pub(crate) struct Table {
    /// What to say when something else stands there: "expected …".
    pub expected: &'static str,
    pub keys: &'static [Key],
}

#[derive(Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    pub is_acted: bool,
    pub inner: Inner,
    /// Not in the published schema: older than it (Compose v1, v2) or newer.
    #[cfg_attr(not(test), expect(dead_code, reason = "only the comparison with the schema asks"))]
    pub is_outside_schema: bool,
}

/// What stands under a key, where that has keys of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inner {
    Leaf,
    Map(&'static Table),
    /// A list whose maps have these keys.
    List(&'static Table),
    /// A map from names to maps with these keys.
    Named(&'static Table),
}
use Inner::{Leaf, List, Map, Named};

impl Table {
    pub(crate) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// What leaving a key for later means, where that is not plain.
fn consequence(key: &str) -> &'static str {
    match key {
        "profiles" => ": the service runs whatever its profiles",
        "extends" | "include" => ": nothing is taken over from there",
        "build" => ": the image must exist",
        "name" => ": the stack has the name given with `-s`, a port none",
        "volumes" => ": nothing is mounted, data goes with the container",
        "secrets" | "configs" => ": nothing is mounted",
        "privileged" | "cap_add" | "devices" => ": nothing is granted",
        _ => "",
    }
}

/// Reports unknown keys below a key that is left for later.
fn check_inner(field: &Field, inner: Inner, report: &mut Report) {
    use crate::value::Value::{List as Items, Map as Entries};
    match (inner, &field.node.value) {
        (Map(table), Entries(_)) => check_table(field, table, report),
        (List(table), Items(_)) => {
            for item in field.items("", report) {
                check_inner(&item, Map(table), report);
            }
        }
        (Named(table), Entries(_)) => {
            for entry in field.members() {
                check_inner(&entry, Map(table), report);
            }
        }
        _ => {}
    }
}

fn check_table(field: &Field, table: &'static Table, report: &mut Report) {
    for entry in field.entries(table.expected, report) {
        match table.find(entry.key()) {
            Some(key) => check_inner(&entry, key.inner, report),
            None if entry.key().starts_with("x-") => {}
            None => unknown(&entry, table, report),
        }
    }
}

fn unknown(entry: &Field, table: &Table, report: &mut Report) {
    let advice = match report.is_full() {
        true => String::new(),
        false => advice(entry.key(), table),
    };
    entry.problem_at_key(format!("unknown key {}: {advice}", shown(entry.key())), report);
}

pub(crate) fn advice(key: &str, table: &Table) -> String {
    if std::ptr::eq(table, &SERVICE_V1) && SERVICE.find(key).is_some() {
        return "Compose 1 files have no such key: put the services under a top-level `services:`".to_owned();
    }
    if let Some(place) = elsewhere(key, table) {
        return format!("it belongs under `{place}:`");
    }
    match nearest(key, table.keys.iter().map(|key| key.name)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => "remove it, or begin it with `x-` to keep it as a note".to_owned(),
    }
}

/// Where a key belongs that someone wrote a level too high.
fn elsewhere(key: &str, table: &Table) -> Option<&'static str> {
    let places: &[(&str, &Table)] = match () {
        () if std::ptr::eq(table, &SERVICE) => &[
            ("deploy", &DEPLOY),
            ("deploy.resources", &RESOURCES),
            ("deploy.resources.limits", &LIMITS),
            ("deploy.placement", &PLACEMENT),
            ("healthcheck", &HEALTHCHECK),
            ("x-remuda", &X_REMUDA),
        ],
        () if std::ptr::eq(table, &DEPLOY) => {
            &[("resources", &RESOURCES), ("resources.limits", &LIMITS), ("placement", &PLACEMENT)]
        }
        () if std::ptr::eq(table, &RESOURCES) => &[("limits", &LIMITS)],
        () if std::ptr::eq(table, &X_REMUDA) => &[("health_check", &HEALTH_CHECK)],
        () if std::ptr::eq(table, &HEALTH_CHECK) => &[("recreate_on_quorum_strategy_config", &QUORUM)],
        () => &[],
    };
    places.iter().find(|(_, table)| table.find(key).is_some()).map(|(place, _)| *place)
}

/// The name that differs least from `wrong`, if it differs little enough to be meant.
pub(crate) fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let wrong = wrong.to_ascii_lowercase().replace('-', "_");
    let len = wrong.chars().count();
    if len > SHOWN_MAX_CHARS {
        return None;
    }
    let limit = (len / 3).clamp(1, 3);
    let scored = names.filter(|name| name.len().abs_diff(wrong.len()) <= limit);
    let scored = scored.map(|name| (distance(&wrong, &name.to_ascii_lowercase().replace('-', "_")), name));
    scored.filter(|(distance, _)| *distance <= limit).min().map(|(_, name)| name)
}

/// Edits (insert, delete, replace, swap of neighbours) that lead from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    let swap = if is_swap { rows[i - 2][j - 2] + 1 } else { replace };
                    replace.min(swap).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

pub(crate) const fn now(name: &'static str) -> Key {
    now_in(name, Leaf)
}

pub(crate) const fn now_in(name: &'static str, inner: Inner) -> Key {
    Key { name, is_acted: true, inner, is_outside_schema: false }
}

const fn later(name: &'static str) -> Key {
    later_in(name, Leaf)
}

const fn later_in(name: &'static str, inner: Inner) -> Key {
    Key { name, is_acted: false, inner, is_outside_schema: false }
}

const fn outside(name: &'static str) -> Key {
    Key { name, is_acted: false, inner: Leaf, is_outside_schema: true }
}

const fn outside_now(name: &'static str) -> Key {
    Key { name, is_acted: true, inner: Leaf, is_outside_schema: true }
}

macro_rules! tables {
    ($($table:ident, $expected:literal: [$($key:expr),* $(,)?];)*) => { $(
        pub(crate) static $table: Table = Table { expected: $expected, keys: &[$($key),*] };
    )* };
}

tables! {
    FILE, "a map with `services:`": [
        now("version"), now_in("services", Named(&SERVICE)), now_in("networks", Named(&NETWORK)),
        later("name"), later_in("include", List(&INCLUDE)), later_in("models", Named(&MODEL)),
        later_in("volumes", Named(&VOLUME)), later_in("secrets", Named(&SECRET)), later_in("configs", Named(&CONFIG)),
    ];
    SERVICE, "a map of service keys such as `image:`": [
        now("image"), now("command"), now("entrypoint"), now("environment"), now("labels"),
        now_in("ports", List(&PORT)), now_in("networks", Named(&ATTACHMENT)), now("network_mode"),
        now_in("depends_on", Named(&DEPENDENCY)), now_in("deploy", Map(&DEPLOY)), now("scale"), now("restart"),
        now("stop_grace_period"), now("stop_signal"), now("user"), now("working_dir"), now("hostname"),
        now_in("healthcheck", Map(&HEALTHCHECK)),
        later("annotations"), later("attach"), later_in("blkio_config", Map(&BLKIO)), later_in("build", Map(&BUILD)),
        later("cap_add"), later("cap_drop"), later("cgroup"), later("cgroup_parent"),
        later_in("configs", List(&MOUNTED)), later("container_name"), later("cpu_count"), later("cpu_percent"),
        later("cpu_period"), later("cpu_quota"), later("cpu_rt_period"), later("cpu_rt_runtime"), later("cpu_shares"),
        later("cpus"), later("cpuset"), later_in("credential_spec", Map(&CREDENTIAL_SPEC)),
        later_in("develop", Map(&DEVELOP)), later("device_cgroup_rules"), later_in("devices", List(&DEVICE)),
        later("dns"), later("dns_opt"), later("dns_search"), later("domainname"), later_in("env_file", List(&ENV_FILE)),
        later("expose"), later_in("extends", Map(&EXTENDS)), later("external_links"), later("extra_hosts"),
        later_in("gpus", List(&GPU)), later("group_add"), later("init"),
        later("ipc"), later("isolation"), later("label_file"), later("links"), later_in("logging", Map(&LOGGING)),
        later("mac_address"), later("mem_limit"), later("mem_reservation"), later("mem_swappiness"),
        later("memswap_limit"), later_in("models", Named(&SERVICE_MODEL)), later("oom_kill_disable"),
        later("oom_score_adj"), later("pid"), later("pids_limit"), later("platform"),
        later_in("post_start", List(&HOOK)), later_in("pre_stop", List(&HOOK)), later("privileged"), later("profiles"),
        later_in("provider", Map(&PROVIDER)), later("pull_policy"), later("pull_refresh_after"), later("read_only"),
        later("runtime"), later_in("secrets", List(&MOUNTED)), later("security_opt"), later("shm_size"),
        later("stdin_open"), later("storage_opt"), later("sysctls"), later("tmpfs"), later("tty"),
        later_in("ulimits", Named(&ULIMIT)), later("use_api_socket"), later("userns_mode"), later("uts"),
        later_in("volumes", List(&MOUNT)), later("volumes_from"),
        outside("volume_driver"), outside("pre_start"),
    ];
    SERVICE_V1, "a map of service keys such as `image:`": [
        now("image"), now("command"), now("entrypoint"), now("environment"), now("labels"), now_in("ports", List(&PORT)),
        outside_now("net"), now("restart"), now("stop_signal"), now("user"), now("working_dir"), now("hostname"),
        later("build"), later("cap_add"), later("cap_drop"), later("cgroup_parent"), later("container_name"),
        later("cpu_quota"), later("cpu_shares"), later("cpuset"), later("devices"), later("dns"), later("dns_search"),
        outside("dockerfile"), later("domainname"), later("env_file"), later("expose"),
        later_in("extends", Map(&EXTENDS)), later("external_links"), later("extra_hosts"), later("ipc"), later("links"),
        outside("log_driver"), outside("log_opt"), later("mac_address"), later("mem_limit"), later("mem_reservation"),
        later("mem_swappiness"), later("memswap_limit"), later("pid"), later("privileged"), later("read_only"),
        later("security_opt"), later("shm_size"), later("stdin_open"), later_in("ulimits", Named(&ULIMIT)),
        outside("volume_driver"), later("volumes"), later("volumes_from"),
    ];
    PORT, "a port such as `8080:80`, or a map with `target:`": [
        now("target"), now("published"), now("protocol"), now("mode"), now("host_ip"), later("name"), later("app_protocol"),
    ];
    ATTACHMENT, "a map with `aliases:`, or nothing": [
        now("aliases"), later("driver_opts"), later("gw_priority"), later("interface_name"), later("ipv4_address"),
        later("ipv6_address"), later("link_local_ips"), later("mac_address"), later("priority"),
    ];
    DEPENDENCY, "a map with `condition:`": [now("condition"), now("required"), later("restart")];
    DEPLOY, "a map with keys such as `replicas:`": [
        now("mode"), now("replicas"), now("endpoint_mode"), now_in("resources", Map(&RESOURCES)),
        now_in("placement", Map(&PLACEMENT)), now_in("restart_policy", Map(&RESTART_POLICY)), later("labels"),
        later_in("rollback_config", Map(&UPDATE)), later_in("update_config", Map(&UPDATE)),
    ];
    RESOURCES, "a map with `limits:` and `reservations:`": [
        now_in("limits", Map(&LIMITS)), now_in("reservations", Map(&RESERVATIONS)),
    ];
    LIMITS, "a map with `cpus:`, `memory:` and `pids:`": [now("cpus"), now("memory"), now("pids")];
    RESERVATIONS, "a map with `cpus:` and `memory:`": [
        now("cpus"), now("memory"), later_in("devices", List(&GPU)), later_in("generic_resources", List(&GENERIC)),
    ];
    PLACEMENT, "a map with `constraints:`": [
        now("constraints"), now("max_replicas_per_node"), later_in("preferences", List(&PREFERENCE)),
    ];
    RESTART_POLICY, "a map with `condition:`": [
        now("condition"), later("delay"), later("max_attempts"), later("window"),
    ];
    NETWORK, "a map with keys such as `internal:`, or nothing": [
        now("name"), now_in("external", Map(&EXTERNAL)), now("internal"), later("attachable"), later("driver"),
        later("driver_opts"), later("enable_ipv4"), later("enable_ipv6"), later_in("ipam", Map(&IPAM)), later("labels"),
    ];
    EXTERNAL, "`true`, `false`, or a map with `name:`": [now("name")];
    HEALTHCHECK, "a map with `test:`": [
        now("test"), now("interval"), now("timeout"), now("retries"), now("start_period"), now("start_interval"),
        now("disable"),
    ];
    X_REMUDA, "a map with keys such as `runtime:` or `health_check:`": [
        now("runtime"), now_in("health_check", Map(&HEALTH_CHECK)), now("drain_timeout_ms"), now("start_on_create"),
        now("retain_ip"), now_in("lb_config", Map(&rancher::LB_CONFIG)), now("external_ips"), now("hostname"),
        now("metadata"), now_in("upgrade_strategy", Map(&rancher::UPGRADE_STRATEGY)),
    ];
    HEALTH_CHECK, "a map with `port:`": [
        now("port"), now("request_line"), now("interval"), now("response_timeout"), now("healthy_threshold"),
        now("unhealthy_threshold"), now("initializing_timeout"), now("reinitializing_timeout"), now("strategy"),
        now_in("recreate_on_quorum_strategy_config", Map(&QUORUM)), now("name"),
    ];
    QUORUM, "a map with `quorum:`": [now("quorum")];

    BLKIO, "a map": [
        later_in("device_read_bps", List(&RATE)), later_in("device_read_iops", List(&RATE)),
        later_in("device_write_bps", List(&RATE)), later_in("device_write_iops", List(&RATE)), later("weight"),
        later_in("weight_device", List(&WEIGHT)),
    ];
    RATE, "a map": [later("path"), later("rate")];
    WEIGHT, "a map": [later("path"), later("weight")];
    BUILD, "a map": [
        later("additional_contexts"), later("args"), later("cache_from"), later("cache_to"), later("context"),
        later("dockerfile"), later("dockerfile_inline"), later("entitlements"), later("extra_hosts"), later("isolation"),
        later("labels"), later("network"), later("no_cache"), later("platforms"), later("privileged"),
        later("provenance"), later("pull"), later("sbom"), later_in("secrets", List(&MOUNTED)), later("shm_size"),
        later("ssh"), later("tags"), later("target"), later_in("ulimits", Named(&ULIMIT)),
    ];
    MOUNTED, "a map": [later("gid"), later("mode"), later("source"), later("target"), later("uid")];
    ULIMIT, "a map": [later("hard"), later("soft")];
    CREDENTIAL_SPEC, "a map": [later("config"), later("file"), later("registry")];
    DEVELOP, "a map": [later_in("watch", List(&WATCH))];
    WATCH, "a map": [
        later("action"), later_in("exec", Map(&HOOK)), later("ignore"), later("include"), later("initial_sync"),
        later("path"), later("target"),
    ];
    HOOK, "a map": [later("command"), later("environment"), later("privileged"), later("user"), later("working_dir")];
    DEVICE, "a map": [later("permissions"), later("source"), later("target")];
    ENV_FILE, "a map": [later("format"), later("path"), later("required")];
    EXTENDS, "a map": [later("file"), later("service")];
    GPU, "a map": [later("capabilities"), later("count"), later("device_ids"), later("driver"), later("options")];
    GENERIC, "a map": [later_in("discrete_resource_spec", Map(&DISCRETE))];
    DISCRETE, "a map": [later("kind"), later("value")];
    LOGGING, "a map": [later("driver"), later("options")];
    SERVICE_MODEL, "a map": [later("endpoint_var"), later("model_var")];
    PROVIDER, "a map": [later("options"), later("type")];
    MOUNT, "a map": [
        later_in("bind", Map(&BIND)), later("consistency"), later_in("image", Map(&IMAGE_MOUNT)), later("read_only"),
        later("source"), later("target"), later_in("tmpfs", Map(&TMPFS)), later("type"),
        later_in("volume", Map(&VOLUME_MOUNT)),
    ];
    BIND, "a map": [later("create_host_path"), later("propagation"), later("recursive"), later("selinux")];
    IMAGE_MOUNT, "a map": [later("subpath")];
    TMPFS, "a map": [later("mode"), later("size")];
    VOLUME_MOUNT, "a map": [later("labels"), later("nocopy"), later("subpath")];
    UPDATE, "a map": [
        later("delay"), later("failure_action"), later("max_failure_ratio"), later("monitor"), later("order"),
        later("parallelism"),
    ];
    PREFERENCE, "a map": [later("spread")];
    IPAM, "a map": [later_in("config", List(&SUBNET)), later("driver"), later("options")];
    SUBNET, "a map": [later("aux_addresses"), later("gateway"), later("ip_range"), later("subnet")];
    INCLUDE, "a map": [later("env_file"), later("path"), later("project_directory")];
    MODEL, "a map": [later("context_size"), later("model"), later("name"), later("runtime_flags")];
    VOLUME, "a map": [
        later("driver"), later("driver_opts"), later_in("external", Map(&EXTERNAL)), later("labels"), later("name"),
    ];
    SECRET, "a map": [
        later("driver"), later("driver_opts"), later("environment"), later_in("external", Map(&EXTERNAL)), later("file"),
        later("labels"), later("name"), later("template_driver"),
    ];
    CONFIG, "a map": [
        later("content"), later("environment"), later_in("external", Map(&EXTERNAL)), later("file"), later("labels"),
        later("name"), later("template_driver"),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_is_answered_with_the_key_that_was_meant() {
        let names = || SERVICE.keys.iter().map(|key| key.name);
        for (wrong, meant) in
            [("imgae", "image"), ("port", "ports"), ("Environment", "environment"), ("depends-on", "depends_on")]
        {
            assert_eq!(nearest(wrong, names()), Some(meant), "{wrong}");
        }
        for nonsense in ["", "zzz", "replica_count_of_all", &"x".repeat(10_000)] {
            assert_eq!(nearest(nonsense, names()), None, "{nonsense}");
        }
    }
}
