//! `remuda leave`: this host ends its part, and nothing of it stays behind.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use remuda_agent::{AssignmentSource, admin};

use super::agent::HostArgs;
use crate::failure::{Context, Failure, Outcome};

pub const EXAMPLES: &str = "Examples:
  remuda leave            ask the agent here to stop everything and remove every trace
  remuda leave --force    the same when no agent runs here any more";

/// An agent started for this alone opens its socket within a second; a loaded machine needs longer.
const START_LIMIT: Duration = Duration::from_secs(20);
/// An agent that has left ends within this.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How often the socket of an agent that is starting is tried.
const TRY_EVERY: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub struct Args {
    /// Do it although no agent runs here: with what it left in its data directory
    #[arg(long)]
    force: bool,
    /// The agent's data directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/remuda/agent")]
    data_dir: PathBuf,
}

pub fn run(args: Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().cannot("start")?;
    let left = runtime.block_on(leave(&args));
    runtime.shutdown_background();
    left?;
    println!("left: nothing of the fleet runs here any more");
    Ok(ExitCode::SUCCESS)
}

async fn leave(args: &Args) -> Result<(), Failure> {
    let socket = args.data_dir.join(admin::SOCKET);
    match admin::ask(&socket, "status").await {
        Ok(_) => ask(&socket).await,
        Err(_) if args.force => leave_alone(&args.data_dir, &socket).await,
        Err(error) => Err(Failure::new(format!("no agent answers at {}: {error}", socket.display()))
            .advice("is --data-dir the agent's? `remuda leave --force` removes what an agent that is gone has left")),
    }
}

async fn ask(socket: &Path) -> Result<(), Failure> {
    eprintln!("stopping what runs here, then removing links, pins, interfaces and rules ...");
    let answer = admin::ask(socket, "leave").await.cannot("hear from the agent while it leaves")?;
    match answer.get("error").and_then(serde_json::Value::as_str) {
        None => {
            if let Some(why) = answer.get("untold").and_then(serde_json::Value::as_str) {
                eprintln!("the server was not told ({why}): `remuda host rm NAME` makes it forget this host");
            }
            Ok(())
        }
        Some(error) => Err(Failure::new(format!("could not leave: {error}"))
            .advice("mend that and run `remuda leave` again: what is gone stays gone")),
    }
}

/// Runs an agent in this process, by what the last one remembered, only to leave.
async fn leave_alone(data_dir: &Path, socket: &Path) -> Result<(), Failure> {
    if !data_dir.exists() {
        return Err(Failure::new(format!("{} does not exist: there is nothing to leave", data_dir.display()))
            .advice("is --data-dir the agent's?"));
    }
    let source = AssignmentSource::Server { address: NOWHERE.into(), token_file: None };
    let mut agent = tokio::spawn(remuda_agent::run(HostArgs::default().options(data_dir.to_owned(), source)?));
    let deadline = Instant::now() + START_LIMIT;
    while admin::ask(socket, "status").await.is_err() {
        if Instant::now() > deadline {
            return Err(Failure::new("the agent that should clean up does not start")
                .advice("`remuda agent` says why in its log"));
        }
        tokio::select! {
            () = tokio::time::sleep(TRY_EVERY) => {}
            ended = &mut agent => return Err(match ended {
                Ok(Err(error)) => Failure::new(format!("could not leave: {error:#}")),
                _ => Failure::new("the agent that should clean up has ended"),
            }),
        }
    }
    ask(socket).await?;
    // Its identity is the last thing it forgets.
    match tokio::time::timeout(END_LIMIT, agent).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(Failure::new(format!("could not leave: {error:#}"))),
        Ok(Err(_)) | Err(_) => Err(Failure::new("the agent that should clean up did not end as it should")),
    }
}

/// Nobody listens at the discard port of this host: leaving by force needs no server.
const NOWHERE: &str = "127.0.0.1:9";
