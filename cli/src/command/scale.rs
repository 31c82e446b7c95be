//! `remuda scale STACK/SVC=N…`: all or nothing, followed until it is so.

use std::collections::BTreeMap;
use std::time::Duration;

use remuda_api::resource::Scale;
use reqwest::Method;

use crate::client::{Client, Refusal};
use crate::connection::ConnectionArgs;
use crate::converge::{Aim, DEFAULT_TIMEOUT, Goal, converge};
use crate::failure::{Failure, Outcome};
use crate::name::{self, Known};
use crate::progress::{Scope, Want};
use crate::quantity;

#[derive(clap::Args)]
pub struct Args {
    /// How many containers each service shall have
    #[arg(required = true, value_name = "STACK/SERVICE=N", value_parser = wish)]
    services: Vec<Wish>,
    /// Return at once
    #[arg(short, long)]
    detach: bool,
    /// How long to follow
    #[arg(long, default_value = DEFAULT_TIMEOUT, value_name = "TIME", value_parser = quantity::duration)]
    timeout: Duration,
}

#[derive(Clone, Debug)]
struct Wish {
    stack: String,
    service: String,
    replicas: u32,
}

/// The words are checked before a server is looked for.
pub async fn run(args: Args, connection: &ConnectionArgs) -> Outcome {
    let services: BTreeMap<String, u32> =
        args.services.iter().map(|wish| (format!("{}/{}", wish.stack, wish.service), wish.replicas)).collect();
    if services.len() < args.services.len() {
        return Err(Failure::usage("a service is named twice").advice("name each once: the last N would win silently"));
    }
    let client = &Client::new(connection.connection()?)?;
    let body = Scale { services };
    let answer: serde_json::Value = match client.send(Method::POST, &["scale"], &body).await {
        Ok(answer) => answer,
        Err(refusal) => return Err(explained(client, &args.services, refusal).await),
    };
    for wish in &args.services {
        eprintln!("{}/{}: scale {}", wish.stack, wish.service, wish.replicas);
    }
    if args.detach {
        return Ok(std::process::ExitCode::SUCCESS);
    }
    let generation = answer.get("generation").and_then(serde_json::Value::as_u64).unwrap_or(0);
    let goals: Vec<Goal> = args.services.iter().map(|wish| goal(wish, generation, args.timeout)).collect();
    converge(client, &goals).await
}

fn goal(wish: &Wish, generation: u64, timeout: Duration) -> Goal {
    Goal {
        aim: Aim::Services {
            scope: Scope { stack: wish.stack.clone(), services: Some(vec![wish.service.clone()]) },
            want: Want::Healthy,
            generation,
        },
        timeout,
        done: format!("{}/{} has {}", wish.stack, wish.service, wish.replicas),
    }
}

/// The server's words, and what could be meant by a service that does not exist.
async fn explained(client: &Client, wishes: &[Wish], refusal: Refusal) -> Failure {
    let failure = refusal.into_failure();
    let Ok(known) = Known::ask(client).await else { return failure };
    let names: Vec<String> = known.services.iter().map(|s| format!("{}/{}", s.stack, s.name)).collect();
    let wished = wishes.iter().map(|wish| format!("{}/{}", wish.stack, wish.service));
    match wished.into_iter().find(|name| !names.contains(name)) {
        Some(unknown) => failure.advice(name::instead(&unknown, &names, "remuda services")),
        None => failure,
    }
}

/// `shop/web=6`.
fn wish(text: &str) -> Result<Wish, String> {
    let form = || "write STACK/SERVICE=N, as in shop/web=6".to_owned();
    let (name, replicas) = text.split_once('=').ok_or_else(form)?;
    let (stack, service) = name::service_of(name).map_err(|_| form())?;
    let replicas = replicas.parse().map_err(|_| form())?;
    if replicas > remuda_api::spec::REPLICAS_MAX {
        return Err(format!("a service has at most {} containers", remuda_api::spec::REPLICAS_MAX));
    }
    Ok(Wish { stack: stack.to_owned(), service: service.to_owned(), replicas })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_names_stack_service_and_number() {
        let wish = wish("shop/web=6").unwrap();
        assert_eq!((wish.stack.as_str(), wish.service.as_str(), wish.replicas), ("shop", "web", 6));
    }

    #[test]
    fn a_wish_that_cannot_be_is_refused() {
        for text in ["shop/web", "web=6", "shop/web=-1", "shop/web=1000000000", "shop/=1", "shop/web=", "shop/web=x"] {
            assert!(wish(text).is_err(), "{text}");
        }
    }
}
