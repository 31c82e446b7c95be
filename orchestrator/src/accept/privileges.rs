//! What gives a container power over the host it runs on: every use of it, by field and in words.
//!
//! Who may ask for it is decided elsewhere; here it is only found. What stays inside the container (its own files, tmpfs,
//! named volumes, namespaced sysctls, fewer capabilities) is not on the list. A program of the host (runtime `process`)
//! has its files anyway: that is on the list too, but is no surprise to whoever wrote the service.

use std::sync::Arc;

use remuda_api::engine::{EngineSpec, Mount};
use remuda_api::spec::{NetworkMode, RuntimeKind, ServiceSpec, StackSpec, VolumeSpec};

use super::shown;
use crate::state::{Stack, State};
use crate::volumes::options::Place;
use crate::{runtime, volumes};

/// Capabilities a container has unless it says otherwise (docker's list).
const USUAL_CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// Beginnings of sysctls that exist once per namespace.
const NAMESPACED_SYSCTLS: [&str; 5] = ["net.", "kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue."];
/// Sockets of engines: who can talk to one can start anything.
const ENGINE_SOCKETS: [&str; 4] = ["docker.sock", "containerd.sock", "podman.sock", "crio.sock"];
/// OCI runtimes every engine has; empty = its default.
const USUAL_RUNTIMES: [&str; 3] = ["", "runc", "io.containerd.runc.v2"];
/// Log drivers that keep lines on the host and limit themselves; empty = json-file.
const USUAL_LOG_DRIVERS: [&str; 5] = ["", "json-file", "local", "none", "journald"];
const ROOT: &str = "who controls it is root on its host";

/// One use of power over a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privilege {
    /// `services.portainer.engine.mounts[0]`.
    pub field: String,
    /// `mounts /var/run/docker.sock: who controls it is root on its host`.
    pub words: String,
    /// Worth a line to whoever may do it.
    pub is_notable: bool,
}

/// Every use in service `name` of `stack`.
pub fn of(state: &State, name: &str, service: &ServiceSpec, stack: &StackSpec) -> Vec<Privilege> {
    let mut found = Found { base: format!("services.{}", shown(name)), list: Vec::new() };
    if service.balancer.is_some() || service.external.is_some() {
        return Vec::new();
    }
    if runtime::of_spec(state, service) == RuntimeKind::Process || runs_as_program(state, &stack.name, name) {
        let words = "runs as a program of its host, with its files (runtime process)";
        found.list.push(Privilege { field: found.at("runtime"), words: words.into(), is_notable: false });
    }
    if service.network_mode == NetworkMode::Host {
        found.add(
            "network_mode",
            "uses the network of its host: it can listen on any port there and reach what listens on loopback",
        );
    }
    for (index, mount) in service.engine.mounts.iter().enumerate() {
        if let Some(words) = of_mount(state, mount, stack) {
            found.add(&format!("engine.mounts[{index}]"), words);
        }
    }
    of_engine(&service.engine, &mut found);
    found.list
}

/// A container of it is a program of its host, whatever the next ones will be: it takes new health commands while it
/// lives, and runs them as its host's root.
fn runs_as_program(state: &State, stack: &str, name: &str) -> bool {
    let mut containers = state.service(stack, name).into_iter().flat_map(|held| state.containers_of(held.id));
    containers.any(|container| container.node_id != 0 && container.runtime == RuntimeKind::Process)
}

struct Found {
    base: String,
    list: Vec<Privilege>,
}

impl Found {
    fn at(&self, field: &str) -> String {
        format!("{}.{field}", self.base)
    }

    fn add(&mut self, field: &str, words: impl Into<String>) {
        self.list.push(Privilege { field: self.at(field), words: words.into(), is_notable: true });
    }
}

fn of_mount(state: &State, mount: &Mount, stack: &StackSpec) -> Option<String> {
    match mount.kind.as_str() {
        "bind" => Some(of_path(&mount.source, mount.read_only)),
        "volume" => {
            let device = host_path(state, &mount.source, stack.volumes.get(&mount.source)?, &stack.name)?;
            Some(format!("{} (volume {})", of_path(&device, mount.read_only), shown(&mount.source)))
        }
        _ => None,
    }
}

