//! `remuda`: the one command users type.
//!
//! Reading order: [`arguments`] (every command and its help), `command/` (one file each), [`client`] (the REST API from
//! the outside; [`connection`], [`tls`], [`fault`], [`sse`], [`session`] serve it), [`converge`] with [`progress`],
//! [`emptying`] and [`display`] (following a change), [`compose_file`] (files in, problems out), [`listing`] (tables and JSON).
//!
//! Users' commands only talk to the API: they never touch the kernel, the store or another host.

mod arguments;
mod client;
mod command;
mod compose_file;
mod connection;
mod converge;
mod display;
mod emptying;
mod failure;
mod fault;
mod listing;
mod logging;
mod name;
mod patience;
mod plan;
mod progress;
mod quantity;
mod rows;
mod session;
mod source_line;
mod sse;
mod supervisor;
mod terminal;
mod tls;
mod yaml;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Cli, Command};
use crate::client::Client;
use crate::command::start::Ask;
use crate::connection::ConnectionArgs;
use crate::failure::{Context, Failure, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    run(cli).unwrap_or_else(Failure::report)
}

/// Roles first, each with a runtime of its own; then what users ask for.
fn run(cli: Cli) -> Outcome {
    match cli.command {
        Command::Hold(args) => command::hold::run(args),
        Command::Agent(args) => command::agent::run(args),
        Command::Server(args) => command::server::run(args),
        Command::Leave(args) => command::leave::run(args),
        command => {
            end_with_the_pipe();
            tell(command, &cli.connection)
        }
    }
}

/// What a user wants to see or have changed.
fn tell(command: Command, connection: &ConnectionArgs) -> Outcome {
    match command {
        Command::Completion(args) => command::completion::run(args),
        Command::Config(args) => command::config::run(args),
        Command::Doctor(args) => command::doctor::run(args),
        Command::Man(args) => command::man::run(args),
        command => ask(command, connection),
    }
}

/// What a user asks of the server: one thread is enough, and nothing waits for a blocked read at the end.
fn ask(command: Command, connection: &ConnectionArgs) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().cannot("start")?;
    let outcome = runtime.block_on(answer(command, connection));
    runtime.shutdown_background();
    outcome
}

async fn answer(command: Command, connection: &ConnectionArgs) -> Outcome {
    let client = || Client::new(connection.connection()?);
    match command {
        Command::Up(args) => command::up::run(args, connection).await,
        Command::Version(args) => command::version::run(args, connection).await,
        Command::Token(command) => command::token::run(command, &client()?).await,
        Command::Down(args) => command::down::run(args, &client()?).await,
        Command::Ps(args) => command::ps::run(args, &client()?).await,
        Command::Services(args) => command::services::services(args, &client()?).await,
        Command::Stacks(args) => command::services::stacks(args, &client()?).await,
        Command::Hosts(args) => command::host::list(args, &client()?).await,
        Command::Host(command) => command::host::run(command, connection).await,
        Command::Stack(command) => command::stack::run(command, connection).await,
        Command::Service(command) => command::service::run(command, connection).await,
        Command::Node(command) => command::node::run(command, connection).await,
        Command::Swarm(command) => command::swarm::run(command, connection).await,
        Command::Stop(args) => command::start::run(args, Ask::Stop, &client()?).await,
        Command::Start(args) => command::start::run(args, Ask::Start, &client()?).await,
        Command::Volume(command) => command::volume::run(command, &client()?).await,
        Command::Registry(command) => command::registry::run(command, connection).await,
        Command::Key(command) => command::key::run(command, &client()?).await,
        Command::Scale(args) => command::scale::run(args, connection).await,
        Command::Logs(args) => command::logs::run(args, &client()?).await,
        Command::Exec(args) => command::exec::run(args, &client()?).await,
        Command::Inspect(args) => command::inspect::run(args, &client()?).await,
        Command::Events(args) => command::events::run(args, &client()?).await,
        Command::Wait(args) => command::wait::run(args, &client()?).await,
        Command::Dns(args) => command::dns::run(args, &client()?).await,
        Command::Hold(_)
        | Command::Agent(_)
        | Command::Server(_)
        | Command::Leave(_)
        | Command::Completion(_)
        | Command::Config(_)
        | Command::Doctor(_)
        | Command::Man(_) => Err(Failure::new("this command asks no server")),
    }
}

/// `remuda logs NAME | head` ends when head does, as every other tool.
fn end_with_the_pipe() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    // SAFETY: the default action installs no handler; no other thread runs yet.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
}
