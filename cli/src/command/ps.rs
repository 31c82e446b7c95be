//! `remuda ps`: containers.

use std::collections::BTreeSet;
use std::process::ExitCode;

use remuda_api::resource::{Container, ContainerState, Service, Stack};

use crate::client::{Client, Refusal};
use crate::failure::{Failure, Outcome};
use crate::listing::{Format, OutputArgs, last_lines, print};
use crate::name;

#[derive(clap::Args)]
pub struct Args {
    /// Only this stack, or this service of it (shop, shop/web or shop_web)
    #[arg(value_name = "STACK[/SERVICE]")]
    scope: Option<String>,
    /// Only what is placed on this host
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(args: Args, client: &Client) -> Outcome {
    let (stack, service) = match &args.scope {
        Some(typed) => scope_named(client, typed).await.map(|(stack, service)| (Some(stack), service))?,
        None => (None, None),
    };
    let given = [("stack", stack.as_deref()), ("service", service.as_deref()), ("host", args.host.as_deref())];
    let query: Vec<(&str, &str)> = given.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    print_of(&query, args.output, client).await
}

/// The containers that `query` asks for.
pub async fn print_of(query: &[(&str, &str)], output: OutputArgs, client: &Client) -> Outcome {
    let containers: Vec<Container> =
        client.look_up_query(&["containers"], query).await.map_err(Refusal::into_failure)?;
    show(&containers, output)
}

/// As a listing; what failed ones said last is beside it.
pub fn show(containers: &[Container], output: OutputArgs) -> Outcome {
    print(containers, output.output)?;
    if output.output == Format::Table {
        last_words(containers).iter().for_each(|line| eprintln!("{line}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What failed containers wrote last, of each service one.
fn last_words(containers: &[Container]) -> Vec<String> {
    let mut told = BTreeSet::new();
    let failed = containers.iter().filter(|container| container.state == ContainerState::Failed);
    let words = failed.filter_map(|container| {
        let lines = last_lines(container.reason.as_deref()?);
        let is_news = !lines.is_empty() && told.insert((&container.stack, &container.service));
        is_news.then(|| {
            [format!("{}, last lines:", container.name)].into_iter().chain(lines.into_iter().map(|l| format!("  {l}")))
        })
    });
    words.flatten().collect()
}

/// The stack, and the service of it, that were typed.
pub async fn scope_named(client: &Client, typed: &str) -> Result<(String, Option<String>), Failure> {
    let (stacks, services): (Vec<Stack>, Vec<Service>) =
        tokio::try_join!(client.get(&["stacks"]), client.get(&["services"]))?;
    let names: Vec<String> = stacks.into_iter().map(|stack| stack.name).collect();
    name::scope_of(&names, &services, typed)
}

/// The stack of this name or beginning.
pub async fn stack_named(client: &Client, typed: &str) -> Result<String, Failure> {
    let stacks: Vec<Stack> = client.get(&["stacks"]).await?;
    let names: Vec<String> = stacks.into_iter().map(|stack| stack.name).collect();
    name::one_of("stack", typed, &names, "remuda stacks").cloned()
}