/// Uses in the volumes that `stack` declares, mounted or not: a service that it does not name may mount them.
pub fn of_volumes(state: &State, stack: &StackSpec) -> Vec<Privilege> {
    let one = |(key, volume): (&String, &VolumeSpec)| {
        let words = match volumes::options::place(volume) {
            Place::Driver => Some("is made by a driver of its host, which may mount anything there".to_owned()),
            _ => host_path(state, key, volume, &stack.name).map(|path| of_path(&path, false)),
        };
        Some(Privilege { field: format!("volumes.{}", shown(key)), words: words?, is_notable: false })
    };
    stack.volumes.iter().filter_map(one).collect()
}

/// What of its host a volume leads to: by its options, or by those it was made with, which the engine keeps.
fn host_path(state: &State, key: &str, volume: &VolumeSpec, stack: &str) -> Option<String> {
    if let Some(path) = volumes::options::host_path(volume) {
        return Some(path.to_owned());
    }
    let name = volumes::full_name(stack, key, volume);
    let made = state.volumes.get(&name).map(|held| held.host_path.clone()).filter(|path| !path.is_empty());
    let declared = || {
        let of_stack = |held: &Arc<Stack>| {
            let twins = held.volumes.iter().filter(|(key, twin)| volumes::full_name(&held.name, key, twin) == name);
            twins.filter_map(|(_, twin)| volumes::options::host_path(twin)).map(str::to_owned).next()
        };
        state.stacks.values().find_map(of_stack)
    };
    made.or_else(declared)
}

fn of_path(path: &str, is_read_only: bool) -> String {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let path = path.chars().filter(|c| !c.is_control()).collect::<String>();
    match is_read_only {
        _ if ENGINE_SOCKETS.contains(&name) => format!("mounts {path}: {ROOT}"),
        true => format!("mounts {path} of its host: it can read what is there"),
        false => format!("mounts {path} of its host: it can change what is there"),
    }
}

fn of_engine(engine: &EngineSpec, found: &mut Found) {
    if engine.privileged {
        found.add("engine.privileged", format!("is privileged: {ROOT}"));
    }
    for (index, device) in engine.devices.iter().enumerate() {
        found.add(&format!("engine.devices[{index}]"), format!("uses device {} of its host", shown(&device.host)));
    }
    for (index, rule) in engine.device_cgroup_rules.iter().enumerate() {
        found.add(
            &format!("engine.device_cgroup_rules[{index}]"),
            format!("may use devices `{}` of its host", shown(rule)),
        );
    }
    for (index, capability) in engine.cap_add.iter().enumerate() {
        let plain = capability.to_ascii_uppercase();
        let plain = plain.strip_prefix("CAP_").unwrap_or(&plain);
        if !USUAL_CAPABILITIES.contains(&plain) {
            let words = format!("has capability {}, which containers do not have by themselves", shown(plain));
            found.add(&format!("engine.cap_add[{index}]"), words);
        }
    }
    let namespaces = [
        ("pid_mode", &engine.pid_mode, "sees every process of its host and can end it"),
        ("ipc_mode", &engine.ipc_mode, "shares memory with the processes of its host"),
        ("uts_mode", &engine.uts_mode, "can rename its host"),
        ("userns_mode", &engine.userns_mode, "has the users of its host"),
    ];
    for (field, _, words) in namespaces.into_iter().filter(|(_, mode, _)| *mode == "host") {
        found.add(&format!("engine.{field}"), words);
    }
    for (index, option) in engine.security_opt.iter().enumerate().filter(|(_, option)| !is_tightening(option)) {
        found.add(
            &format!("engine.security_opt[{index}]"),
            format!("loosens what protects its host: {}", shown(option)),
        );
    }
    let is_namespaced = |sysctl: &str| NAMESPACED_SYSCTLS.iter().any(|begin| sysctl.starts_with(begin));
    for (index, sysctl) in engine.sysctls.iter().enumerate().filter(|(_, sysctl)| !is_namespaced(sysctl)) {
        found.add(&format!("engine.sysctls[{index}]"), format!("sets {} on its host", shown(sysctl)));
    }
    if !engine.cgroup_parent.is_empty() {
        found
            .add("engine.cgroup_parent", format!("runs in control group {} of its host", shown(&engine.cgroup_parent)));
    }
    of_engine_parts(engine, found);
}

