//! `remuda config`: what a file means, without asking any server.

use std::process::ExitCode;

use super::up::stack_name;
use crate::compose_file::{self, FileArgs};
use crate::failure::{Context, Outcome};
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
    /// What says something, for reading
    #[default]
    Yaml,
    /// Every field, as `PUT /v1/stacks/NAME` takes it
    Json,
}

pub fn run(args: Args) -> Outcome {
    let spec = compose_file::load(&args.files, &args.stack)?.spec;
    let text = match args.output {
        Format::Json => json(&spec)?,
        Format::Yaml => yaml::print(&serde_json::to_value(&spec).cannot("print the stack")?),
    };
    out(&text)?;
    Ok(ExitCode::SUCCESS)
}
