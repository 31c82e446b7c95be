use remuda_api::engine::{Device, Mount, Ulimit};

use super::super::tests::{owner, spec};
use super::*;

const IMAGE: &str = "remuda/hold:1";

fn host(body: &ContainerCreateBody) -> &HostConfig {
    body.host_config.as_ref().expect("always said")
}

#[test]
fn a_managed_unit_joins_its_holder_which_has_all_that_belongs_to_the_network() {
    let mut spec = spec();
    spec.engine.sysctls = vec!["net.core.somaxconn=1024".into(), "kernel.msgmax=65536".into()];
    spec.engine.extra_hosts = vec!["db:10.0.0.9".into(), "host.docker.internal:host-gateway".into()];
    spec.engine.domainname = "example.org".into();
    let (unit, holder) = (unit(&spec, &owner()), holder(&spec, &owner(), IMAGE));
    assert_eq!(host(&unit).network_mode.as_deref(), Some("container:shop-web-1.hold"));
    assert_eq!(
        (&unit.hostname, &unit.domainname, &host(&unit).dns, &host(&unit).extra_hosts),
        (&None, &None, &None, &None)
    );
    assert_eq!(host(&unit).sysctls, Some(HashMap::from([("kernel.msgmax".into(), "65536".into())])));
    assert_eq!(host(&holder).network_mode.as_deref(), Some("none"));
    assert_eq!((holder.hostname.as_deref(), holder.domainname.as_deref()), (Some("shop-web-1"), Some("example.org")));
    assert_eq!(host(&holder).dns, Some(vec!["169.254.169.250".to_owned()]));
    assert_eq!(host(&holder).dns_search.as_ref().map(Vec::len), Some(2));
    let hosts = ["db:10.0.0.9", "host.docker.internal:10.42.0.1", "shop-web-1:10.42.0.5"];
    assert_eq!(host(&holder).extra_hosts, Some(hosts.map(str::to_owned).to_vec()));
    assert_eq!(host(&holder).sysctls, Some(HashMap::from([("net.core.somaxconn".into(), "1024".into())])));
    assert_eq!((holder.image.as_deref(), holder.stop_signal.as_deref()), (Some(IMAGE), Some("SIGKILL")));
}

#[test]
fn resolvers_of_its_own_replace_the_fleets_and_its_search_list() {
    let mut spec = spec();
    spec.engine.dns = vec!["9.9.9.9".into()];
    spec.engine.dns_opt = vec!["ndots:3".into()];
    let holder = holder(&spec, &owner(), IMAGE);
    assert_eq!((&host(&holder).dns, &host(&holder).dns_search), (&Some(vec!["9.9.9.9".to_owned()]), &None));
    assert_eq!(host(&holder).dns_options, Some(vec!["ndots:3".to_owned()]));
}

#[test]
fn without_a_network_of_its_own_a_unit_says_everything_itself() {
    let mut spec = UnitSpec { network_mode: "host".into(), ip: None, ..spec() };
    spec.engine.sysctls = vec!["kernel.msgmax=65536".into()];
    let body = unit(&spec, &owner());
    assert_eq!((host(&body).network_mode.as_deref(), &body.hostname), (Some("host"), &None));
    assert_eq!((&host(&body).dns, &host(&body).extra_hosts), (&None, &None));
    assert!(host(&body).sysctls.is_some());
    let named = UnitSpec { hostname: "web".into(), ..spec.clone() };
    assert_eq!(unit(&named, &owner()).hostname.as_deref(), Some("web"));
    let alone = UnitSpec { network_mode: "none".into(), ..spec };
    let body = unit(&alone, &owner());
    assert_eq!((host(&body).network_mode.as_deref(), body.hostname.as_deref()), (Some("none"), Some("shop-web-1")));
}

