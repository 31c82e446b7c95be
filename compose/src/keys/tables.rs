//! The keys themselves, one table per kind of map; those we act on come first.
//!
//! By hand, from the published JSON schema and the references of Compose 1 and 2. `docs/compose.md` lists them for
//! people; `docs_test` holds the two together.

use super::Inner::{self, Leaf, List, Map, Named};
use super::{Fate, Key, Table};
use crate::rancher::keys as rancher;

pub(crate) const fn now(name: &'static str) -> Key {
    now_in(name, Leaf)
}

pub(crate) const fn now_in(name: &'static str, inner: Inner) -> Key {
    Key { name, fate: Fate::Acted, inner, is_outside_schema: false }
}

const fn noted(name: &'static str, meaning: &'static str) -> Key {
    noted_in(name, Leaf, meaning)
}

const fn noted_in(name: &'static str, inner: Inner, meaning: &'static str) -> Key {
    Key { name, fate: Fate::Noticed(meaning), inner, is_outside_schema: false }
}

const fn refused(name: &'static str, reason: &'static str) -> Key {
    refused_in(name, Leaf, reason)
}

const fn refused_in(name: &'static str, inner: Inner, reason: &'static str) -> Key {
    Key { name, fate: Fate::Refused(reason), inner, is_outside_schema: false }
}

/// Below a key that is not acted on.
const fn part(name: &'static str) -> Key {
    part_in(name, Leaf)
}

const fn part_in(name: &'static str, inner: Inner) -> Key {
    noted_in(name, inner, "")
}

/// Older or newer than the published schema.
const fn outside(key: Key) -> Key {
    Key { is_outside_schema: true, ..key }
}

macro_rules! tables {
    ($($table:ident, $expected:literal: [$($key:expr),* $(,)?];)*) => { $(
        pub(crate) static $table: Table = Table { expected: $expected, keys: &[$($key),*] };
    )* };
}

const NOTHING_BUILT: &str = "nothing is built, the image must exist";
const NOTHING_MOUNTED: &str = "nothing is mounted";
const NOT_EXTENDED: &str =
    "services are not put together yet: write the keys here, or share them by an anchor (`<<: *base`)";
const NO_MODEL: &str = "no model is provided";
const NOT_RUN: &str = "the command is not run";
const NO_DEVICE: &str = "no such device is given or reserved";
const OWN_ADDRESSES: &str = "the fleet gives addresses";
const OWN_NETWORK: &str = "every network is the fleet's own overlay";
const OWN_NAMES: &str = "containers are named `<stack>-<service>-<number>`";
const OWN_ROLLOUT: &str = "changes are rolled out in the fleet's own way";
const WINDOWS: &str = "it means something on Windows only";
const NO_REAL_TIME: &str = "no real-time share is given";
const DRIVER_OF_VOLUMES: &str = "a volume has its `driver` under the top-level `volumes:`";
const SWAPPINESS: &str = "the host's own value holds";

