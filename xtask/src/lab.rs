//! `cargo xtask lab`: the lab by hand.

use anyhow::{Result, bail};

/// Hosts as network namespaces.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<()> {
    bail!("lab is not in this tree yet");
}
