//! `remuda swarm …`: further hosts in the words of Docker Swarm.

use std::process::ExitCode;
use std::time::Duration;

use super::refused::{Words, refuse};
use super::token;
use crate::client::Client;
use crate::connection::ConnectionArgs;
use crate::failure::{Failure, Outcome};
use crate::listing::out;

/// As long as `remuda token create` gives without being told.
const TOKEN_TTL: Duration = Duration::from_secs(15 * 60);

#[derive(clap::Subcommand)]
pub enum Command {
    /// Make a join token for one host and print the line to run there (as `remuda token create`)
    #[command(after_help = "Examples:
  remuda swarm join-token
  remuda swarm join-token worker
  remuda swarm join-token -q worker        the token alone

Each call makes a new token, for one host and 15 minutes; `remuda token create --uses 10 --ttl 1h` for more.")]
    JoinToken {
        /// The token alone
        #[arg(short, long)]
        quiet: bool,
        /// Every further host is a worker
        #[arg(value_enum, default_value_t, hide_default_value = true)]
        role: Role,
    },
    #[command(hide = true)]
    Init(Words),
    #[command(hide = true)]
    Join(Words),
    #[command(hide = true)]
    Leave(Words),
    #[command(hide = true)]
    Update(Words),
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    #[default]
    Worker,
    #[value(hide = true)]
    Manager,
}

/// The words are checked before a server is looked for.
pub async fn run(command: Command, connection: &ConnectionArgs) -> Outcome {
    match command {
        Command::JoinToken { role: Role::Manager, .. } => {
            Err(Failure::usage("there are no managers to join: the fleet's state is with its server alone")
                .advice("`remuda swarm join-token worker` is for every further host"))
        }
        Command::JoinToken { quiet, role: Role::Worker } => {
            let created = token::create(1, TOKEN_TTL, &Client::new(connection.connection()?)?).await?;
            match quiet {
                true => out(&format!("{}\n", created.token))?,
                false => token::show_line(&created)?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Init(_) => refuse("swarm init", "a fleet begins with its server", "run `remuda server`"),
        Command::Join(_) => refuse(
            "swarm join",
            "a host joins by starting its agent",
            "run the line that `remuda swarm join-token` prints, on the new host",
        ),
        Command::Leave(_) => refuse(
            "swarm leave",
            "a host leaves when its agent does",
            "run `remuda leave` on that host (`remuda host drain HOST` first moves its containers away)",
        ),
        Command::Update(_) => refuse(
            "swarm update",
            "there is nothing of the kind to set",
            "`remuda server --help` has the fleet's settings",
        ),
    }
}