tables! {
    FILE, "a map with `services:`": [
        now("version"), now_in("services", Named(&SERVICE)), now_in("networks", Named(&NETWORK)),
        now_in("volumes", Named(&VOLUME)),
        now("name"),
        refused_in("include", List(&INCLUDE), "files are not put together yet: write their services here"),
        noted_in("models", Named(&MODEL), NO_MODEL),
        noted_in("secrets", Named(&SECRET), NOTHING_MOUNTED), noted_in("configs", Named(&CONFIG), NOTHING_MOUNTED),
    ];
    SERVICE, "a map of service keys such as `image:`": [
        now("image"), now("command"), now("entrypoint"), now("environment"), now_in("env_file", List(&ENV_FILE)),
        now("labels"), now("label_file"),
        now_in("ports", List(&PORT)), now("expose"), now_in("networks", Named(&ATTACHMENT)), now("network_mode"),
        now("links"), now("external_links"), now("hostname"), now("domainname"), now("dns"), now("dns_search"),
        now("dns_opt"), now("extra_hosts"),
        now_in("depends_on", Named(&DEPENDENCY)), now_in("deploy", Map(&DEPLOY)), now("scale"), now("profiles"), now("restart"),
        now("stop_grace_period"), now("stop_signal"), now_in("healthcheck", Map(&HEALTHCHECK)),
        now_in("volumes", List(&MOUNT)), now("volumes_from"), now("tmpfs"), now("shm_size"), now("read_only"), now("storage_opt"),
        now("user"), now("group_add"), now("working_dir"), now("init"), now("tty"), now("stdin_open"),
        now("privileged"), now("cap_add"), now("cap_drop"), now("security_opt"), now_in("devices", List(&DEVICE)),
        now("device_cgroup_rules"), now_in("ulimits", Named(&ULIMIT)), now("sysctls"),
        now("pid"), now("ipc"), now("uts"), now("userns_mode"), now("cgroup"), now("cgroup_parent"),
        now("cpus"), now("cpu_quota"), now("cpu_period"), now("cpu_shares"), now("cpuset"),
        now("mem_limit"), now("mem_reservation"), now("memswap_limit"), now("pids_limit"),
        now("oom_kill_disable"), now("oom_score_adj"),
        now("pull_policy"), now("platform"), now("runtime"), now_in("logging", Map(&LOGGING)),
        noted("annotations", "containers carry `labels` only"),
        noted("attach", "which logs to follow is said to `remuda logs`"),
        noted_in("blkio_config", Map(&BLKIO), "disks are shared without limits"),
        noted_in("build", Map(&BUILD), NOTHING_BUILT),
        noted_in("configs", List(&MOUNTED), NOTHING_MOUNTED),
        noted("container_name", OWN_NAMES),
        noted("cpu_count", WINDOWS), noted("cpu_percent", WINDOWS),
        noted("cpu_rt_period", NO_REAL_TIME), noted("cpu_rt_runtime", NO_REAL_TIME),
        noted_in("credential_spec", Map(&CREDENTIAL_SPEC), WINDOWS),
        noted_in("develop", Map(&DEVELOP), "nothing is watched, `up` again after a change"),
        refused_in("extends", Map(&EXTENDS), NOT_EXTENDED),
        noted_in("gpus", List(&GPU), NO_DEVICE),
        noted("isolation", WINDOWS),
        noted("mac_address", OWN_ADDRESSES),
        noted("mem_swappiness", SWAPPINESS),
        noted_in("models", Named(&SERVICE_MODEL), NO_MODEL),
        noted_in("post_start", List(&HOOK), NOT_RUN), noted_in("pre_stop", List(&HOOK), NOT_RUN),
        outside(noted_in("pre_start", List(&HOOK), NOT_RUN)),
        noted_in("provider", Map(&PROVIDER), "nothing outside is asked to provide it"),
        noted("pull_refresh_after", "an image is pulled where it is missing"),
        noted_in("secrets", List(&MOUNTED), NOTHING_MOUNTED),
        noted("use_api_socket", "the engine's socket is not mounted"),
        outside(noted("volume_driver", DRIVER_OF_VOLUMES)),
    ];
    SERVICE_V1, "a map of service keys such as `image:`": [
        now("image"), now("command"), now("entrypoint"), now("environment"), now("env_file"), now("labels"),
        now_in("ports", List(&PORT)), now("expose"), outside(now("net")), now("links"), now("external_links"),
        now("hostname"), now("domainname"), now("dns"), now("dns_search"), now("extra_hosts"),
        now("restart"), now("stop_signal"), now("volumes"), now("volumes_from"), outside(now("volume_driver")), now("shm_size"),
        now("read_only"), now("user"), now("working_dir"), now("tty"), now("stdin_open"),
        now("privileged"), now("cap_add"), now("cap_drop"), now("security_opt"), now("devices"),
        now_in("ulimits", Named(&ULIMIT)), now("pid"), now("ipc"), now("cgroup_parent"),
        now("cpu_quota"), now("cpu_shares"), now("cpuset"), now("mem_limit"), now("mem_reservation"),
        now("memswap_limit"), outside(now("log_driver")), outside(now("log_opt")),
        noted("build", NOTHING_BUILT), outside(noted("dockerfile", NOTHING_BUILT)),
        noted("container_name", OWN_NAMES),
        refused_in("extends", Map(&EXTENDS), NOT_EXTENDED),
        noted("mac_address", OWN_ADDRESSES),
        noted("mem_swappiness", SWAPPINESS),
    ];
    PORT, "a port such as `8080:80`, or a map with `target:`": [
        now("target"), now("published"), now("protocol"), now("mode"), now("host_ip"),
        noted("name", "a port has no name here"), noted("app_protocol", "nothing asks for it"),
    ];
    ATTACHMENT, "a map with `aliases:`, or nothing": [
        now("aliases"), noted("driver_opts", OWN_NETWORK), noted("gw_priority", OWN_NETWORK),
        noted("interface_name", OWN_NETWORK), noted("ipv4_address", OWN_ADDRESSES),
        noted("ipv6_address", OWN_ADDRESSES), noted("link_local_ips", OWN_ADDRESSES),
        noted("mac_address", OWN_ADDRESSES), noted("priority", OWN_NETWORK),
    ];
    DEPENDENCY, "a map with `condition:`": [
        now("condition"), now("required"), noted("restart", "a restart over there restarts nothing here"),
    ];
    DEPLOY, "a map with keys such as `replicas:`": [
        now("mode"), now("replicas"), now("endpoint_mode"), now_in("resources", Map(&RESOURCES)),
        now_in("placement", Map(&PLACEMENT)), now_in("restart_policy", Map(&RESTART_POLICY)),
        noted("labels", "containers carry the service's own `labels`"),
        noted_in("rollback_config", Map(&UPDATE), OWN_ROLLOUT), noted_in("update_config", Map(&UPDATE), OWN_ROLLOUT),
    ];
    RESOURCES, "a map with `limits:` and `reservations:`": [
        now_in("limits", Map(&LIMITS)), now_in("reservations", Map(&RESERVATIONS)),
    ];
    LIMITS, "a map with `cpus:`, `memory:` and `pids:`": [now("cpus"), now("memory"), now("pids")];
    RESERVATIONS, "a map with `cpus:` and `memory:`": [
        now("cpus"), now("memory"), noted_in("devices", List(&GPU), NO_DEVICE),
        noted_in("generic_resources", List(&GENERIC), NO_DEVICE),
    ];
    PLACEMENT, "a map with `constraints:`": [
        now("constraints"), now("max_replicas_per_node"),
        noted_in("preferences", List(&PREFERENCE), "containers are spread evenly over hosts, whatever their labels"),
    ];
    RESTART_POLICY, "a map with `condition:`": [now("condition"), now("delay"), now("max_attempts"), now("window")];
    NETWORK, "a map with keys such as `internal:`, or nothing": [
        now("name"), now_in("external", Map(&EXTERNAL)), now("internal"),
        noted("attachable", "only services join it"), noted("driver", OWN_NETWORK), noted("driver_opts", OWN_NETWORK),
        noted("enable_ipv4", OWN_ADDRESSES), noted("enable_ipv6", OWN_ADDRESSES),
        noted_in("ipam", Map(&IPAM), OWN_ADDRESSES), noted("labels", "networks carry none"),
    ];
    VOLUME, "a map with keys such as `driver:`, or nothing": [
        now("name"), now_in("external", Map(&EXTERNAL)), now("driver"), now("driver_opts"),
        noted("labels", "volumes carry none of yours"),
    ];
    EXTERNAL, "`true`, `false`, or a map with `name:`": [now("name")];
    HEALTHCHECK, "a map with `test:`": [
        now("test"), now("interval"), now("timeout"), now("retries"), now("start_period"), now("start_interval"),
        now("disable"),
    ];
    ENV_FILE, "a path, or a map with `path:`": [now("path"), now("required"), now("format")];
    MOUNT, "a volume such as `data:/var/lib/data`, or a map with `type:` and `target:`": [
        now("type"), now("source"), now("target"), now("read_only"), now("consistency"), now_in("bind", Map(&BIND)),
        now_in("volume", Map(&VOLUME_MOUNT)), now_in("tmpfs", Map(&TMPFS)),
        noted_in("image", Map(&IMAGE_MOUNT), NOTHING_MOUNTED),
    ];
    BIND, "a map with keys such as `create_host_path:`": [
        now("create_host_path"), now("propagation"),
        noted("recursive", "what is mounted below is mounted too"), noted("selinux", "nothing is relabelled"),
    ];
    VOLUME_MOUNT, "a map with keys such as `nocopy:`": [
        now("nocopy"), noted("labels", "volumes carry none of yours"),
        refused("subpath", "engines mount whole volumes: mount it without, and name the folder where it is used"),
    ];
    TMPFS, "a map with `size:` and `mode:`": [now("size"), now("mode")];
    DEVICE, "a device such as `/dev/ttyUSB0`, or a map with `source:`": [
        now("source"), now("target"), now("permissions"),
    ];
    ULIMIT, "a number, or a map with `soft:` and `hard:`": [now("soft"), now("hard")];
    LOGGING, "a map with `driver:` and `options:`": [now("driver"), now("options")];
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
        part_in("device_read_bps", List(&RATE)), part_in("device_read_iops", List(&RATE)),
        part_in("device_write_bps", List(&RATE)), part_in("device_write_iops", List(&RATE)), part("weight"),
        part_in("weight_device", List(&WEIGHT)),
    ];
    RATE, "a map": [part("path"), part("rate")];
    WEIGHT, "a map": [part("path"), part("weight")];
    BUILD, "a map": [
        part("additional_contexts"), part("args"), part("cache_from"), part("cache_to"), part("context"),
        part("dockerfile"), part("dockerfile_inline"), part("entitlements"), part("extra_hosts"), part("isolation"),
        part("labels"), part("network"), part("no_cache"), part("platforms"), part("privileged"),
        part("provenance"), part("pull"), part("sbom"), part_in("secrets", List(&MOUNTED)), part("shm_size"),
        part("ssh"), part("tags"), part("target"), part_in("ulimits", Named(&ULIMIT)),
    ];
    MOUNTED, "a map": [part("gid"), part("mode"), part("source"), part("target"), part("uid")];
    CREDENTIAL_SPEC, "a map": [part("config"), part("file"), part("registry")];
    DEVELOP, "a map": [part_in("watch", List(&WATCH))];
    WATCH, "a map": [
        part("action"), part_in("exec", Map(&HOOK)), part("ignore"), part("include"), part("initial_sync"),
        part("path"), part("target"),
    ];
    HOOK, "a map": [part("command"), part("environment"), part("privileged"), part("user"), part("working_dir")];
    EXTENDS, "a map": [part("file"), part("service")];
    GPU, "a map": [part("capabilities"), part("count"), part("device_ids"), part("driver"), part("options")];
    GENERIC, "a map": [part_in("discrete_resource_spec", Map(&DISCRETE))];
    DISCRETE, "a map": [part("kind"), part("value")];
    SERVICE_MODEL, "a map": [part("endpoint_var"), part("model_var")];
    PROVIDER, "a map": [part("options"), part("type")];
    IMAGE_MOUNT, "a map": [part("subpath")];
    UPDATE, "a map": [
        part("delay"), part("failure_action"), part("max_failure_ratio"), part("monitor"), part("order"),
        part("parallelism"),
    ];
    PREFERENCE, "a map": [part("spread")];
    IPAM, "a map": [part_in("config", List(&SUBNET)), part("driver"), part("options")];
    SUBNET, "a map": [part("aux_addresses"), part("gateway"), part("ip_range"), part("subnet")];
    INCLUDE, "a map": [part("env_file"), part("path"), part("project_directory")];
    MODEL, "a map": [part("context_size"), part("model"), part("name"), part("runtime_flags")];
    SECRET, "a map": [
        part("driver"), part("driver_opts"), part("environment"), part_in("external", Map(&EXTERNAL)), part("file"),
        part("labels"), part("name"), part("template_driver"),
    ];
    CONFIG, "a map": [
        part("content"), part("environment"), part_in("external", Map(&EXTERNAL)), part("file"), part("labels"),
        part("name"), part("template_driver"),
    ];
}
