//! What only a container engine can give a container: mounts, devices, capabilities and the like.
//!
//! One message all the way, as [`crate::health::HealthCommand`]: the Compose loader fills it, the orchestrator checks and
//! stores it, the assignment carries it, runtime `docker` acts on it. Runtime `process` has no engine: a service that
//! sets any of this needs `docker`. Words are Docker's own; absent (empty, 0, false) means the engine's default.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Options of a container that an engine runs.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineSpec {
    #[prost(message, repeated, tag = "1")]
    pub mounts: Vec<Mount>,
    /// The image's files cannot be written.
    #[prost(bool, tag = "2")]
    pub read_only: bool,
    #[prost(bool, tag = "3")]
    pub tty: bool,
    #[prost(bool, tag = "4")]
    pub stdin_open: bool,
    /// An init of the engine's is process 1 and reaps.
    #[prost(bool, tag = "5")]
    pub init: bool,
    #[prost(bool, tag = "6")]
    pub privileged: bool,
    /// Upper case, without `CAP_`; `ALL`.
    #[prost(string, repeated, tag = "7")]
    pub cap_add: Vec<String>,
    #[prost(string, repeated, tag = "8")]
    pub cap_drop: Vec<String>,
    /// `no-new-privileges:true`, `seccomp:unconfined`, …
    #[prost(string, repeated, tag = "9")]
    pub security_opt: Vec<String>,
    #[prost(message, repeated, tag = "10")]
    pub devices: Vec<Device>,
    #[prost(string, repeated, tag = "11")]
    pub device_cgroup_rules: Vec<String>,
    #[prost(message, repeated, tag = "12")]
    pub ulimits: Vec<Ulimit>,
    /// `key=value`.
    #[prost(string, repeated, tag = "13")]
    pub sysctls: Vec<String>,
    /// `name:address`, lines of /etc/hosts.
    #[prost(string, repeated, tag = "14")]
    pub extra_hosts: Vec<String>,
    /// Resolvers instead of the host's own; fleet names are not known to them.
    #[prost(string, repeated, tag = "15")]
    pub dns: Vec<String>,
    #[prost(string, repeated, tag = "16")]
    pub dns_search: Vec<String>,
    #[prost(string, repeated, tag = "17")]
    pub dns_opt: Vec<String>,
    /// Names or ids.
    #[prost(string, repeated, tag = "18")]
    pub group_add: Vec<String>,
    #[prost(uint64, tag = "19")]
    pub shm_bytes: u64,
    /// Empty or `host`.
    #[prost(string, tag = "20")]
    pub pid_mode: String,
    /// Empty, `private`, `shareable` or `host`.
    #[prost(string, tag = "21")]
    pub ipc_mode: String,
    /// Empty or `host`.
    #[prost(string, tag = "22")]
    pub userns_mode: String,
    /// Empty or `host`.
    #[prost(string, tag = "23")]
    pub uts_mode: String,
    /// Empty (= `missing`), `missing`, `always` or `never`.
    #[prost(string, tag = "24")]
    pub pull: String,
    /// Empty = the engine's json-file with rotation.
    #[prost(string, tag = "25")]
    pub log_driver: String,
    /// `key=value`.
    #[prost(string, repeated, tag = "26")]
    pub log_options: Vec<String>,
    /// `linux/amd64`.
    #[prost(string, tag = "27")]
    pub platform: String,
    /// Soft limit, bytes.
    #[prost(uint64, tag = "28")]
    pub memory_reservation_bytes: u64,
    /// Memory and swap together, bytes; -1 = no limit.
    #[prost(int64, tag = "29")]
    pub memory_swap_bytes: i64,
    /// Relative weight, 1024 = 1.
    #[prost(uint64, tag = "30")]
    pub cpu_shares: u64,
    /// `0-3`, `0,1`.
    #[prost(string, tag = "31")]
    pub cpuset: String,
    #[prost(bool, tag = "32")]
    pub oom_kill_disable: bool,
    /// -1000 to 1000.
    #[prost(int32, tag = "33")]
    pub oom_score_adj: i32,
    #[prost(string, tag = "34")]
    pub domainname: String,
    #[prost(string, tag = "35")]
    pub cgroup_parent: String,
    /// OCI runtime such as `runsc`.
    #[prost(string, tag = "36")]
    pub oci_runtime: String,
    /// `entrypoint: []`: the image's is not used.
    #[prost(bool, tag = "37")]
    pub clear_entrypoint: bool,
    /// `command: []`: the image's is not used.
    #[prost(bool, tag = "38")]
    pub clear_command: bool,
    /// `healthcheck: {disable: true}`: the image's is not used.
    #[prost(bool, tag = "39")]
    pub no_healthcheck: bool,
    /// `key=value`.
    #[prost(string, repeated, tag = "40")]
    pub storage_options: Vec<String>,
}

/// Something of the host, a volume or memory at a path of the container.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mount {
    /// `bind`, `volume` or `tmpfs`.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// bind: absolute path on the host. volume: in a spec its key under `volumes:`, in an assignment its full name;
    /// empty = a volume of this container's own. tmpfs: empty.
    #[prost(string, tag = "2")]
    pub source: String,
    /// Absolute path in the container.
    #[prost(string, tag = "3")]
    pub target: String,
    #[prost(bool, tag = "4")]
    pub read_only: bool,
    /// bind: a missing source is an error and not made (`create_host_path: false`).
    #[prost(bool, tag = "5")]
    pub must_exist: bool,
    /// bind: empty, `rprivate`, `shared`, …
    #[prost(string, tag = "6")]
    pub propagation: String,
    /// volume: what the image has at `target` is not copied in.
    #[prost(bool, tag = "7")]
    pub no_copy: bool,
    /// tmpfs: 0 = no limit.
    #[prost(uint64, tag = "8")]
    pub tmpfs_bytes: u64,
    /// tmpfs: permission bits; 0 = 1777.
    #[prost(uint32, tag = "9")]
    pub tmpfs_mode: u32,
    /// volume: it must exist on the host, and is never made or removed by us. Assignments only.
    #[prost(bool, tag = "10")]
    pub is_external: bool,
    /// volume: empty = `local`. Assignments only.
    #[prost(string, tag = "11")]
    pub driver: String,
    /// volume: `key=value`. Assignments only.
    #[prost(string, repeated, tag = "12")]
    pub driver_options: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Device {
    #[prost(string, tag = "1")]
    pub host: String,
    #[prost(string, tag = "2")]
    pub container: String,
    /// Of `rwm`.
    #[prost(string, tag = "3")]
    pub permissions: String,
}

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ulimit {
    /// `nofile`, `nproc`, …
    #[prost(string, tag = "1")]
    pub name: String,
    /// -1 = no limit.
    #[prost(int64, tag = "2")]
    pub soft: i64,
    #[prost(int64, tag = "3")]
    pub hard: i64,
}
