//! `cargo xtask vm`: refused by name until the issue that brings other kernels.

use anyhow::{Result, bail};

/// Load and test on another kernel in QEMU (not there yet).
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask vm --kernel 6.1")]
pub struct Args {
    /// 6.1 or 6.12
    #[arg(long)]
    kernel: String,
}

pub fn run(args: &Args) -> Result<()> {
    bail!("`vm --kernel {}` comes with a later issue: other kernels are not tried by this tree yet", args.kernel);
}
