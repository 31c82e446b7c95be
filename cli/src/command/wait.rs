//! `remuda wait`: returns when a stack or service is as wanted.

use std::time::Duration;

use super::ps::scope_named;
use crate::client::Client;
use crate::converge::{Aim, DEFAULT_TIMEOUT, Goal, converge, look};
use crate::failure::{Failure, Outcome};
use crate::name;
use crate::progress::{Scope, Want};
use crate::quantity;

#[derive(clap::Args)]
pub struct Args {
    /// What to wait for: shop, shop/web or shop_web
    #[arg(value_name = "STACK[/SERVICE]")]
    name: String,
    /// How it shall be
    #[arg(long = "for", value_enum, default_value_t = Want::Healthy, value_name = "STATE")]
    want: Want,
    /// How long to wait
    #[arg(long, default_value = DEFAULT_TIMEOUT, value_name = "TIME", value_parser = quantity::duration)]
    timeout: Duration,
}

pub async fn run(args: Args, client: &Client) -> Outcome {
    let scope = scope(&args, client).await?;
    let state = match args.want {
        Want::Running => "running",
        Want::Healthy => "healthy",
        Want::Gone => "gone",
    };
    let name = match &scope.services {
        Some(services) => format!("{}/{}", scope.stack, services.join(",")),
        None => scope.stack.clone(),
    };
    let done = format!("{name} is {state}");
    let aim = Aim::Services { scope, want: args.want, generation: 0 };
    converge(client, &[Goal { aim, timeout: args.timeout, done }]).await
}

/// What is already gone needs no name that exists; everything else does.
async fn scope(args: &Args, client: &Client) -> Result<Scope, Failure> {
    if args.want == Want::Gone {
        return gone(&args.name, client).await;
    }
    let (stack, service) = scope_named(client, &args.name).await?;
    let Some(service) = service else { return Ok(Scope { stack, services: None }) };
    let seen = look(client).await?;
    let names: Vec<String> = seen.services.into_iter().filter(|s| s.stack == stack).map(|s| s.name).collect();
    let service = name::one_of("service", &service, &names, "remuda services")?.clone();
    Ok(Scope { stack, services: Some(vec![service]) })
}

async fn gone(typed: &str, client: &Client) -> Result<Scope, Failure> {
    let of = |stack: &str, service: &str| Scope { stack: stack.to_owned(), services: Some(vec![service.to_owned()]) };
    if typed.contains('/') {
        return name::service_of(typed).map(|(stack, service)| of(stack, service));
    }
    let seen = look(client).await?;
    let is_stack = seen.services.iter().any(|service| service.stack == typed);
    match name::swarm_spelled(&seen.services, typed)? {
        Some(service) if !is_stack => Ok(of(&service.stack, &service.name)),
        _ => Ok(Scope { stack: typed.to_owned(), services: None }),
    }
}
