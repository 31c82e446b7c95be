//! Keys that a container engine acts on: what they become, and what their author is told when they are wrong.

mod common;

use common::{notices, problems, try_load, web, web_file};
use remuda_api::engine::{Device, EngineSpec, Mount, Ulimit};
use remuda_api::spec::{RestartLimits, RestartPolicy};

fn engine(keys: &str) -> EngineSpec {
    web(keys).engine
}

fn mount(kind: &str, source: &str, target: &str) -> Mount {
    Mount { kind: kind.into(), source: source.into(), target: target.into(), ..Mount::default() }
}

/// The file of service `web` with these keys, and volume `data`.
fn with_data(keys: &str) -> String {
    web_file(keys) + "volumes:\n  data:\n"
}

fn mounts(keys: &str) -> Vec<Mount> {
    common::spec(&with_data(keys)).services["web"].engine.mounts.clone()
}

#[test]
fn a_service_without_such_keys_asks_the_engine_for_nothing() {
    assert_eq!(engine("environment: {A: b}"), EngineSpec::default());
}

#[test]
fn mounts_in_the_short_form_are_volumes_paths_or_anonymous() {
    let found = mounts(
        "volumes:
- data:/a
- /etc/ssl/:/b/../c:ro
- /d
- ./x/../y:/e:rw
- ..:/f:nocopy,rslave
- ~/g:/g:cached
- data:/h:ro,nocopy",
    );
    let expected = [
        mount("volume", "data", "/a"),
        Mount { read_only: true, ..mount("bind", "/etc/ssl", "/c") },
        mount("volume", "", "/d"),
        mount("bind", "/srv/app/y", "/e"),
        Mount { propagation: "rslave".into(), ..mount("bind", "/srv", "/f") },
        mount("bind", "/home/me/g", "/g"),
        Mount { no_copy: true, read_only: true, ..mount("volume", "data", "/h") },
    ];
    assert_eq!(found, expected);
}

