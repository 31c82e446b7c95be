//! `remuda registry …`: credentials for pulling images.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use remuda_api::resource::{Registry, RegistryLogin};
use reqwest::Method;

use crate::client::{Client, Refusal};
use crate::connection::ConnectionArgs;
use crate::failure::{Context, Failure, Outcome};
use crate::listing::{OutputArgs, out, print};

/// More than any password or token is.
const PASSWORD_MAX_BYTES: u64 = 64 << 10;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Give every host with an engine the credential for a registry
    #[command(after_help = "Examples:
  remuda registry login registry.example:5000 -u ann --password-stdin < password.txt
  pass show registry | remuda registry login docker.io -u ann --password-stdin

Hosts use it for their next pull. It is never shown again, by no command and in no log.")]
    Login(LoginArgs),
    /// List registries with a credential
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  remuda registry ls
  remuda registry ls -o json | jq -r '.[].address'"
    )]
    Ls(OutputArgs),
    /// Forget the credential for a registry, here and on every host
    #[command(after_help = "Examples:
  remuda registry logout registry.example:5000")]
    Logout {
        /// HOST or HOST:PORT, as in the names of its images
        address: String,
    },
}

#[derive(clap::Args)]
pub struct LoginArgs {
    /// HOST or HOST:PORT, as in the names of its images; docker.io for those without one
    address: String,
    /// Who the fleet is there
    #[arg(short, long, value_name = "USER")]
    username: String,
    /// Read the password from standard input
    #[arg(long, required = true)]
    password_stdin: bool,
}

pub async fn run(command: Command, connection: &ConnectionArgs) -> Outcome {
    let client = || Client::new(connection.connection()?);
    match command {
        Command::Login(args) => login(args, &client()?).await,
        Command::Ls(output) => list(output, &client()?).await,
        Command::Logout { address } => logout(&address, &client()?).await,
    }
}

async fn login(args: LoginArgs, client: &Client) -> Outcome {
    let body = RegistryLogin { username: args.username, password: password()? };
    let path = ["registries", args.address.as_str()];
    let held: Registry = client.send(Method::PUT, &path, &body).await.map_err(Refusal::into_failure)?;
    out(&format!("{}: logged in as {}\n", held.address, held.username))?;
    Ok(ExitCode::SUCCESS)
}

/// Standard input without the line end that editors and `echo` add.
fn password() -> Result<String, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::usage("the password would show while you type it")
            .advice("give it from a file or another command: … --password-stdin < password.txt"));
    }
    let mut text = String::new();
    stdin.lock().take(PASSWORD_MAX_BYTES).read_to_string(&mut text).cannot("read the password from standard input")?;
    let password = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if password.is_empty() {
        return Err(Failure::usage("standard input held no password"));
    }
    Ok(password.to_owned())
}

async fn list(output: OutputArgs, client: &Client) -> Outcome {
    let registries: Vec<Registry> = client.get(&["registries"]).await?;
    print(&registries, output.output)?;
    Ok(ExitCode::SUCCESS)
}

async fn logout(address: &str, client: &Client) -> Outcome {
    client.delete(&["registries", address]).await.map_err(Refusal::into_failure)?;
    out(&format!("{address}: logged out\n"))?;
    Ok(ExitCode::SUCCESS)
}
