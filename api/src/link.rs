//! What an agent and the orchestrator say to each other besides assignments.
//!
//! Service `remuda.v1.AgentLink` (gRPC over TLS on 8443, the agent always dials):
//!
//! | method | kind | authenticated by |
//! |---|---|---|
//! | `Join` | unary [`JoinRequest`] -> [`Credentials`] | token secret, after the CA digest matched |
//! | `Renew` | unary [`RenewRequest`] -> [`Credentials`] | own certificate, expired or not |
//! | `Assign` | server stream [`AssignRequest`] -> [`Update`] | certificate |
//! | `Report` | client stream [`Report`] -> [`ReportEnd`] | certificate; each report renews the lease |
//! | `Orders` | server stream [`OrdersRequest`] -> [`Order`] | certificate |
//! | `Session` | bidirectional [`Frame`] <-> [`Frame`] | certificate; first frame names the order it answers |
//! | `Leave` | unary [`LeaveRequest`] -> [`LeaveReply`] | certificate, void afterwards |

use serde::{Deserialize, Serialize};

use crate::assignment::{Assignment, Delta};

/// Full gRPC service name; the method paths are `/<SERVICE>/<Method>`.
pub const SERVICE: &str = "remuda.v1.AgentLink";
/// Protocol version; one apart works in both orders.
pub const PROTOCOL_VERSION: u32 = 1;
/// How often an agent reports when nothing changes, milliseconds: four chances before suspect (2 s).
pub const REPORT_INTERVAL_MS: u64 = 500;

