//! `cargo xtask bench`: ours beside its peers, in one run.

use anyhow::{Result, bail};

/// Measure against the peers of ANCHORS.md; writes target/bench/NAME.json.
#[derive(clap::Args)]
pub struct Args {
    /// overlay, vip
    names: Vec<String>,
}

pub fn run(args: &Args) -> Result<()> {
    bail!("bench {} is not in this tree yet", args.names.join(" "));
}
