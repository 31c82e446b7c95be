//! `remuda stack …`: stacks in the words of Docker Swarm.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::services::{ServicesArgs, StacksArgs};
use super::up::stack_name;
use super::{config, down, ps, services, up};
use crate::client::Client;
use crate::compose_file::FileArgs;
use crate::connection::ConnectionArgs;
use crate::converge::DEFAULT_TIMEOUT;
use crate::failure::Outcome;
use crate::listing::OutputArgs;
use crate::quantity;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Run a stack from a Compose file, or bring it to what the file says now (as `remuda up`)
    #[command(
        visible_alias = "up",
        after_help = "Examples:
  remuda stack deploy -c docker-compose.yml shop
  remuda stack deploy -c docker-compose.yml --prune shop
  remuda stack deploy --compose-file - --detach shop < docker-compose.yml"
    )]
    Deploy(DeployArgs),
    /// List stacks (as `remuda stacks`)
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  remuda stack ls
  remuda stack ls -o json | jq -r '.[].name'"
    )]
    Ls(StacksArgs),
    /// List the containers of a stack (as `remuda ps STACK`)
    #[command(after_help = "Examples:
  remuda stack ps shop
  remuda stack ps shop -o wide           with the last lines a failed container wrote")]
    Ps {
        /// Name, or the beginning of one
        stack: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the services of a stack (as `remuda services STACK`)
    #[command(after_help = "Examples:
  remuda stack services shop
  remuda stack services shop -o json | jq '.[] | .name, .ports'")]
    Services {
        /// Name, or the beginning of one
        stack: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove stacks and follow until nothing is left (as `remuda down`)
    #[command(
        visible_aliases = ["remove", "down"],
        after_help = "Examples:
  remuda stack rm shop
  remuda stack rm shop blog --detach"
    )]
    Rm(RmArgs),
    /// Show what Compose files mean, without a server (as `remuda config`)
    #[command(after_help = "Examples:
  remuda stack config -c docker-compose.yml")]
    Config {
        #[command(flatten)]
        files: ComposeFiles,
    },
}

/// `-c`, as Swarm's commands take it.
#[derive(clap::Args)]
pub struct ComposeFiles {
    /// Compose file, `-` for standard input; may repeat [default: compose.yaml or docker-compose.yml here]
    #[arg(short = 'c', long = "compose-file", value_name = "FILE")]
    compose_files: Vec<PathBuf>,
}

#[derive(clap::Args)]
pub struct DeployArgs {
    #[command(flatten)]
    files: ComposeFiles,
    /// Remove services of the stack that the file no longer names
    #[arg(long)]
    prune: bool,
    /// Return at once
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
        hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    detach: bool,
    /// Taken as said: hosts always use the fleet's credentials for registries
    #[arg(long)]
    with_registry_auth: bool,
    /// How long to follow
    #[arg(long, default_value = DEFAULT_TIMEOUT, value_name = "TIME", value_parser = quantity::duration)]
    timeout: Duration,
    /// Name of the stack
    #[arg(value_parser = stack_name)]
    stack: String,
}

#[derive(clap::Args)]
pub struct RmArgs {
    /// Return at once
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "false",
        hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    detach: bool,
    /// How long to follow each
    #[arg(long, default_value = DEFAULT_TIMEOUT, value_name = "TIME", value_parser = quantity::duration)]
    timeout: Duration,
    /// Full names: removing takes no beginnings
    #[arg(required = true, value_name = "STACK")]
    stacks: Vec<String>,
}

/// The words are checked before a server is looked for.
pub async fn run(command: Command, connection: &ConnectionArgs) -> Outcome {
    let client = || Client::new(connection.connection()?);
    match command {
        Command::Deploy(args) => up::run(args.up(), connection).await,
        Command::Ls(args) => services::stacks(args, &client()?).await,
        Command::Ps { stack, output } => {
            let client = client()?;
            let stack = ps::stack_named(&client, &stack).await?;
            ps::print_of(&[("stack", &stack)], output, &client).await
        }
        Command::Services { stack, output } => {
            services::services(ServicesArgs { stack: Some(stack), output }, &client()?).await
        }
        Command::Rm(args) => remove(args, &client()?).await,
        Command::Config { files } => config::run(files.config()),
    }
}

/// One after the other; the first that cannot be removed ends it.
async fn remove(args: RmArgs, client: &Client) -> Outcome {
    for stack in args.stacks {
        down::run(down::Args { stack, detach: args.detach, timeout: args.timeout }, client).await?;
    }
    Ok(ExitCode::SUCCESS)
}

impl DeployArgs {
    fn up(self) -> up::Args {
        up::Args {
            files: self.files.ours(),
            stack: self.stack,
            detach: self.detach,
            prune: self.prune,
            timeout: self.timeout,
            ..up::Args::default()
        }
    }
}

impl ComposeFiles {
    fn ours(self) -> FileArgs {
        FileArgs { files: self.compose_files, ..FileArgs::default() }
    }

    fn config(self) -> config::Args {
        config::Args { files: self.ours(), stack: "stack".into(), ..config::Args::default() }
    }
}
