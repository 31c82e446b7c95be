//! What `remuda agent` was told.

use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Options of one agent; the command line checks their form, [`crate::run`] checks that they fit this machine.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// The host's name in the fleet.
    pub name: String,
    /// Everything the agent remembers; made if missing, 0700.
    pub data_dir: PathBuf,
    /// The tunnel address; None = the first address of the interface with the default route.
    pub advertise: Option<Ipv4Addr>,
    /// Uplink interfaces; empty = those with a default route or the advertised address.
    pub uplinks: Vec<String>,
    /// `key=value`.
    pub labels: Vec<String>,
    /// Thousandths of a core that may be placed here; None = what the machine has.
    pub cpu_milli: Option<u64>,
    /// Bytes that may be placed here; None = what the machine has.
    pub memory_bytes: Option<u64>,
    /// The container engine's socket, whether it is there yet or not; None = no engine is used.
    pub docker: Option<PathBuf>,
    pub source: AssignmentSource,
}

/// Who says what this host should be.
#[derive(Clone, Debug)]
pub enum AssignmentSource {
    /// YAML or JSON, followed when it changes.
    File(PathBuf),
    Server {
        /// `ADDRESS:PORT`.
        address: String,
        /// The join token's file, `-` for standard input; needed only by a host that has no identity yet.
        token_file: Option<PathBuf>,
    },
}
