//! `remuda stop` and `remuda start`: services at rest, with all that is declared of them kept.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use remuda_api::resource::{Service, ServiceState, StackApplied};
use reqwest::Method;

use crate::client::Client;
use crate::converge::{Aim, DEFAULT_TIMEOUT, Goal, converge};
use crate::failure::{Failure, Outcome};
use crate::listing::out;
use crate::name;
use crate::progress::{Scope, Want};
use crate::quantity;

#[derive(clap::Args)]
pub struct Args {
    /// Whole stacks, or services of them
    #[arg(required = true, value_name = "STACK[/SERVICE]")]
    names: Vec<String>,
    /// Return at once
    #[arg(short, long)]
    detach: bool,
    /// How long to follow
    #[arg(long, default_value = DEFAULT_TIMEOUT, value_name = "TIME", value_parser = quantity::duration)]
    timeout: Duration,
}

/// What is asked of a service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    Start,
    Stop,
}

impl Ask {
    fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Start => "is up",
            Self::Stop => "is stopped",
        }
    }
}

/// One service after the other, each whether or not others could be asked; then all that could are followed.
pub async fn run(args: Args, ask: Ask, client: &Client) -> Outcome {
    let services: Vec<Service> = client.get(&["services"]).await?;
    let chosen = chosen(&args.names, &services)?;
    let meant = chosen.len();
    let (mut goals, mut failed) = (Vec::new(), Vec::new());
    for (stack, service) in chosen {
        let path = ["services", &stack, &service, ask.word()];
        let empty = serde_json::Map::new();
        let applied: StackApplied = match client.send(Method::POST, &path, &empty).await {
            Ok(applied) => applied,
            Err(refusal) => {
                failed.push((format!("{stack}/{service}"), refusal.into_failure()));
                continue;
            }
        };
        match applied.changes.as_slice() {
            [] => out(&format!("{stack}/{service}: no changes\n"))?,
            changes => out(&changes.iter().map(|line| format!("{stack}/{line}\n")).collect::<String>())?,
        }
        goals.push(Goal {
            aim: Aim::Services {
                scope: Scope { stack: stack.clone(), services: Some(vec![service.clone()]) },
                want: Want::Healthy,
                generation: if applied.changes.is_empty() { 0 } else { applied.generation },
            },
            timeout: args.timeout,
            done: format!("{stack}/{service} {}", ask.done()),
        });
    }
    if args.detach || goals.is_empty() {
        return all_of(failed, meant, ask).map(|()| ExitCode::SUCCESS);
    }
    let outcome = converge(client, &goals).await;
    match all_of(failed, meant, ask) {
        Ok(()) => outcome,
        Err(failure) => {
            // Two things went wrong: the first to be said is what became of those that were changed.
            if let Err(other) = outcome {
                other.report();
            }
            Err(failure)
        }
    }
}

/// Which services could not be asked, and why; where one was meant, it speaks for itself.
fn all_of(mut failed: Vec<(String, Failure)>, meant: usize, ask: Ask) -> Result<(), Failure> {
    if failed.is_empty() {
        return Ok(());
    }
    if meant == 1 {
        return Err(failed.remove(0).1);
    }
    let names: Vec<&str> = failed.iter().map(|(service, _)| service.as_str()).collect();
    let lines: Vec<String> = failed.iter().map(|(service, failure)| format!("{service}: {failure}")).collect();
    Err(Failure::new(format!("cannot {} {}", ask.word(), names.join(", "))).details(lines))
}

/// Each service once, in the order typed; a stack means all of its services.
fn chosen(typed: &[String], services: &[Service]) -> Result<Vec<(String, String)>, Failure> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for word in typed {
        let is_stack = services.iter().any(|service| service.stack == *word);
        let swarms = name::swarm_spelled(services, word)?.filter(|_| !is_stack);
        let is_meant = |service: &&Service| match (word.split_once('/'), swarms) {
            (Some((stack, name)), _) => service.stack == stack && service.name == name,
            (None, Some(swarms)) => service.stack == swarms.stack && service.name == swarms.name,
            (None, None) => service.stack == *word,
        };
        let living = services.iter().filter(|service| service.state != ServiceState::Removing);
        let meant: Vec<_> = living.filter(is_meant).map(|s| (s.stack.clone(), s.name.clone())).collect();
        if meant.is_empty() {
            return Err(unknown(word, services));
        }
        found.extend(meant.into_iter().filter(|service| seen.insert(service.clone())));
    }
    Ok(found)
}

fn unknown(word: &str, services: &[Service]) -> Failure {
    let (what, names): (_, BTreeSet<String>) = match word.contains('/') {
        true => ("service", services.iter().map(|s| format!("{}/{}", s.stack, s.name)).collect()),
        false => ("stack", services.iter().map(|s| s.stack.clone()).collect()),
    };
    let names: Vec<String> = names.into_iter().collect();
    Failure::new(format!("there is no {what} `{word}`")).advice(name::instead(word, &names, "remuda services"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(stack: &str, name: &str) -> Service {
        let bare = r#"{"name":"","stack":"","kind":"replicated","vip":null,"ports":[],"desired":1,"running":0,"healthy":0,
            "state":"active","image":null,"generation":3}"#;
        let bare: Service = serde_json::from_str(bare).unwrap();
        Service { name: name.into(), stack: stack.into(), ..bare }
    }

    #[test]
    fn a_stack_means_all_its_services_and_none_is_named_twice() {
        let services = [service("shop", "web"), service("shop", "db"), service("blog", "web")];
        let typed = ["shop/db", "shop"].map(String::from);
        let found = chosen(&typed, &services).unwrap();
        let pair = |stack: &str, name: &str| (stack.to_owned(), name.to_owned());
        assert_eq!(found, [pair("shop", "db"), pair("shop", "web")]);
        assert_eq!(chosen(&["shop_db".to_owned()], &services).unwrap(), chosen(&typed[..1], &services).unwrap());
        assert!(chosen(&["shop/none".to_owned()], &services).is_err());
    }

    #[test]
    fn what_could_not_be_asked_is_named_and_one_alone_speaks_for_itself() {
        let refused = |name: &str| (name.to_owned(), Failure::new("is being removed"));
        assert!(all_of(Vec::new(), 2, Ask::Stop).is_ok());
        let alone = all_of(vec![refused("shop/web")], 1, Ask::Stop).unwrap_err();
        assert_eq!(alone.to_string(), "is being removed");
        let one = all_of(vec![refused("shop/web")], 2, Ask::Stop).unwrap_err();
        assert_eq!(one.to_string(), "cannot stop shop/web; shop/web: is being removed");
    }
}