#[test]
fn mounts_in_the_long_form_have_options_of_their_kind() {
    let found = mounts(
        "volumes:
- {type: bind, source: ./a, target: /a, read_only: true, bind: {propagation: shared}}
- {type: bind, source: /b, target: /b, bind: {create_host_path: true}}
- {type: bind, source: /b, target: /b2, bind: {create_host_path: false}}
- {type: bind, source: /b, target: /b3}
- {type: volume, source: data, target: /c, volume: {nocopy: true}}
- {type: volume, target: /d}
- {type: tmpfs, target: /e, tmpfs: {size: 10m, mode: 0o755}}
- {type: tmpfs, target: /f}",
    );
    let expected = [
        Mount { read_only: true, propagation: "shared".into(), ..mount("bind", "/srv/app/a", "/a") },
        mount("bind", "/b", "/b"),
        Mount { must_exist: true, ..mount("bind", "/b", "/b2") },
        mount("bind", "/b", "/b3"),
        Mount { no_copy: true, ..mount("volume", "data", "/c") },
        mount("volume", "", "/d"),
        Mount { tmpfs_bytes: 10 << 20, tmpfs_mode: 0o755, ..mount("tmpfs", "", "/e") },
        mount("tmpfs", "", "/f"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn tmpfs_is_one_path_or_a_list_with_options() {
    assert_eq!(engine("tmpfs: /run").mounts, [mount("tmpfs", "", "/run")]);
    let found = engine("tmpfs: ['/run', '/tmp:size=64m,mode=1770,ro,noexec']").mounts;
    let limited = Mount { read_only: true, tmpfs_bytes: 64 << 20, tmpfs_mode: 0o1770, ..mount("tmpfs", "", "/tmp") };
    assert_eq!(found, [mount("tmpfs", "", "/run"), limited]);
}

#[test]
fn relative_paths_say_once_where_they_begin() {
    let text = web_file("volumes: ['./a:/a', '~/b:/b']");
    let expected = "4:15: services.web.volumes[0]: relative paths begin at /srv/app and `~` at your home, on whichever \
                    host runs the container: what they name must be there (2 places)";
    assert_eq!(notices(&text), [expected]);
    assert_eq!(notices(&web_file("volumes: ['/a:/a']")), Vec::<String>::new());
}

#[test]
fn switches_and_words_are_taken_over() {
    let found = engine(
        "read_only: true\ntty: true\nstdin_open: yes\ninit: true\nprivileged: true\nshm_size: 64m\ngroup_add: [audio, 44]
cgroup_parent: /x\nruntime: runsc\nplatform: linux/arm64/v8\ndomainname: example.com\nstorage_opt: {size: 1G}
oom_kill_disable: true\noom_score_adj: -7\npull_policy: if_not_present\npid: host\nipc: shareable\nuts: host
userns_mode: host\ncgroup: private",
    );
    let text = |text: &str| text.to_owned();
    let expected = EngineSpec {
        read_only: true,
        tty: true,
        stdin_open: true,
        init: true,
        privileged: true,
        shm_bytes: 64 << 20,
        group_add: vec![text("audio"), text("44")],
        cgroup_parent: text("/x"),
        oci_runtime: text("runsc"),
        platform: text("linux/arm64/v8"),
        domainname: text("example.com"),
        storage_options: vec![text("size=1G")],
        oom_kill_disable: true,
        oom_score_adj: -7,
        pull: text("missing"),
        pid_mode: text("host"),
        ipc_mode: text("shareable"),
        uts_mode: text("host"),
        userns_mode: text("host"),
        ..EngineSpec::default()
    };
    assert_eq!(found, expected);
}

#[test]
fn capabilities_lose_their_prefix_and_are_named_once() {
    let found = engine("cap_add: [CAP_NET_ADMIN, net_admin, all]\ncap_drop: [chown]");
    assert_eq!((found.cap_add, found.cap_drop), (vec!["NET_ADMIN".into(), "ALL".into()], vec!["CHOWN".into()]));
}

#[test]
fn devices_have_a_place_in_the_container_and_permissions() {
    let device = |host: &str, container: &str, permissions: &str| Device {
        host: host.into(),
        container: container.into(),
        permissions: permissions.into(),
    };
    let found = engine(
        "devices:\n- /dev/a\n- /dev/a:/dev/b\n- /dev/a:/dev/c:r\n- /dev/d:rw\n- {source: /dev/e, permissions: rw}\ndevice_cgroup_rules: ['c 188:* rmw']",
    );
    let expected = [
        device("/dev/a", "/dev/a", "rwm"),
        device("/dev/a", "/dev/b", "rwm"),
        device("/dev/a", "/dev/c", "r"),
        device("/dev/d", "/dev/d", "rw"),
        device("/dev/e", "/dev/e", "rw"),
    ];
    assert_eq!(found.devices, expected);
    assert_eq!(found.device_cgroup_rules, ["c 188:* rmw"]);
}

#[test]
fn limits_of_processes_are_one_number_or_two() {
    let limit = |name: &str, soft, hard| Ulimit { name: name.into(), soft, hard };
    let found = engine("ulimits: {nproc: 65535, memlock: -1, nofile: {soft: '20000', hard: 40000}}");
    assert_eq!(
        found.ulimits,
        [limit("nproc", 65_535, 65_535), limit("memlock", -1, -1), limit("nofile", 20_000, 40_000)]
    );
    let found = engine("sysctls: [net.core.somaxconn=1024, kernel.msgmax=8192]");
    assert_eq!(found.sysctls, ["kernel.msgmax=8192", "net.core.somaxconn=1024"]);
    assert_eq!(engine("sysctls: {net.ipv4.tcp_syncookies: 0}").sysctls, ["net.ipv4.tcp_syncookies=0"]);
}

#[test]
fn names_and_resolvers_are_checked_and_taken_over() {
    let expected = ["a:10.0.0.1", "b:10.0.0.2", "c:::1", "d:::2"];
    assert_eq!(engine("extra_hosts: ['a:10.0.0.1', b=10.0.0.2, 'c:::1', 'd=[::2]']").extra_hosts, expected);
    let as_map = engine("extra_hosts: {a: 10.0.0.1, b: [10.0.0.2, 10.0.0.3], 'c': '::1'}").extra_hosts;
    assert_eq!(as_map, ["a:10.0.0.1", "b:10.0.0.2", "b:10.0.0.3", "c:::1"]);
    for keys in ["extra_hosts: ['h:host-gateway']", "extra_hosts: [h=host-gateway]", "extra_hosts: {h: host-gateway}"] {
        assert_eq!(engine(keys).extra_hosts, ["h:host-gateway"], "{keys}");
        assert_eq!(notices(&web_file(keys)), Vec::<String>::new(), "{keys}");
    }
    let found = engine("dns: 9.9.9.9\ndns_search: [a.example, b.example]\ndns_opt: ['ndots:2']");
    assert_eq!((found.dns, found.dns_search.len(), found.dns_opt), (vec!["9.9.9.9".into()], 2, vec!["ndots:2".into()]));
}

#[test]
fn security_options_are_written_one_way() {
    let found = engine("security_opt: [no-new-privileges, 'label=user:USER', 'seccomp=unconfined', 'apparmor:x']");
    assert_eq!(found.security_opt, ["no-new-privileges:true", "label:user:USER", "seccomp:unconfined", "apparmor:x"]);
}

#[test]
fn logs_have_a_driver_and_options_in_both_formats() {
    let found = engine("logging: {driver: json-file, options: {max-size: 10m, max-file: 3}}");
    assert_eq!(
        (found.log_driver.as_str(), found.log_options.join(" ")),
        ("json-file", "max-file=3 max-size=10m".into())
    );
    let spec = common::spec("web:\n  image: nginx\n  log_driver: local\n  log_opt: {max-size: 1m}\n");
    assert_eq!(spec.services["web"].engine.log_options, ["max-size=1m"]);
}

#[test]
fn what_the_image_says_is_cleared_where_the_file_says_so() {
    let found = engine("entrypoint: []\ncommand: ''\nhealthcheck: {disable: true}");
    assert!(found.clear_entrypoint && found.clear_command && found.no_healthcheck);
    let found = engine("entrypoint:\ncommand: [x]\nhealthcheck: {test: [CMD, x]}");
    assert_eq!(found, EngineSpec::default());
    assert!(engine("healthcheck: {test: NONE}").no_healthcheck);
}

#[test]
fn resources_of_compose_2_are_those_of_deploy() {
    let service = web(
        "cpus: 0.5\nmem_limit: 64m\nmem_reservation: 32m\npids_limit: 10\nmemswap_limit: 128m\ncpu_shares: 512\ncpuset: 0-1",
    );
    let resources = service.resources;
    assert_eq!((resources.limit_cpu_milli, resources.limit_memory_bytes, resources.limit_pids), (500, 64 << 20, 10));
    assert_eq!(resources.reserve_memory_bytes, 32 << 20);
    let engine = service.engine;
    assert_eq!((engine.memory_reservation_bytes, engine.memory_swap_bytes), (32 << 20, 128 << 20));
    assert_eq!((engine.cpu_shares, engine.cpuset.as_str()), (512, "0-1"));
    assert_eq!(web("cpu_quota: 50000").resources.limit_cpu_milli, 500);
    assert_eq!(web("cpu_quota: 50000\ncpu_period: 25000").resources.limit_cpu_milli, 2_000);
    for none in ["pids_limit: -1", "mem_limit: 0", "cpus: 0", "cpu_quota: -1", "memswap_limit: 0"] {
        assert_eq!(web(none).resources, Default::default(), "{none}");
    }
    assert_eq!(web("mem_limit: 1m\ndeploy: {resources: {limits: {memory: 1M}}}").resources.limit_memory_bytes, 1 << 20);
}

#[test]
fn restarts_have_limits() {
    let service = web("restart: on-failure:3");
    assert_eq!((service.restart, service.restart_limits.max_attempts), (RestartPolicy::OnFailure, Some(3)));
    let service = web("restart: on-failure:3\ndeploy: {restart_policy: {delay: 5s, max_attempts: 4, window: 2m}}");
    let limits = RestartLimits { delay_ms: Some(5_000), max_attempts: Some(4), window_ms: Some(120_000) };
    assert_eq!((service.restart, service.restart_limits), (RestartPolicy::Always, limits));
    assert_eq!(web("restart: on-failure:0").restart_limits, RestartLimits::default());
}

#[test]
fn volumes_have_names_drivers_and_owners() {
    let spec = common::spec(
        "services: {web: {image: nginx}}
volumes:
  plain:
  named: {name: shared-name}
  driven: {driver: nfs, driver_opts: {share: 'host:/x', retries: 3}}
  local: {driver: local}
  theirs: {external: true}
  old: {external: {name: older}}
",
    );
    let shown = |key: &str| {
        let volume = &spec.volumes[key];
        (volume.name.as_deref(), volume.external, volume.driver.as_deref())
    };
    assert_eq!(shown("plain"), (None, false, None));
    assert_eq!(shown("named"), (Some("shared-name"), false, None));
    assert_eq!(shown("driven"), (None, false, Some("nfs")));
    assert_eq!(spec.volumes["driven"].driver_options["retries"], "3");
    assert_eq!(shown("local"), (None, false, None));
    assert_eq!(shown("theirs"), (Some("theirs"), true, None));
    assert_eq!(shown("old"), (Some("older"), true, None));
}

#[test]
fn compose_1_makes_volumes_by_naming_them() {
    let spec = common::spec("web:\n  image: nginx\n  volume_driver: nfs\n  volumes: ['logs:/logs']\n");
    let volume = &spec.volumes["logs"];
    assert_eq!((volume.name.as_deref(), volume.driver.as_deref()), (Some("logs"), Some("nfs")));
}

#[test]
fn a_link_under_the_service_s_own_name_needs_no_word() {
    let text = "services:\n  web: {image: x, links: [db, 'db:db'], expose: [80, '3000-3001/udp']}\n  db: {image: y}\n";
    assert_eq!(notices(text), Vec::<String>::new());
}

/// What is said about service `web` with these keys (line 4 on) and volume `data`, each problem cut after its place.
fn said(keys: &str) -> Vec<String> {
    problems(&with_data(keys))
}

#[test]
fn what_is_wrong_is_said_where_it_stands() {
    for (keys, start, part) in [
        ("volumes: data:/data", "4:14:", "a list of volumes"),
        ("volumes: [data]", "4:15: services.web.volumes[0]", "is no path of a container"),
        ("volumes: ['data:/']", "4:15:", "whole file system"),
        ("volumes: ['data:/a', 'data:/a/']", "4:26: services.web.volumes[1]", "already mounted at `/a` (line 4)"),
        ("volumes: ['data:/a']\ntmpfs: /a", "5:12: services.web.tmpfs", "already mounted"),
        ("volumes: ['~you/a:/a']", "4:15:", "only `~/` of your own"),
        (
            "volumes: [{type: bind, source: a, target: /a, bind: {propagate: x}}]",
            "4:58:",
            "did you mean `propagation`?",
        ),
        ("volumes: [{type: tmpfs, target: /a, tmpfs: {mode: 99}}]", "4:55:", "octal"),
        ("volumes: [{type: bind, source: /a, taget: /a}]", "4:", "did you mean `target`?"),
        ("tmpfs: ['/a:sizes=1m']", "4:13:", "did you mean `size`?"),
        ("tmpfs: ['/a:size=lots']", "4:13:", "expected a size"),
        ("shm_size: 0", "4:15:", "a size above 0"),
        ("tty: maybe", "4:10:", "`true` or `false`"),
        ("cap_add: NET_ADMIN", "4:14:", "a list of capabilities"),
        ("group_add: ['a b']", "4:17:", "a group's name"),
        ("pid: private", "4:10:", "`host`"),
        ("ipc: none", "4:10:", "`host` or `private` or `shareable`"),
        ("userns_mode: 'container:x'", "4:18:", "different hosts"),
        ("ulimits: {nofile: many}", "4:23:", "a whole number from -1"),
        ("sysctls: {kernel.hostname: x}", "4:15: services.web.sysctls.kernel.hostname", "the whole host's"),
        ("sysctls: [vm.swappiness=1]", "4:15: services.web.sysctls[0]", "the whole host's"),
        ("logging: {driver: []}", "4:23:", "a log driver"),
        ("logging: {options: {a: [b]}}", "4:28:", "found a list"),
        ("links: [bd]", "4:13: services.web.links[0]", "unknown service `bd`"),
        ("expose: [http]", "4:14: services.web.expose[0]", "is no port"),
        ("env_file: []\nlabel_file: {a: b}", "5:17:", "a path, or a list of them"),
        ("env_file: gone.env", "4:15:", "there is no file `/srv/app/gone.env`"),
        ("env_file: [{pth: a}]", "4:16:", "has no `path:`"),
        ("mem_limit: 64m\nmem_reservation: 65m", "5:22:", "reserves more memory"),
        ("mem_limit: 64m\nmemswap_limit: 63m", "5:20:", "cannot be below"),
        ("cpu_quota: 5", "4:16:", "microseconds"),
        ("pids_limit: 9999999999", "4:17:", "from 1 to"),
        ("restart: on-failure:x", "4:14:", "`on-failure`"),
        ("deploy: {restart_policy: {delay: 5}}", "4:38:", "a duration with a unit"),
        ("platform: linux/", "4:15:", "a platform such as"),
        ("domainname: a..b", "4:17:", "domain `a..b`"),
    ] {
        let found = said(keys);
        let is_said = found.iter().any(|problem| problem.starts_with(start) && problem.contains(part));
        assert!(is_said, "{keys}: {found:?}");
    }
}

#[test]
fn wrong_volumes_are_said_where_they_stand() {
    let file = |volume: &str| format!("services: {{web: {{image: nginx}}}}\nvolumes:\n  data: {volume}\n");
    for (volume, start, part) in [
        ("{driver: [x]}", "3:18: volumes.data.driver", "a volume driver"),
        ("{name: 'a b'}", "3:16: volumes.data.name", "volume name `a b`"),
        ("{external: true, driver: x}", "3:26: volumes.data.driver", "remove `driver`, or `external`"),
        ("{external: [x]}", "3:20: volumes.data.external", "found a list"),
        ("{drivr: x}", "3:10: volumes.data.drivr", "did you mean `driver`?"),
        ("text", "3:9: volumes.data", "a map with keys such as `driver:`"),
    ] {
        let found = problems(&file(volume));
        assert!(found.len() == 1 && found[0].starts_with(start) && found[0].contains(part), "{volume}: {found:?}");
    }
    let found = problems("services: {web: {image: nginx}}\nvolumes: {'.a': }\n");
    assert!(found[0].starts_with("2:11: volumes..a: volume name `.a`"), "{found:?}");
}

#[test]
fn a_process_of_the_host_may_say_what_no_engine_is_needed_for() {
    let text = "services:\n  api:\n    command: /bin/api\n    x-remuda: {runtime: process}\n    healthcheck: {disable: true}\n    mem_limit: 64m\n    mem_reservation: 32m\n    tty: false\n";
    let loaded = try_load(text).expect("loads");
    assert_eq!(loaded.spec.services["api"].engine, EngineSpec::default());
    assert_eq!(loaded.spec.services["api"].resources.limit_memory_bytes, 64 << 20);
}
