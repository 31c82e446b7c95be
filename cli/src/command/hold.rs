//! `remuda hold FILE`: the parent of one container; the agent starts it and may die without it.

use std::path::PathBuf;

use crate::failure::{Failure, Outcome};

#[derive(clap::Args)]
pub struct Args {
    /// What to hold, as the agent wrote it
    file: PathBuf,
}

pub fn run(_args: Args) -> Outcome {
    Err(Failure::new("the holder is not in this tree yet"))
}
