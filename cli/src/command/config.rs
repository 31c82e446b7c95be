//! `remuda config`: what a file means, without asking any server.

use std::process::ExitCode;

use super::up::stack_name;
use crate::compose_file::{self, FileArgs};
use crate::failure::Outcome;
use crate::listing::{json, out};
use crate::yaml;

#[derive(Default, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub files: FileArgs,
    /// Name of the stack
    #[arg(short, long, value_name = "STACK", default_value = "stack", value_parser = stack_name)]
    pub stack: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A Compose file that says everything
    #[default]
    Yaml,
    /// The same as JSON
    Json,
    /// Every field, as `PUT /v1/stacks/NAME` takes it
    Spec,
}

pub fn run(args: Args) -> Outcome {
    let spec = compose_file::load(&args.files, &args.stack)?.spec;
    let text = match args.output {
        Format::Yaml => yaml::print(&remuda_compose::print(&spec)),
        Format::Json => json(&remuda_compose::print(&spec))?,
        Format::Spec => json(&spec)?,
    };
    out(&text)?;
    Ok(ExitCode::SUCCESS)
}
