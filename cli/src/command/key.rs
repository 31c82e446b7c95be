//! `remuda key …`: who may use the API.

use std::process::ExitCode;

use remuda_api::resource::{ApiKey, KeyCreate, KeyCreated};
use reqwest::Method;

use crate::client::{Client, Refusal};
use crate::failure::Outcome;
use crate::listing::{OutputArgs, json, out, print};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Make an API key and print it, this once
    #[command(after_help = "Examples:
  remuda key create ci --no-host-access > ci.key     may not mount docker.sock, nor get root on a host otherwise
  REMUDA_KEY_FILE=ci.key remuda up -f compose.yaml -s shop
  remuda key create ann -o json | jq -r .key")]
    Create(CreateArgs),
    /// List API keys, without their secrets
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  remuda key ls
  remuda key ls -o json | jq -r '.[] | select(.host_access) | .name'"
    )]
    Ls(OutputArgs),
    /// Revoke an API key: its next request is refused
    #[command(
        visible_alias = "remove",
        after_help = "Examples:
  remuda key rm ci"
    )]
    Rm {
        /// Full name
        name: String,
    },
}

#[derive(clap::Args)]
pub struct CreateArgs {
    /// Whose it is: letters, digits and hyphens
    name: String,
    /// What gives power over a host is refused: docker.sock and other files of the host, privileged, devices, …
    #[arg(long)]
    no_host_access: bool,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// The key alone
    #[default]
    Line,
    /// Name, right and key
    Json,
}

pub async fn run(command: Command, client: &Client) -> Outcome {
    match command {
        Command::Create(args) => create(args, client).await,
        Command::Ls(output) => list(output, client).await,
        Command::Rm { name } => remove(&name, client).await,
    }
}

async fn create(args: CreateArgs, client: &Client) -> Outcome {
    let body = KeyCreate { name: args.name, host_access: !args.no_host_access };
    let created: KeyCreated = client.send(Method::POST, &["keys"], &body).await.map_err(Refusal::into_failure)?;
    match args.output {
        Format::Json => out(&json(&created)?)?,
        Format::Line => {
            eprintln!("The key of {}; it is not shown again. Use it with --key-file or REMUDA_KEY_FILE:", created.name);
            out(&format!("{}\n", created.key))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn list(output: OutputArgs, client: &Client) -> Outcome {
    let keys: Vec<ApiKey> = client.get(&["keys"]).await?;
    print(&keys, output.output)?;
    Ok(ExitCode::SUCCESS)
}

async fn remove(name: &str, client: &Client) -> Outcome {
    client.delete(&["keys", name]).await.map_err(Refusal::into_failure)?;
    out(&format!("{name}: revoked\n"))?;
    Ok(ExitCode::SUCCESS)
}
