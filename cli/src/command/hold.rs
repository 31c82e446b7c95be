//! `remuda hold --spec FILE`: the parent of one container; the agent starts it and may die without it.

use std::path::PathBuf;

use crate::failure::Outcome;

#[derive(clap::Args)]
pub struct Args {
    /// What to hold, as the agent wrote it
    #[arg(long, value_name = "FILE")]
    spec: PathBuf,
}

/// No thread but this one exists yet: the holder forks.
pub fn run(args: Args) -> Outcome {
    Ok(remuda_agent::hold(&args.spec))
}
