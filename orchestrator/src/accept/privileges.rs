//! What gives a container power over the host it runs on: every use of it, by field and in words.
//!
//! Who may ask for it is decided elsewhere; here it is only found. What stays inside the container (its own files, tmpfs,
//! named volumes, namespaced sysctls, fewer capabilities) is not on the list. A program of the host (runtime `process`)
//! has its files anyway: that is on the list too, but is no surprise to whoever wrote the service.

use remuda_api::engine::{EngineSpec, Mount};
use remuda_api::spec::{NetworkMode, RuntimeKind, ServiceSpec, StackSpec, VolumeSpec};

use super::shown;
use crate::runtime;
use crate::state::State;

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
    if runtime::of_spec(state, service) == RuntimeKind::Process {
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
        if let Some(words) = of_mount(mount, stack) {
            found.add(&format!("engine.mounts[{index}]"), words);
        }
    }
    of_engine(&service.engine, &mut found);
    found.list
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

fn of_mount(mount: &Mount, stack: &StackSpec) -> Option<String> {
    match mount.kind.as_str() {
        "bind" => Some(of_path(&mount.source, mount.read_only)),
        "volume" => {
            let device = host_path(stack.volumes.get(&mount.source)?)?;
            Some(format!("{} (volume {})", of_path(device, mount.read_only), shown(&mount.source)))
        }
        _ => None,
    }
}

/// File systems of other machines, and memory: what a `local` volume of these types leads to is nothing of the host.
const TYPES_ELSEWHERE: [&str; 4] = ["nfs", "nfs4", "cifs", "tmpfs"];

/// What a `local` volume with options leads to, unless that is surely nothing of the host: its options are those of
/// mount(8), which takes `//etc`, `proc` and `lowerdir=/etc` as well as `/etc`.
fn host_path(volume: &VolumeSpec) -> Option<&str> {
    let option = |key: &str| volume.driver_options.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let is_elsewhere = option("type").is_some_and(|kind| TYPES_ELSEWHERE.contains(&kind));
    let is_plain = ["type", "device", "o"].into_iter().all(|key| option(key).is_none());
    let is_local = volume.driver.as_deref().is_none_or(|driver| driver == "local");
    (is_local && !is_elsewhere && !is_plain).then(|| option("device").or(option("o")).unwrap_or("a file system"))
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

    #[test]
    fn options_of_a_local_volume_are_power_over_the_host_unless_they_lead_elsewhere() {
        let leads_to = |options: &[(&str, &str)]| {
            let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            host_path(&VolumeSpec { driver_options: options, ..VolumeSpec::default() }).map(str::to_owned)
        };
        let bind = |device| leads_to(&[("type", "none"), ("o", "bind"), ("device", device)]);
        assert_eq!(["/etc", "//", ".", "etc"].map(bind), ["/etc", "//", ".", "etc"].map(|path| Some(path.to_owned())));
        assert_eq!(leads_to(&[("type", "proc"), ("device", "proc")]).as_deref(), Some("proc"));
        let overlay = leads_to(&[("type", "overlay"), ("device", "overlay"), ("o", "lowerdir=/etc:/root")]);
        assert_eq!(overlay.as_deref(), Some("overlay"));
        assert_eq!(leads_to(&[("o", "bind")]).as_deref(), Some("bind"));
        assert_eq!(leads_to(&[]), None);
        assert_eq!(leads_to(&[("type", "nfs"), ("o", "addr=10.0.0.9,rw"), ("device", ":/data")]), None);
        assert_eq!(leads_to(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=64m")]), None);
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
}
