//! `remuda volume …`: named volumes, and the hosts that have their data.

use std::process::ExitCode;

use remuda_api::resource::Volume;

use crate::client::{Client, Refusal};
use crate::failure::{Failure, Outcome};
use crate::listing::{OutputArgs, out, print};
use crate::name;

#[derive(clap::Subcommand)]
pub enum Command {
    /// List volumes, their hosts and who mounts them
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  remuda volume ls
  remuda volume ls shop -o wide
  remuda volume ls -o json | jq -r '.[] | select(.used_by == []) | .name'"
    )]
    Ls(ListArgs),
    /// Remove volumes with their data
    #[command(
        visible_alias = "remove",
        after_help = "Examples:
  remuda volume rm shop_data
  remuda volume rm shop_data shop_cache

Refused while a container mounts it, and while the host that has its data does not answer. The data of a host
that has left the fleet is only forgotten: who mounts the volume begins with an empty one."
    )]
    Rm {
        /// Full names
        #[arg(required = true, value_name = "VOLUME")]
        names: Vec<String>,
    },
}

#[derive(clap::Args)]
pub struct ListArgs {
    /// Only those of this stack
    #[arg(value_name = "STACK")]
    stack: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(command: Command, client: &Client) -> Outcome {
    match command {
        Command::Ls(args) => list(args, client).await,
        Command::Rm { names } => remove(&names, client).await,
    }
}

/// A stack that is gone may have left volumes: its name is not looked up.
async fn list(args: ListArgs, client: &Client) -> Outcome {
    let query: Vec<(&str, &str)> = args.stack.as_deref().map(|stack| ("stack", stack)).into_iter().collect();
    let volumes: Vec<Volume> = client.look_up_query(&["volumes"], &query).await.map_err(Refusal::into_failure)?;
    print(&volumes, args.output.output)?;
    Ok(ExitCode::SUCCESS)
}

/// Only full names: what is removed is not guessed. The first one that is refused ends it.
async fn remove(names: &[String], client: &Client) -> Outcome {
    for name in names {
        match client.delete(&["volumes", name]).await {
            Ok(_) => out(&format!("{name}: removed\n"))?,
            Err(Refusal::NotFound(problem)) => {
                let failure = Refusal::NotFound(problem).into_failure();
                return Err(match meant(name, client).await {
                    Some(advice) => failure.advice(advice),
                    None => failure,
                });
            }
            Err(refusal) => return Err(refusal.into_failure()),
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn meant(name: &str, client: &Client) -> Option<String> {
    let known: Result<Vec<Volume>, Failure> = client.get(&["volumes"]).await;
    let names: Vec<String> = known.ok()?.into_iter().map(|volume| volume.name).collect();
    Some(name::instead(name, &names, "remuda volume ls"))
}
