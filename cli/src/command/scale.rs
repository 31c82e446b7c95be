//! `remuda scale STACK/SVC=N…`: all or nothing, followed until it is so.

use std::collections::BTreeSet;
use std::time::Duration;

use remuda_api::resource::{Scale, Service};
use reqwest::Method;

use crate::client::{Client, Refusal};
use crate::connection::ConnectionArgs;
use crate::converge::{Aim, DEFAULT_TIMEOUT, Goal, converge};
use crate::failure::{Failure, Outcome};
use crate::name::{self, Known, ServiceName};
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

/// As it was typed.
#[derive(Clone, Debug)]
struct Wish {
    name: ServiceName,
    replicas: u32,
}

/// With the service's stack known.
#[derive(Clone, Debug)]
struct Scaled {
    stack: String,
    service: String,
    replicas: u32,
}

/// The words are checked before a server is looked for.
pub async fn run(args: Args, connection: &ConnectionArgs) -> Outcome {
    once_each(args.services.iter().map(|wish| format!("{:?}", wish.name)))?;
    let client = &Client::new(connection.connection()?)?;
    let wishes = resolved(&args.services, client).await?;
    once_each(wishes.iter().map(|wish| format!("{}/{}", wish.stack, wish.service)))?;
    let body = Scale {
        services: wishes.iter().map(|wish| (format!("{}/{}", wish.stack, wish.service), wish.replicas)).collect(),
    };
    let answer: serde_json::Value = match client.send(Method::POST, &["scale"], &body).await {
        Ok(answer) => answer,
        Err(refusal) => return Err(explained(client, &wishes, refusal).await),
    };
    for wish in &wishes {
        eprintln!("{}/{}: scale {}", wish.stack, wish.service, wish.replicas);
    }
    if args.detach {
        return Ok(std::process::ExitCode::SUCCESS);
    }
    let generation = answer.get("generation").and_then(serde_json::Value::as_u64).unwrap_or(0);
    let goals: Vec<Goal> = wishes.iter().map(|wish| goal(wish, generation, args.timeout)).collect();
    converge(client, &goals).await
}

fn once_each(names: impl ExactSizeIterator<Item = String>) -> Result<(), Failure> {
    let count = names.len();
    match names.collect::<BTreeSet<_>>().len() {
        different if different < count => {
            Err(Failure::usage("a service is named twice").advice("name each once: the last N would win silently"))
        }
        _ => Ok(()),
    }
}

/// Swarm's spelling needs to know which services there are.
async fn resolved(wishes: &[Wish], client: &Client) -> Result<Vec<Scaled>, Failure> {
    let services: Vec<Service> = match wishes.iter().any(|wish| matches!(wish.name, ServiceName::Swarm(_))) {
        true => client.get(&["services"]).await?,
        false => Vec::new(),
    };
    let of = |wish: &Wish| {
        let (stack, service) = wish.name.resolve(&services)?;
        Ok(Scaled { stack, service, replicas: wish.replicas })
    };
    wishes.iter().map(of).collect()
}

fn goal(wish: &Scaled, generation: u64, timeout: Duration) -> Goal {
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
async fn explained(client: &Client, wishes: &[Scaled], refusal: Refusal) -> Failure {
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
    let name = ServiceName::parse(name).map_err(|_| form())?;
    let replicas = replicas.parse().map_err(|_| form())?;
    if replicas > remuda_api::spec::REPLICAS_MAX {
        return Err(format!("a service has at most {} containers", remuda_api::spec::REPLICAS_MAX));
    }
    Ok(Wish { name, replicas })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_names_stack_service_and_number() {
        let six = wish("shop/web=6").unwrap();
        assert_eq!(six.name, ServiceName::Ours { stack: "shop".into(), service: "web".into() });
        assert_eq!((six.replicas, wish("shop_web=6").unwrap().name), (6, ServiceName::Swarm("shop_web".into())));
    }

    #[test]
    fn a_wish_that_cannot_be_is_refused() {
        for text in ["shop/web", "web=6", "shop/web=-1", "shop/web=1000000000", "shop/=1", "shop/web=", "shop/web=x"] {
            assert!(wish(text).is_err(), "{text}");
        }
    }
}