/// What a host is and can, said at joining and at every connection.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    #[prost(string, tag = "1")]
    pub name: String,
    /// Tunnel address, IPv4 text.
    #[prost(string, tag = "2")]
    pub underlay_ip: String,
    /// All global addresses on its uplinks.
    #[prost(string, repeated, tag = "3")]
    pub frontend_ips: Vec<String>,
    #[prost(uint32, tag = "4")]
    pub uplink_mtu: u32,
    /// Thousandths of a core that may be placed here.
    #[prost(uint64, tag = "5")]
    pub cpu_milli: u64,
    #[prost(uint64, tag = "6")]
    pub memory_bytes: u64,
    /// `key=value`.
    #[prost(string, repeated, tag = "7")]
    pub labels: Vec<String>,
    /// Routes of this host, CIDR: pools that overlap one are refused.
    #[prost(string, repeated, tag = "8")]
    pub routes: Vec<String>,
    #[prost(string, tag = "9")]
    pub product_version: String,
    #[prost(uint32, tag = "10")]
    pub protocol_version: u32,
    #[prost(uint32, tag = "11")]
    pub wire_version: u32,
    #[prost(uint32, tag = "12")]
    pub map_abi: u32,
    #[prost(string, repeated, tag = "13")]
    pub runtimes: Vec<String>,
    /// `<protocol>/<port>` with a listener of the host's own: may not be published; value `22/tcp sshd`.
    #[prost(string, repeated, tag = "14")]
    pub listening: Vec<String>,
    /// The container engine, in words: `docker 20.10.24`; empty = none answers.
    #[prost(string, tag = "15")]
    pub engine: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct JoinRequest {
    #[prost(string, tag = "1")]
    pub token_secret: String,
    /// PEM certificate signing request with the agent's public key; the CA chooses all names.
    #[prost(string, tag = "2")]
    pub csr_pem: String,
    #[prost(message, optional, tag = "3")]
    pub facts: Option<HostFacts>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RenewRequest {
    #[prost(string, tag = "1")]
    pub csr_pem: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Credentials {
    #[prost(uint32, tag = "1")]
    pub node_id: u32,
    #[prost(string, tag = "2")]
    pub certificate_pem: String,
    #[prost(string, tag = "3")]
    pub ca_pem: String,
    /// RFC 3339.
    #[prost(string, tag = "4")]
    pub not_after: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct AssignRequest {
    /// Generation this host goes by; 0 = none. A server whose store never reached it is a copy from before, and says so.
    #[prost(uint64, tag = "1")]
    pub held_generation: u64,
    #[prost(message, optional, tag = "2")]
    pub facts: Option<HostFacts>,
}

/// One message of the assignment stream: the full set first, then deltas.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Update {
    #[prost(oneof = "UpdateKind", tags = "1, 2")]
    pub kind: Option<UpdateKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum UpdateKind {
    #[prost(message, tag = "1")]
    Full(Assignment),
    #[prost(message, tag = "2")]
    Delta(Delta),
}

/// What this host observes. The first report of a connection is complete, later ones carry changed containers only.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Report {
    /// The last generation whose every step is done here.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    #[prost(message, repeated, tag = "2")]
    pub containers: Vec<ContainerStatus>,
    /// Containers that no longer exist here.
    #[prost(string, repeated, tag = "3")]
    pub gone: Vec<String>,
    /// True = `containers` is all there is.
    #[prost(bool, tag = "4")]
    pub complete: bool,
    /// Set when they changed since the last report.
    #[prost(message, optional, tag = "5")]
    pub facts: Option<HostFacts>,
    /// Steps that keep failing, in words; empty when all is well.
    #[prost(string, repeated, tag = "6")]
    pub problems: Vec<String>,
    /// Peers that answered this host since the last report.
    #[prost(message, repeated, tag = "7")]
    pub peers: Vec<PeerSeen>,
    /// Checks whose outcome changed since the last report; all of them when `complete`.
    #[prost(message, repeated, tag = "8")]
    pub checks: Vec<CheckResult>,
    /// When it was made: milliseconds since this stream began, on the host's monotonic clock. So that a report which
    /// was under way for seconds does not make `peers` look younger than they are; absent = nothing is said.
    #[prost(uint64, optional, tag = "9")]
    pub made_ms: Option<u64>,
    /// This agent has taken an assignment and tried its every step once: its host is ready. `generation` may come later,
    /// or never while a step keeps failing. See [`Report::has_applied`].
    #[prost(bool, tag = "10")]
    pub is_applied: bool,
}

impl Report {
    /// The host is ready; agents that do not say `is_applied` are so when they have done every step once.
    pub fn has_applied(&self) -> bool {
        self.is_applied || self.generation > 0
    }
}

/// Proof that another host lives: it answered something this host had sent it.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PeerSeen {
    #[prost(uint32, tag = "1")]
    pub node_id: u32,
    /// Its agent answered by gossip this many milliseconds before this report; absent = not since the last report.
    #[prost(uint32, optional, tag = "2")]
    pub gossip_ms: Option<u32>,
    /// Its host endpoint answered through the overlay (the kernel does that, without the agent).
    #[prost(uint32, optional, tag = "3")]
    pub probe_ms: Option<u32>,
}

/// What this host found of a container it checks ([`crate::assignment::Check`]).
#[derive(Clone, PartialEq, prost::Message)]
pub struct CheckResult {
    #[prost(uint32, tag = "1")]
    pub endpoint_id: u32,
    #[prost(enumeration = "CheckOutcome", tag = "2")]
    pub outcome: i32,
    /// Of the last failure: `connect: connection refused`, `answered 500`; empty while it passes.
    #[prost(string, tag = "3")]
    pub reason: String,
}

/// After as many passes or failures in a row as the check's `rise` and `fall` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum CheckOutcome {
    /// Not decided yet.
    Unknown = 0,
    Passing = 1,
    Failing = 2,
}

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerStatus {
    #[prost(string, tag = "1")]
    pub name: String,
    /// As [`crate::resource::ContainerState`] in kebab-case.
    #[prost(string, tag = "2")]
    pub state: String,
    #[prost(string, tag = "3")]
    pub health: String,
    /// Why it failed or is unhealthy; empty = nothing to say.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// 0 = none.
    #[prost(uint32, tag = "5")]
    pub pid: u32,
    #[prost(uint32, tag = "6")]
    pub restarts: u32,
    #[prost(int32, tag = "7")]
    pub exit_code: i32,
    /// RFC 3339; empty before the first start.
    #[prost(string, tag = "8")]
    pub started: String,
    #[prost(uint64, tag = "9")]
    pub spec_revision: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ReportEnd {}

/// This host leaves the fleet by its own operator's word: it is forgotten, its containers are placed elsewhere.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaveRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaveReply {}

#[derive(Clone, PartialEq, prost::Message)]
pub struct OrdersRequest {}

/// Something to do now for a waiting user; the agent answers by opening `Session`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Order {
    /// Names the session that answers it.
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(oneof = "OrderKind", tags = "2, 3, 4, 5, 6")]
    pub kind: Option<OrderKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum OrderKind {
    #[prost(message, tag = "2")]
    Logs(LogsOrder),
    #[prost(message, tag = "3")]
    Exec(ExecOrder),
    #[prost(message, tag = "4")]
    Dns(DnsOrder),
    /// Leave the fleet: stop everything, remove everything.
    #[prost(message, tag = "5")]
    Leave(LeaveOrder),
    #[prost(message, tag = "6")]
    RemoveVolume(RemoveVolumeOrder),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LogsOrder {
    #[prost(string, tag = "1")]
    pub container: String,
    #[prost(bool, tag = "2")]
    pub follow: bool,
    /// Last n lines; 0 = all kept.
    #[prost(uint32, tag = "3")]
    pub tail: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ExecOrder {
    #[prost(string, tag = "1")]
    pub container: String,
    #[prost(string, repeated, tag = "2")]
    pub argv: Vec<String>,
    /// A terminal of this size; 0 = no terminal.
    #[prost(uint32, tag = "3")]
    pub rows: u32,
    #[prost(uint32, tag = "4")]
    pub columns: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct DnsOrder {
    #[prost(string, tag = "1")]
    pub container: String,
    #[prost(string, tag = "2")]
    pub name: String,
    /// Record type in words: `A`, `AAAA`, `SRV`, …
    #[prost(string, tag = "3")]
    pub kind: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct LeaveOrder {
    #[prost(bool, tag = "1")]
    pub force: bool,
}

/// Answered by `Exit` 0 when the volume is gone (or never was), by `Error` with the engine's words.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RemoveVolumeOrder {
    /// Its full name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// One piece of a session, either way. Flow control is HTTP/2's window.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Frame {
    /// First frame of the agent only: the order this session answers.
    #[prost(string, tag = "1")]
    pub order_id: String,
    #[prost(oneof = "FrameKind", tags = "2, 3, 4, 5, 6, 7, 8")]
    pub kind: Option<FrameKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum FrameKind {
    #[prost(bytes = "vec", tag = "2")]
    Stdin(Vec<u8>),
    #[prost(bytes = "vec", tag = "3")]
    Stdout(Vec<u8>),
    #[prost(bytes = "vec", tag = "4")]
    Stderr(Vec<u8>),
    /// The other side will send no more input.
    #[prost(bool, tag = "5")]
    StdinEnd(bool),
    #[prost(message, tag = "6")]
    Resize(Resize),
    /// Last frame: exit code of the command (0 for logs and dns).
    #[prost(int32, tag = "7")]
    Exit(i32),
    /// Last frame: why there is nothing to give; DnsAnswer travels as JSON in Stdout.
    #[prost(string, tag = "8")]
    Error(String),
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Resize {
    #[prost(uint32, tag = "1")]
    pub rows: u32,
    #[prost(uint32, tag = "2")]
    pub columns: u32,
}
