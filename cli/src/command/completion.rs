//! `remuda completion SHELL`.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::arguments::Cli;
use crate::failure::Outcome;
use crate::listing::out;

#[derive(clap::Args)]
pub struct Args {
    /// Whose language the script is in
    #[arg(value_enum)]
    shell: Language,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Language {
    Bash,
    Zsh,
    Fish,
}

pub fn run(args: Args) -> Outcome {
    let shell = match args.shell {
        Language::Bash => Shell::Bash,
        Language::Zsh => Shell::Zsh,
        Language::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "remuda", &mut script);
    out(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