/// What is asked of parts of the host's engine, and of its kernel when memory runs out.
fn of_engine_parts(engine: &EngineSpec, found: &mut Found) {
    if !USUAL_RUNTIMES.contains(&engine.oci_runtime.as_str()) {
        let words = format!("is run by {}, whatever that is on its host", shown(&engine.oci_runtime));
        found.add("engine.oci_runtime", words);
    }
    if !USUAL_LOG_DRIVERS.contains(&engine.log_driver.as_str()) {
        let words = format!("logs through driver {} of its host, to where its options say", shown(&engine.log_driver));
        found.add("engine.log_driver", words);
    }
    for (index, _) in engine.log_options.iter().enumerate().filter(|(_, option)| names_socket(option)) {
        found.add(&format!("engine.log_options[{index}]"), "logs to a file or socket of its host");
    }
    if engine.oom_score_adj < 0 {
        found.add("engine.oom_score_adj", "outlives programs of its host when memory runs out");
    }
    if engine.oom_kill_disable {
        found.add("engine.oom_kill_disable", "is not ended when it uses up the memory of its host");
    }
    // A size is a limit; what else there is, is told to the storage of the host.
    let others = engine.storage_options.iter().enumerate().filter(|(_, option)| !option.starts_with("size="));
    for (index, option) in others {
        let words =
            format!("sets option {} of its host's storage", shown(option.split('=').next().unwrap_or_default()));
        found.add(&format!("engine.storage_options[{index}]"), words);
    }
}

/// `syslog-address=unix:///run/x`, `path=/run/x`.
fn names_socket(option: &str) -> bool {
    let value = option.split_once('=').map_or(option, |(_, value)| value).trim().to_ascii_lowercase();
    value.starts_with('/') || value.starts_with("unix:") || value.contains("://")
}

