//! How a container's health is judged: what a service asks for, as accepted and stored.
//!
//! Two kinds, and with both, both must pass. [`HealthCheck`] is Cattle's: up to three other hosts connect to the
//! container, and it is healthy while any of them succeeds. [`HealthCommand`] is Compose's `healthcheck:`, a command run
//! inside the container by its own host. Without either, running is healthy.

pub mod limits;
pub mod request_line;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How many other hosts check one container (fewer if there are fewer; its own host if it is alone).
pub const CHECKERS_MAX: usize = 3;

/// A check from outside: a TCP connection, or an HTTP request over one, made by other hosts of the fleet.
///
/// Field names and defaults are those of `health_check:` in rancher-compose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// Port inside the container, 1..=65535.
    pub port: u16,
    /// `GET /ping HTTP/1.0`, as [`request_line::normal`] writes it: any answer of class 2xx or 3xx passes. None: a TCP connection that opens passes.
    pub request_line: Option<String>,
    /// From the begin of one check to the begin of the next.
    pub interval_ms: u64,
    /// For connecting and, with a request line, for the status line.
    pub response_timeout_ms: u64,
    /// Passes in a row after which a checker says healthy.
    pub healthy_threshold: u32,
    /// Failures in a row after which a checker says unhealthy.
    pub unhealthy_threshold: u32,
    /// A new container that is not healthy after this is unhealthy.
    pub initializing_timeout_ms: u64,
    /// The same after a restart of a container that was healthy once.
    pub reinitializing_timeout_ms: u64,
    pub strategy: Strategy,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            port: 0,
            request_line: None,
            interval_ms: 2_000,
            response_timeout_ms: 2_000,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
            initializing_timeout_ms: 60_000,
            reinitializing_timeout_ms: 60_000,
            strategy: Strategy::Recreate,
        }
    }
}

/// What happens to an unhealthy container besides leaving names, lists and rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case", tag = "kind", deny_unknown_fields)]
pub enum Strategy {
    /// It is left alone.
    None,
    /// It is stopped and another one takes its place.
    #[default]
    Recreate,
    /// The same, if at least `quorum` containers of the service are healthy.
    RecreateOnQuorum { quorum: u32 },
}

/// A check from inside: a command run in the container; exit code 0 passes.
///
/// Field names and defaults are those of Compose's `healthcheck:`.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCommand {
    /// Program and arguments; a shell form is `["/bin/sh", "-c", TEXT]` by now.
    #[prost(string, repeated, tag = "1")]
    pub argv: Vec<String>,
    #[prost(uint64, tag = "2")]
    pub interval_ms: u64,
    #[prost(uint64, tag = "3")]
    pub timeout_ms: u64,
    /// Failures in a row after which the container is unhealthy.
    #[prost(uint32, tag = "4")]
    pub retries: u32,
    /// From the start of the container on, failures count for nothing; the first pass ends it.
    #[prost(uint64, tag = "5")]
    pub start_period_ms: u64,
    /// Interval within the start period.
    #[prost(uint64, tag = "6")]
    pub start_interval_ms: u64,
}

impl HealthCommand {
    /// The command with Compose's times: 30 s interval and timeout, 3 retries, no start period, 5 s within one.
    pub fn new(argv: Vec<String>) -> Self {
        Self { argv, interval_ms: 30_000, timeout_ms: 30_000, retries: 3, start_period_ms: 0, start_interval_ms: 5_000 }
    }
}
