//! Words of other tools that mean nothing here: refused by name, with what to type instead.

use crate::failure::{Failure, Outcome};

/// Takes whatever else was typed, so that the answer is about the command and not about its flags.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<std::ffi::OsString>,
}

/// `why` is a sentence, `instead` what to type or do.
pub fn refuse(command: &str, why: &str, instead: &str) -> Outcome {
    Err(Failure::usage(format!("there is no `remuda {command}`: {why}")).advice(instead))
}
