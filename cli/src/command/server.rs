//! `remuda server`: the orchestrator, and an agent on its own host as a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnetwork::Ipv4Network;

use super::agent::HostArgs;
use crate::connection::DEFAULT_DATA_DIR;
use crate::failure::{Failure, Outcome};

pub const EXAMPLES: &str = "Examples:
  remuda server                                  a fleet of one host; prints the line to run on further hosts
  remuda server --advertise 192.0.2.1 --name h1
  remuda server --no-agent                       only the server, no containers on this host
  remuda server --overlay-pool 10.52.0.0/16 --vip-pool 10.53.0.0/16";

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// Where the server keeps its state, CA and first API key; the agent's is `agent` in there
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Where the API and the agents' connections are answered
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Run no agent on this host
    #[arg(long)]
    no_agent: bool,
    /// Addresses of containers; may be repeated [default: 10.42.0.0/16]
    #[arg(long = "overlay-pool", value_name = "CIDR")]
    overlay_pools: Vec<Ipv4Network>,
    /// Virtual addresses of services; may be repeated [default: 10.43.0.0/16]
    #[arg(long = "vip-pool", value_name = "CIDR")]
    vip_pools: Vec<Ipv4Network>,
    /// What is logged, as RUST_LOG
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

pub fn run(_args: Args) -> Outcome {
    Err(Failure::new("the server is not in this tree yet"))
}
