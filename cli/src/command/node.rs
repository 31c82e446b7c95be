//! `remuda node …`: hosts in the words of Docker Swarm.

use std::collections::BTreeMap;
use std::process::ExitCode;

use remuda_api::resource::{Availability, Host, HostPatch};
use reqwest::Method;

use super::host::{self, ListArgs, host_named, label_changes};
use super::ps;
use crate::client::{Client, Refusal};
use crate::connection::ConnectionArgs;
use crate::failure::{Failure, Outcome};
use crate::listing::{OutputArgs, out};

#[derive(clap::Subcommand)]
pub enum Command {
    /// List the hosts (as `remuda hosts`)
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  remuda node ls
  remuda node ls -o wide           with the reason of what is not ready"
    )]
    Ls(ListArgs),
    /// List the containers of one host (as `remuda ps --host NAME`)
    #[command(after_help = "Examples:
  remuda node ps h1
  remuda node ps h1 -o json | jq length")]
    Ps {
        /// Name, or the beginning of one
        name: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show everything that is known of one host (as `remuda host inspect`)
    #[command(after_help = "Examples:
  remuda node inspect h1
  remuda node inspect h1 | jq .availability")]
    Inspect {
        /// Name, or the beginning of one
        name: String,
    },
    /// Change a host's availability or labels, and return at once
    #[command(after_help = "Examples:
  remuda node update --availability drain h1       `remuda host drain h1` follows until it is empty
  remuda node update --availability active h1
  remuda node update --label-add zone=a --label-rm disk h1")]
    Update(UpdateArgs),
    /// Remove a host that is down; with --force, whatever it is
    #[command(after_help = "Examples:
  remuda node rm h3            refused while it is ready (as `remuda host rm --dead`)
  remuda node rm --force h3    its agent, if it runs, leaves no trace (as `remuda host rm`)")]
    Rm {
        /// Full name
        name: String,
        /// Remove it although it is not down
        #[arg(short, long)]
        force: bool,
    },
}

#[derive(clap::Args)]
pub struct UpdateArgs {
    /// Whether containers are placed there (active), stay (pause) or move away (drain)
    #[arg(long, value_enum, value_name = "STATE")]
    availability: Option<Wanted>,
    /// Set a label; may repeat
    #[arg(long, value_name = "KEY=VALUE")]
    label_add: Vec<String>,
    /// Remove a label; may repeat
    #[arg(long, value_name = "KEY")]
    label_rm: Vec<String>,
    /// Name, or the beginning of one
    name: String,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Wanted {
    Active,
    Pause,
    Drain,
}

/// The words are checked before a server is looked for.
pub async fn run(command: Command, connection: &ConnectionArgs) -> Outcome {
    let client = || Client::new(connection.connection()?);
    match command {
        Command::Ls(args) => host::list(args, &client()?).await,
        Command::Ps { name, output } => {
            let client = client()?;
            let host = host_named(&client, &name).await?;
            ps::print_of(&[("host", &host)], output, &client).await
        }
        Command::Inspect { name } => host::inspect(&name, &client()?).await,
        Command::Update(args) => {
            let patch = patch(&args)?;
            update(&args.name, &patch, &client()?).await
        }
        Command::Rm { name, force } => host::remove(&name, !force, &client()?).await,
    }
}

/// Prints the name, as Swarm does.
async fn update(typed: &str, patch: &HostPatch, client: &Client) -> Outcome {
    let name = host_named(client, typed).await?;
    let host: Host = client.send(Method::PATCH, &["hosts", &name], patch).await.map_err(Refusal::into_failure)?;
    out(&format!("{}\n", host.name))?;
    Ok(ExitCode::SUCCESS)
}

fn patch(args: &UpdateArgs) -> Result<HostPatch, Failure> {
    let availability = args.availability.map(|wanted| match wanted {
        Wanted::Active => Availability::Active,
        Wanted::Pause => Availability::Pause,
        Wanted::Drain => Availability::Drain,
    });
    let removed = args.label_rm.iter().map(|key| format!("{key}-"));
    let words: Vec<String> = args.label_add.iter().cloned().chain(removed).collect();
    if availability.is_none() && words.is_empty() {
        return Err(Failure::usage("nothing to change")
            .advice("say what: --availability active|pause|drain, --label-add KEY=VALUE or --label-rm KEY"));
    }
    let labels: BTreeMap<String, Option<String>> = label_changes(&words)?;
    Ok(HostPatch { labels, availability })
}
