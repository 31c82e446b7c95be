//! `remuda token create`: a secret that lets new hosts join.

use std::process::ExitCode;
use std::time::Duration;

use remuda_api::resource::{TokenCreate, TokenCreated};
use reqwest::Method;

use crate::client::{Client, Refusal};
use crate::failure::{Failure, Outcome};
use crate::listing::{json, out};
use crate::quantity;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Make a join token and print the line to run on the new host
    #[command(after_help = "Examples:
  remuda token create                       one host, within 15 minutes
  remuda token create --uses 10 --ttl 1h    ten hosts, within an hour
  remuda token create -o json | jq -r .token")]
    Create(CreateArgs),
}

#[derive(clap::Args)]
pub struct CreateArgs {
    /// How many hosts may join with it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    uses: u32,
    /// How long it may be used
    #[arg(long, default_value = "15m", value_name = "TIME", value_parser = quantity::duration)]
    ttl: Duration,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The line to run on the new host
    #[default]
    Line,
    /// Token, uses, expiry and the line
    Json,
}

pub async fn run(command: Command, client: &Client) -> Outcome {
    let Command::Create(args) = command;
    let created = create(args.uses, args.ttl, client).await?;
    match args.output {
        Format::Json => out(&json(&created)?)?,
        Format::Line => show_line(&created)?,
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn create(uses: u32, ttl: Duration, client: &Client) -> Result<TokenCreated, Failure> {
    let body = TokenCreate { uses, ttl_s: ttl.as_secs().max(1) };
    client.send(Method::POST, &["tokens"], &body).await.map_err(Refusal::into_failure)
}

/// The line alone on standard output, so that it can be piped; what it is for beside it.
pub fn show_line(created: &TokenCreated) -> Result<(), Failure> {
    let uses = if created.uses == 1 { "one host".to_owned() } else { format!("{} hosts", created.uses) };
    eprintln!("Run this as root on the new host ({uses}, until {}):", created.expires);
    out(&format!("{}\n", created.join_command))
}
