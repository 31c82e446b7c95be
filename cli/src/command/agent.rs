//! `remuda agent`: this host's part of the fleet.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::failure::{Failure, Outcome};
use crate::quantity;

pub const EXAMPLES: &str = "Examples:
  echo TOKEN | remuda agent --server 192.0.2.1:8443 --token-file -
                                            the line that `remuda server` and `remuda token create` print
  remuda agent                              a host that has joined before
  remuda agent --label zone=a --cpu 4 --memory 8G --server 192.0.2.1:8443 --token-file token
  remuda agent --assignment host.yaml       no server: the file says what this host runs; it is read again when it changes";

/// What a host says of itself; the same for an agent on its own and beside a server.
#[derive(Clone, Debug, clap::Args)]
pub struct HostArgs {
    /// This host's name in the fleet [default: its hostname]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// This host's address for the others: tunnel and API [default: that of the default route]
    #[arg(long, value_name = "IP")]
    pub advertise: Option<Ipv4Addr>,
    /// Interface on which published ports answer; may be repeated [default: those with a default route or the
    /// advertised address]
    #[arg(long = "uplink", value_name = "INTERFACE")]
    pub uplinks: Vec<String>,
    /// Label for placement; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = quantity::label)]
    pub labels: Vec<(String, String)>,
    /// Cores that may be placed here [default: all]
    #[arg(long, value_name = "N", value_parser = quantity::cpu_cores)]
    pub cpu: Option<f64>,
    /// Memory that may be placed here [default: all]
    #[arg(long, value_name = "SIZE", value_parser = quantity::memory_bytes)]
    pub memory: Option<u64>,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub host: HostArgs,
    /// Where this agent keeps its identity and what it must remember
    #[arg(long, value_name = "DIR", default_value = "/var/lib/remuda/agent")]
    pub data_dir: PathBuf,
    /// The fleet's server
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "assignment")]
    pub server: Option<String>,
    /// File with the join token, `-` for standard input; needed once
    #[arg(long, value_name = "FILE", conflicts_with = "assignment")]
    pub token_file: Option<PathBuf>,
    /// Take the assignment from this file (YAML or JSON) instead of a server
    #[arg(long, value_name = "FILE")]
    pub assignment: Option<PathBuf>,
    /// What is logged, as RUST_LOG
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

pub fn run(_args: Args) -> Outcome {
    Err(Failure::new("the agent is not in this tree yet"))
}
