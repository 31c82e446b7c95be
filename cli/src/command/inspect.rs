//! `remuda inspect NAME`: everything known of one thing, as JSON.

use std::process::ExitCode;

use remuda_api::resource::{Host, Stack};

use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::listing::{json, out};
use crate::name::{self, Known, Target};

#[derive(clap::Args)]
pub struct Args {
    /// A container, service (STACK/SERVICE), stack or host
    pub name: String,
}

pub async fn run(args: Args, client: &Client) -> Outcome {
    let path = path_of(&args.name, client).await?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let thing: serde_json::Value = client.get(&path).await?;
    out(&json(&thing)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Exact names of stacks and hosts first, then what `logs` and `exec` would take.
async fn path_of(typed: &str, client: &Client) -> Result<Vec<String>, Failure> {
    let (stacks, hosts): (Vec<Stack>, Vec<Host>) = tokio::try_join!(client.get(&["stacks"]), client.get(&["hosts"]))?;
    if let Some(stack) = stacks.iter().find(|stack| stack.name.eq_ignore_ascii_case(typed)) {
        return Ok(vec!["stacks".into(), stack.name.clone()]);
    }
    if let Some(host) = hosts.iter().find(|host| host.name.eq_ignore_ascii_case(typed)) {
        return Ok(vec!["hosts".into(), host.name.clone()]);
    }
    let known = Known::ask(client).await?;
    match known.target(typed) {
        Ok(Target::Container(name)) => Ok(vec!["containers".into(), name]),
        Ok(Target::Service { stack, service }) => Ok(vec!["services".into(), stack, service]),
        Err(failure) => {
            let names = stacks.into_iter().map(|stack| stack.name).chain(hosts.into_iter().map(|host| host.name));
            let names: Vec<String> = names.collect();
            match name::one_of("thing", typed, &names, "remuda ps") {
                Ok(name) => Err(failure.advice(format!("did you mean `{name}`?"))),
                Err(_) => Err(failure),
            }
        }
    }
}