/// `no-new-privileges` is the one that takes power away; profiles may say anything.
fn is_tightening(option: &str) -> bool {
    matches!(option, "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use remuda_api::engine::Device;

    use super::*;
    use crate::state::{Container, Service, Volume};

    fn found(service: &ServiceSpec) -> Vec<(String, String)> {
        let options = BTreeMap::from([("type", "none"), ("o", "bind"), ("device", "/etc")]);
        let options = options.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let volumes = BTreeMap::from([
            ("plain".to_owned(), VolumeSpec::default()),
            ("sly".to_owned(), VolumeSpec { driver_options: options, ..VolumeSpec::default() }),
        ]);
        let stack = StackSpec { volumes, ..StackSpec::default() };
        let of = of(&State::default(), "web", service, &stack);
        of.into_iter().map(|privilege| (privilege.field, privilege.words)).collect()
    }

    fn image(engine: EngineSpec) -> ServiceSpec {
        ServiceSpec { image: Some("nginx".into()), engine, ..ServiceSpec::default() }
    }

    fn mount(kind: &str, source: &str, read_only: bool) -> Mount {
        Mount { kind: kind.into(), source: source.into(), target: "/x".into(), read_only, ..Mount::default() }
    }

    #[test]
    fn an_ordinary_container_has_no_power_over_its_host() {
        let engine = EngineSpec {
            mounts: vec![mount("volume", "plain", false), mount("volume", "", false), mount("tmpfs", "", false)],
            cap_add: vec!["NET_BIND_SERVICE".into(), "CAP_CHOWN".into()],
            cap_drop: vec!["ALL".into()],
            security_opt: vec!["no-new-privileges:true".into()],
            sysctls: vec!["net.core.somaxconn=1024".into(), "kernel.shmmax=1".into()],
            ipc_mode: "shareable".into(),
            ..EngineSpec::default()
        };
        assert_eq!(found(&image(engine)), []);
    }

    #[test]
    fn each_use_of_power_is_found_with_its_field() {
        let engine = EngineSpec {
            mounts: vec![
                mount("bind", "/var/run/docker.sock", true),
                mount("bind", "/etc", true),
                mount("volume", "plain", false),
                mount("volume", "sly", false),
            ],
            privileged: true,
            devices: vec![Device { host: "/dev/kvm".into(), ..Device::default() }],
            device_cgroup_rules: vec!["c 1:3 rwm".into()],
            cap_add: vec!["CHOWN".into(), "SYS_ADMIN".into(), "cap_net_admin".into()],
            security_opt: vec!["seccomp:unconfined".into()],
            sysctls: vec!["vm.swappiness=1".into()],
            pid_mode: "host".into(),
            ipc_mode: "host".into(),
            uts_mode: "host".into(),
            userns_mode: "host".into(),
            cgroup_parent: "/".into(),
            oci_runtime: "own".into(),
            log_driver: "syslog".into(),
            log_options: vec!["tag=x".into(), "syslog-address=unix:///run/x".into()],
            oom_score_adj: -1,
            oom_kill_disable: true,
            storage_options: vec!["size=1g".into(), "dm.fs=xfs".into()],
            ..EngineSpec::default()
        };
        let service = ServiceSpec { network_mode: NetworkMode::Host, ..image(engine) };
        let found = found(&service);
        let fields: Vec<&str> = found.iter().map(|(field, _)| field.trim_start_matches("services.web.")).collect();
        let expected = [
            "network_mode",
            "engine.mounts[0]",
            "engine.mounts[1]",
            "engine.mounts[3]",
            "engine.privileged",
            "engine.devices[0]",
            "engine.device_cgroup_rules[0]",
            "engine.cap_add[1]",
            "engine.cap_add[2]",
            "engine.pid_mode",
            "engine.ipc_mode",
            "engine.uts_mode",
            "engine.userns_mode",
            "engine.security_opt[0]",
            "engine.sysctls[0]",
            "engine.cgroup_parent",
            "engine.oci_runtime",
            "engine.log_driver",
            "engine.log_options[1]",
            "engine.oom_score_adj",
            "engine.oom_kill_disable",
            "engine.storage_options[1]",
        ];
        assert_eq!(fields, expected);
        assert_eq!(found[1].1, "mounts /var/run/docker.sock: who controls it is root on its host");
        assert_eq!(found[3].1, "mounts /etc of its host: it can change what is there (volume sly)");
    }

    #[test]
    fn a_program_of_the_host_is_told_from_a_container_by_whoever_lacks_the_right() {
        let service = ServiceSpec { command: Some(vec!["sh".into()]), ..ServiceSpec::default() };
        let of = of(&State::default(), "web", &service, &StackSpec::default());
        assert_eq!(
            of.iter().map(|p| (p.field.as_str(), p.is_notable)).collect::<Vec<_>>(),
            [("services.web.runtime", false)]
        );
    }

    #[test]
    fn a_service_with_living_programs_of_the_host_is_one_although_its_next_containers_are_none() {
        let held = Service { id: 7, stack: "s".into(), name: "web".into(), ..Service::default() };
        let program = Container { service_id: 7, node_id: 1, runtime: RuntimeKind::Process, ..Container::default() };
        let mut state = State::default();
        state.services.insert(7, Arc::new(held));
        let fields = |state: &State| {
            let next = ServiceSpec { runtime: Some(RuntimeKind::Docker), ..image(EngineSpec::default()) };
            let stack = StackSpec { name: "s".into(), ..StackSpec::default() };
            of(state, "web", &next, &stack).into_iter().map(|found| found.field).collect::<Vec<_>>()
        };
        assert!(fields(&state).is_empty());
        state.containers.insert("s-web-1".into(), Arc::new(program));
        assert_eq!(fields(&state), ["services.web.runtime"]);
    }

    #[test]
    fn a_volume_is_what_it_was_made_as_under_its_full_name() {
        let mut state = State::default();
        let made = Volume { name: "keys".into(), host_path: "/etc".into(), ..Volume::default() };
        state.volumes.insert("keys".into(), Arc::new(made));
        let by_name = |name: &str| VolumeSpec { name: Some(name.into()), ..VolumeSpec::default() };
        let plugin = VolumeSpec { driver: Some("sshfs".into()), ..VolumeSpec::default() };
        let volumes = [
            ("sly", by_name("keys")),
            ("found", VolumeSpec { external: true, ..by_name("keys") }),
            ("plain", by_name("other")),
            ("plugin", plugin),
        ];
        let volumes = volumes.into_iter().map(|(key, volume)| (key.to_owned(), volume)).collect();
        let stack = StackSpec { name: "s".into(), volumes, ..StackSpec::default() };
        let fields: Vec<String> = of_volumes(&state, &stack).into_iter().map(|found| found.field).collect();
        assert_eq!(fields, ["volumes.found", "volumes.plugin", "volumes.sly"]);
        let service = image(EngineSpec { mounts: vec![mount("volume", "sly", true)], ..EngineSpec::default() });
        let words = of(&state, "web", &service, &stack).remove(0).words;
        assert_eq!(words, "mounts /etc of its host: it can read what is there (volume sly)");
    }
}
