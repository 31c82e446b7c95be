//! Keys of a service that only a container engine can act on: [`read`] fills [`EngineSpec`].

use remuda_api::engine::EngineSpec;

use crate::context::Context;
use crate::field::Field;
use crate::limits::MEMORY_MAX_BYTES;
use crate::report::Report;
use crate::{environment, keys, mounts, quantity};

mod capability;
mod device;
mod host_name;
mod image;
mod logging;
mod namespace;
mod resolver;
mod security;
mod sysctl;
mod ulimit;

/// Longest word such as a cgroup's or runtime's name, bytes.
const WORD_MAX_BYTES: usize = 255;

/// Reads `entry` if it is one of the engine's keys.
pub(crate) fn read(entry: &Field, engine: &mut EngineSpec, context: &mut Context) {
    let report = &mut context.report;
    match entry.key() {
        "volumes" => mounts::read(entry, &mut engine.mounts, context),
        "tmpfs" => mounts::read_tmpfs(entry, &mut engine.mounts, context),
        "shm_size" => engine.shm_bytes = quantity::size_bytes(entry, MEMORY_MAX_BYTES, report).unwrap_or(0),
        "storage_opt" => engine.storage_options = joined(environment::read_labels(entry, context)),
        "read_only" => engine.read_only = entry.boolean(report).unwrap_or(false),
        "tty" => engine.tty = entry.boolean(report).unwrap_or(false),
        "stdin_open" => engine.stdin_open = entry.boolean(report).unwrap_or(false),
        "init" => engine.init = entry.boolean(report).unwrap_or(false),
        "privileged" => engine.privileged = entry.boolean(report).unwrap_or(false),
        "cap_add" => engine.cap_add = capability::read(entry, report),
        "cap_drop" => engine.cap_drop = capability::read(entry, report),
        "security_opt" => engine.security_opt = security::read(entry, context),
        "devices" => engine.devices = device::read(entry, report),
        "device_cgroup_rules" => engine.device_cgroup_rules = device::read_rules(entry, report),
        "ulimits" => engine.ulimits = ulimit::read(entry, report),
        "sysctls" => engine.sysctls = sysctl::read(entry, context),
        "extra_hosts" => engine.extra_hosts = host_name::read(entry, report),
        "domainname" => engine.domainname = host_name::read_domain(entry, report).unwrap_or_default(),
        "dns" => engine.dns = resolver::read_servers(entry, report),
        "dns_search" => engine.dns_search = resolver::read_words(entry, report),
        "dns_opt" => engine.dns_opt = resolver::read_words(entry, report),
        "group_add" => engine.group_add = read_groups(entry, report),
        "pid" | "ipc" | "uts" | "userns_mode" | "cgroup" => namespace::read(entry, engine, report),
        "cgroup_parent" => engine.cgroup_parent = read_word(entry, "the path of a cgroup", report),
        "oom_kill_disable" => engine.oom_kill_disable = entry.boolean(report).unwrap_or(false),
        "oom_score_adj" => {
            let score = entry.signed(-1_000..=1_000, report).and_then(|score| i32::try_from(score).ok());
            engine.oom_score_adj = score.unwrap_or(0);
        }
        "pull_policy" => engine.pull = image::read_pull_policy(entry, report),
        "platform" => engine.platform = image::read_platform(entry, report),
        "runtime" => engine.oci_runtime = read_word(entry, "a runtime of the engine such as `runc`", report),
        "logging" => logging::read(entry, engine, context),
        "log_driver" => engine.log_driver = logging::read_driver(entry, report),
        "log_opt" => engine.log_options = joined(environment::read_labels(entry, context)),
        _ => {}
    }
}

/// Says that a key has nobody to act on it: the runtime `process` has no engine.
pub(crate) fn report_lack(entry: &Field, report: &mut Report) {
    let message = format!(
        "runtime `process` has no container engine, which `{}` needs: remove it, or give the service an image and the \
         runtime `docker`",
        entry.key()
    );
    entry.problem_at_key(message, report);
}

/// `key=value` for each.
fn joined(pairs: std::collections::BTreeMap<String, String>) -> Vec<String> {
    pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

fn read_word(field: &Field, expected: &str, report: &mut Report) -> String {
    let Some(word) = field.line(expected, report) else {
        return String::new();
    };
    if word.len() > WORD_MAX_BYTES || word.contains(char::is_whitespace) {
        field.expected(expected, report);
    }
    word.to_owned()
}

fn read_groups(field: &Field, report: &mut Report) -> Vec<String> {
    let items = field.items("a list of group names or ids", report);
    items.iter().map(|item| read_word(item, "a group's name or id", report)).collect()
}

/// The one of `known` that was meant, or else what to write; nothing when nobody will read it.
fn advice<'k>(wrong: &str, known: impl Iterator<Item = &'k str>, otherwise: &str, report: &Report) -> String {
    if report.is_full() {
        return String::new();
    }
    match keys::nearest(wrong, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => otherwise.to_owned(),
    }
}
