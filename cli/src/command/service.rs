//! `remuda service …`: services in the words of Docker Swarm.

use std::process::ExitCode;
use std::time::Duration;

use remuda_api::resource::{Container, Service};

use super::refused::{Words, refuse};
use super::services::{self, ServicesArgs};
use super::{inspect, logs, ps, scale};
use crate::client::{Client, Refusal};
use crate::connection::ConnectionArgs;
use crate::converge::{Aim, DEFAULT_TIMEOUT, Goal, converge};
use crate::failure::{Failure, Outcome};
use crate::listing::{OutputArgs, out};
use crate::name::{self, Known, ServiceName, Target};
use crate::progress::{Scope, Want};
use crate::quantity;

#[derive(clap::Subcommand)]
pub enum Command {
    /// List services (as `remuda services`)
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  remuda service ls
  remuda service ls -o wide"
    )]
    Ls(ListArgs),
    /// List the containers of services (as `remuda ps STACK/SERVICE`)
    #[command(after_help = "Examples:
  remuda service ps shop_web
  remuda service ps shop_web shop_api -o json")]
    Ps {
        /// STACK_SERVICE or STACK/SERVICE, or the beginning of one
        #[arg(required = true, value_name = "SERVICE")]
        services: Vec<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show everything known of services (as `remuda inspect`)
    #[command(after_help = "Examples:
  remuda service inspect shop_web
  remuda service inspect shop_web | jq .vip")]
    Inspect {
        /// STACK_SERVICE or STACK/SERVICE, or the beginning of one
        #[arg(required = true, value_name = "SERVICE")]
        services: Vec<String>,
    },
    /// Show what the containers of a service, or one container, said (as `remuda logs`)
    #[command(after_help = "Examples:
  remuda service logs shop_web
  remuda service logs -f --tail 20 shop_web")]
    Logs(logs::Args),
    /// Change how many containers services have (as `remuda scale`)
    #[command(after_help = "Examples:
  remuda service scale shop_web=6
  remuda service scale shop_web=6 shop_api=3 --detach")]
    Scale(scale::Args),
    /// Remove services of a stack and follow until nothing is left of them
    #[command(
        visible_alias = "remove",
        after_help = "Examples:
  remuda service rm shop_web
  remuda service rm shop_web shop_api --detach

The next `remuda up` of a file that names them makes them again; `remuda scale shop/web=0` keeps the service."
    )]
    Rm(RmArgs),
    #[command(hide = true)]
    Create(Words),
    #[command(hide = true)]
    Update(Words),
    #[command(hide = true)]
    Rollback(Words),
}

#[derive(clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(clap::Args)]
pub struct RmArgs {
    /// Return at once
    #[arg(short, long)]
    detach: bool,
    /// How long to follow
    #[arg(long, default_value = DEFAULT_TIMEOUT, value_name = "TIME", value_parser = quantity::duration)]
    timeout: Duration,
    /// Full names, STACK_SERVICE or STACK/SERVICE: removing takes no beginnings
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
}

/// The words are checked before a server is looked for.
pub async fn run(command: Command, connection: &ConnectionArgs) -> Outcome {
    let client = || Client::new(connection.connection()?);
    match command {
        Command::Ls(ListArgs { output }) => services::services(ServicesArgs { stack: None, output }, &client()?).await,
        Command::Ps { services, output } => containers(&services, output, &client()?).await,
        Command::Inspect { services } => inspect_all(services, &client()?).await,
        Command::Logs(args) => logs::run(args, &client()?).await,
        Command::Scale(args) => scale::run(args, connection).await,
        Command::Rm(args) => {
            let names = args.services.iter().map(|typed| ServiceName::parse(typed));
            let names = names.collect::<Result<Vec<_>, Failure>>()?;
            remove(&names, &args, &client()?).await
        }
        Command::Create(_) => refuse(
            "service create",
            "every service belongs to a stack",
            "write it into a Compose file and run `remuda up -f FILE -s STACK`",
        ),
        Command::Update(_) => refuse(
            "service update",
            "what a service is stands in its stack's file",
            "change the file and run `remuda up -f FILE -s STACK` (--plan shows what that would change); \
             `remuda scale STACK/SERVICE=N` for the number of containers",
        ),
        Command::Rollback(_) => refuse(
            "service rollback",
            "what a service is stands in its stack's file",
            "run `remuda up -f FILE -s STACK` with the file as it was before",
        ),
    }
}

/// Of each service in the order typed.
async fn containers(typed: &[String], output: OutputArgs, client: &Client) -> Outcome {
    let known = Known::ask(client).await?;
    let mut found: Vec<&Container> = Vec::new();
    for name in typed {
        let (stack, service) = service_named(&known, name)?;
        found.extend(known.containers.iter().filter(|c| c.stack == stack && c.service == service));
    }
    ps::show(&found.into_iter().cloned().collect::<Vec<_>>(), output)
}

fn service_named(known: &Known, typed: &str) -> Result<(String, String), Failure> {
    let services = Known { containers: Vec::new(), services: known.services.clone() };
    match services.target(typed)? {
        Target::Service { stack, service } => Ok((stack, service)),
        Target::Container(name) => Err(Failure::new(format!("`{name}` is a container, not a service"))),
    }
}

async fn inspect_all(typed: Vec<String>, client: &Client) -> Outcome {
    for name in typed {
        let (stack, service) = service_named(&Known::ask(client).await?, &name)?;
        inspect::run(inspect::Args { name: format!("{stack}/{service}") }, client).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All names are looked up before the first service is removed.
async fn remove(names: &[ServiceName], args: &RmArgs, client: &Client) -> Outcome {
    let held: Vec<Service> = client.get(&["services"]).await?;
    let paths = names.iter().map(|name| name.resolve(&held)).collect::<Result<Vec<_>, Failure>>()?;
    for (stack, service) in &paths {
        client
            .delete(&["services", stack, service])
            .await
            .map_err(|refusal| explained(refusal, stack, service, &held))?;
        out(&format!("{stack}_{service}\n"))?;
    }
    if args.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let goals: Vec<Goal> = paths.into_iter().map(|(stack, service)| gone(stack, service, args.timeout)).collect();
    converge(client, &goals).await
}

fn explained(refusal: Refusal, stack: &str, service: &str, held: &[Service]) -> Failure {
    let names: Vec<String> = held.iter().map(|s| format!("{}/{}", s.stack, s.name)).collect();
    match refusal {
        Refusal::NotFound(_) => {
            refusal.into_failure().advice(name::instead(&format!("{stack}/{service}"), &names, "remuda services"))
        }
        other => other.into_failure(),
    }
}

fn gone(stack: String, service: String, timeout: Duration) -> Goal {
    let done = format!("{stack}/{service} is gone");
    let scope = Scope { stack, services: Some(vec![service]) };
    Goal { aim: Aim::Services { scope, want: Want::Gone, generation: 0 }, timeout, done }
}