#[test]
fn what_is_not_asked_for_is_left_to_the_image_and_the_engine() {
    let body = unit(&spec(), &owner());
    let config = host(&body);
    assert_eq!((&body.cmd, &body.entrypoint, &body.user, &body.healthcheck), (&None, &None, &None, &None));
    assert_eq!((&body.stop_signal, body.stop_timeout), (&None, Some(10)));
    assert_eq!((config.memory, config.cpu_quota, config.pids_limit, &config.ulimits), (None, None, None, &None));
    assert_eq!((&config.privileged, &config.cap_add, &config.security_opt), (&None, &None, &None));
    assert_eq!(config.restart_policy.as_ref().and_then(|policy| policy.name), Some(RestartPolicyNameEnum::NO));
}

#[test]
fn logs_are_rotated_unless_the_file_says_otherwise() {
    let log = |driver: &str, options: &[&str]| {
        let mut spec = spec();
        spec.engine.log_driver = driver.into();
        spec.engine.log_options = options.iter().map(|option| option.to_string()).collect();
        let config = host(&unit(&spec, &owner())).log_config.clone().expect("always said");
        let mut options: Vec<_> =
            config.config.unwrap_or_default().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        options.sort();
        (config.typ.unwrap_or_default(), options.join(" "))
    };
    assert_eq!(log("", &[]), ("json-file".into(), "max-file=3 max-size=10m".into()));
    assert_eq!(log("json-file", &["max-size=1k"]), ("json-file".into(), "max-file=3 max-size=1k".into()));
    assert_eq!(log("syslog", &["tag=a=b"]), ("syslog".into(), "tag=a=b".into()));
}

#[test]
fn raw_packets_are_for_those_who_ask() {
    let dropped = |privileged: bool, add: &[&str], drop: &[&str]| {
        let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
        let engine = EngineSpec { privileged, cap_add: words(add), cap_drop: words(drop), ..EngineSpec::default() };
        cap_drop(&engine)
    };
    assert_eq!(dropped(false, &[], &[]), ["NET_RAW"]);
    assert_eq!(dropped(false, &["NET_ADMIN"], &["MKNOD"]), ["MKNOD", "NET_RAW"]);
    assert_eq!(dropped(false, &[], &["ALL"]), ["ALL"]);
    for add in ["NET_RAW", "CAP_NET_RAW", "ALL"] {
        assert!(dropped(false, &[add], &[]).is_empty(), "{add}");
    }
    assert!(dropped(true, &[], &[]).is_empty());
}

#[test]
fn an_emptied_entrypoint_or_command_is_said_as_an_empty_list() {
    let mut spec = spec();
    spec.engine.clear_entrypoint = true;
    spec.engine.clear_command = true;
    let body = unit(&spec, &owner());
    assert_eq!((body.entrypoint, body.cmd), (Some(vec![]), Some(vec![])));
    spec.command = vec!["serve".into()];
    assert_eq!(unit(&spec, &owner()).cmd, Some(vec!["serve".to_owned()]));
}

#[test]
fn the_images_own_check_is_off_when_another_is_asked_for_or_none() {
    let test = |spec: &UnitSpec| unit(spec, &owner()).healthcheck.and_then(|check| check.test);
    let off = Some(vec!["NONE".to_owned()]);
    assert_eq!(test(&UnitSpec { has_health_command: true, ..spec() }), off);
    let mut disabled = spec();
    disabled.engine.no_healthcheck = true;
    assert_eq!(test(&disabled), off);
}

#[test]
fn the_images_words_are_replaced_by_the_users() {
    let spec = UnitSpec {
        entrypoint: vec!["/run".into()],
        command: vec!["a".into()],
        environment: vec!["A=1".into()],
        user: "1000:1000".into(),
        working_dir: "/srv".into(),
        stop_signal: "SIGQUIT".into(),
        stop_grace_ms: 1500,
        ..spec()
    };
    let body = unit(&spec, &owner());
    assert_eq!((body.entrypoint, body.cmd), (Some(vec!["/run".to_owned()]), Some(vec!["a".to_owned()])));
    assert_eq!((body.user.as_deref(), body.working_dir.as_deref()), (Some("1000:1000"), Some("/srv")));
    assert_eq!((body.stop_signal.as_deref(), body.stop_timeout), (Some("SIGQUIT"), Some(2)));
    assert_eq!(body.env, Some(vec!["A=1".to_owned()]));
}

