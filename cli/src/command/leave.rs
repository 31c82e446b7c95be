//! `remuda leave`: this host ends its part, and nothing of it stays behind.

use std::path::PathBuf;

use crate::failure::{Failure, Outcome};

pub const EXAMPLES: &str = "Examples:
  remuda leave            stop everything here, say goodbye to the server, remove every trace
  remuda leave --force    the same when no server is in reach";

#[derive(clap::Args)]
pub struct Args {
    /// Do not wait for the server's consent
    #[arg(long)]
    force: bool,
    /// The agent's data directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/remuda/agent")]
    data_dir: PathBuf,
}

pub fn run(_args: Args) -> Outcome {
    Err(Failure::new("leaving is not in this tree yet"))
}
