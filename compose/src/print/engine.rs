//! What only a container engine can give, key by key: [`print`].

use remuda_api::engine::{EngineSpec, Mount};
use serde_json::{Map, Value, json};

use super::words::{Object, size};

pub(super) fn print(engine: &EngineSpec, printed: &mut Object) {
    printed.put_some("volumes", engine.mounts.iter().map(mount).collect::<Vec<_>>());
    for (key, is_set) in [
        ("read_only", engine.read_only),
        ("tty", engine.tty),
        ("stdin_open", engine.stdin_open),
        ("init", engine.init),
        ("privileged", engine.privileged),
        ("oom_kill_disable", engine.oom_kill_disable),
    ] {
        printed.put_some(key, is_set);
    }
    for (key, list) in [
        ("cap_add", &engine.cap_add),
        ("cap_drop", &engine.cap_drop),
        ("device_cgroup_rules", &engine.device_cgroup_rules),
        ("sysctls", &engine.sysctls),
        ("extra_hosts", &engine.extra_hosts),
        ("dns", &engine.dns),
        ("dns_search", &engine.dns_search),
        ("dns_opt", &engine.dns_opt),
        ("group_add", &engine.group_add),
        ("storage_opt", &engine.storage_options),
    ] {
        printed.put_some(key, list.clone());
    }
    for (key, word) in [
        ("pid", &engine.pid_mode),
        ("ipc", &engine.ipc_mode),
        ("userns_mode", &engine.userns_mode),
        ("uts", &engine.uts_mode),
        ("pull_policy", &engine.pull),
        ("platform", &engine.platform),
        ("cpuset", &engine.cpuset),
        ("domainname", &engine.domainname),
        ("cgroup_parent", &engine.cgroup_parent),
        ("runtime", &engine.oci_runtime),
    ] {
        printed.put_some(key, word.as_str());
    }
    printed.put_some("security_opt", engine.security_opt.iter().map(|option| security(option)).collect::<Vec<_>>());
    let devices = engine
        .devices
        .iter()
        .map(|device| json!({"source": device.host, "target": device.container, "permissions": device.permissions}));
    printed.put_some("devices", devices.collect::<Vec<_>>());
    let ulimits =
        engine.ulimits.iter().map(|limit| (limit.name.clone(), json!({"soft": limit.soft, "hard": limit.hard})));
    printed.put_some("ulimits", ulimits.collect::<Map<_, _>>());
    printed.put_some("logging", logging(engine));
    print_amounts(engine, printed);
}

fn print_amounts(engine: &EngineSpec, printed: &mut Object) {
    printed.put_some("shm_size", size(engine.shm_bytes));
    printed.put_some("mem_reservation", size(engine.memory_reservation_bytes));
    match u64::try_from(engine.memory_swap_bytes) {
        Ok(bytes) => printed.put_some("memswap_limit", size(bytes)),
        Err(_) => printed.put("memswap_limit", -1),
    }
    printed.put_some("cpu_shares", engine.cpu_shares);
    printed.put_some("oom_score_adj", engine.oom_score_adj);
}

fn mount(mount: &Mount) -> Value {
    let mut printed = Object::default();
    printed.put("type", mount.kind.as_str());
    printed.put_some("source", mount.source.as_str());
    printed.put("target", mount.target.as_str());
    printed.put_some("read_only", mount.read_only);
    let mut options = Object::default();
    match mount.kind.as_str() {
        "bind" => {
            options.put("create_host_path", !mount.must_exist);
            options.put_some("propagation", mount.propagation.as_str());
        }
        "volume" => options.put_some("nocopy", mount.no_copy),
        _ => {
            options.put_some("size", size(mount.tmpfs_bytes));
            options.put_some("mode", Some(mount.tmpfs_mode).filter(|mode| *mode > 0).map(|mode| format!("{mode:o}")));
        }
    }
    printed.put_some(&mount.kind, options);
    printed.into()
}

/// A seccomp profile, read from a file, is written on one line in its place.
fn security(option: &str) -> String {
    let profile = option.strip_prefix("seccomp=").and_then(|text| serde_json::from_str::<Value>(text).ok());
    profile.map_or_else(|| option.to_owned(), |profile| format!("seccomp={profile}"))
}

fn logging(engine: &EngineSpec) -> Value {
    let mut printed = Object::default();
    printed.put_some("driver", engine.log_driver.as_str());
    printed.put_some("options", engine.log_options.clone());
    printed.into()
}
