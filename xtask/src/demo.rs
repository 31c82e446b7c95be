//! `cargo xtask demo`: the main job on this machine alone.

use anyhow::{Result, bail};

/// The main job on this machine alone, printed with what was measured.
#[derive(clap::Args)]
pub struct Args {
    /// Clean up at the end instead of leaving the lab running
    #[arg(long)]
    once: bool,
}

pub fn run(args: &Args) -> Result<()> {
    bail!("demo (once: {}) is not in this tree yet", args.once);
}
