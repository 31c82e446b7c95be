//! `remuda services` and `remuda stacks`.

use std::process::ExitCode;

use remuda_api::resource::{Service, Stack};

use super::ps::stack_named;
use crate::client::Client;
use crate::failure::Outcome;
use crate::listing::{OutputArgs, print};

#[derive(clap::Args)]
pub struct ServicesArgs {
    /// Only this stack
    pub stack: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(clap::Args)]
pub struct StacksArgs {
    #[command(flatten)]
    pub output: OutputArgs,
}

pub async fn services(args: ServicesArgs, client: &Client) -> Outcome {
    let mut services: Vec<Service> = client.get(&["services"]).await?;
    if let Some(typed) = &args.stack {
        let stack = stack_named(client, typed).await?;
        services.retain(|service| service.stack == stack);
    }
    print(&services, args.output.output)?;
    Ok(ExitCode::SUCCESS)
}

pub async fn stacks(args: StacksArgs, client: &Client) -> Outcome {
    let stacks: Vec<Stack> = client.get(&["stacks"]).await?;
    print(&stacks, args.output.output)?;
    Ok(ExitCode::SUCCESS)
}