#[test]
fn limits_are_the_engines() {
    let mut spec = UnitSpec { limit_cpu_milli: 2500, limit_memory_bytes: 64 << 20, limit_pids: 50, ..spec() };
    spec.engine = EngineSpec {
        memory_reservation_bytes: 32 << 20,
        memory_swap_bytes: -1,
        cpu_shares: 512,
        cpuset: "0".into(),
        shm_bytes: 1 << 20,
        oom_kill_disable: true,
        oom_score_adj: -5,
        ulimits: vec![Ulimit { name: "nofile".into(), soft: 1024, hard: -1 }],
        cgroup_parent: "/shop".into(),
        ..EngineSpec::default()
    };
    let body = unit(&spec, &owner());
    let config = host(&body);
    assert_eq!((config.cpu_period, config.cpu_quota, config.cpu_shares), (Some(100_000), Some(250_000), Some(512)));
    assert_eq!(
        (config.memory, config.memory_reservation, config.memory_swap),
        (Some(64 << 20), Some(32 << 20), Some(-1))
    );
    assert_eq!((config.pids_limit, config.shm_size, config.oom_score_adj), (Some(50), Some(1 << 20), Some(-5)));
    assert_eq!((config.oom_kill_disable, config.cgroup_parent.as_deref()), (Some(true), Some("/shop")));
    let limit = config.ulimits.as_ref().and_then(|limits| limits.first()).expect("a limit");
    assert_eq!((limit.soft, limit.hard, config.cpuset_cpus.as_deref()), (Some(1024), Some(-1), Some("0")));
}

#[test]
fn powers_and_namespaces_reach_the_engine_as_they_were_asked_for() {
    let mut spec = spec();
    let bind = Mount { kind: "bind".into(), source: "/a".into(), target: "/b".into(), ..Mount::default() };
    spec.engine = EngineSpec {
        mounts: vec![bind],
        read_only: true,
        tty: true,
        stdin_open: true,
        init: true,
        privileged: true,
        security_opt: vec!["no-new-privileges:true".into()],
        devices: vec![Device { host: "/dev/fuse".into(), ..Device::default() }],
        device_cgroup_rules: vec!["c 1:3 mr".into()],
        group_add: vec!["audio".into()],
        pid_mode: "host".into(),
        ipc_mode: "shareable".into(),
        userns_mode: "host".into(),
        uts_mode: "host".into(),
        oci_runtime: "runsc".into(),
        storage_options: vec!["size=1G".into()],
        ..EngineSpec::default()
    };
    let body = unit(&spec, &owner());
    let config = host(&body);
    let flags = [body.tty, body.open_stdin, config.init, config.privileged, config.readonly_rootfs];
    assert_eq!(flags, [Some(true); 5]);
    let modes = [&config.pid_mode, &config.ipc_mode, &config.userns_mode, &config.uts_mode, &config.runtime];
    assert_eq!(modes.map(|mode| mode.as_deref().unwrap_or("")), ["host", "shareable", "host", "host", "runsc"]);
    assert_eq!(config.binds, Some(vec!["/a:/b:rw".to_owned()]));
    let device = config.devices.as_ref().and_then(|devices| devices.first()).expect("a device");
    let (path, may) = (device.path_in_container.as_deref(), device.cgroup_permissions.as_deref());
    assert_eq!((path, may), (Some("/dev/fuse"), Some("rwm")));
    assert_eq!(config.storage_opt, Some(HashMap::from([("size".into(), "1G".into())])));
    assert_eq!(config.group_add, Some(vec!["audio".to_owned()]));
    assert!(config.device_cgroup_rules.is_some() && config.security_opt.is_some());
}
