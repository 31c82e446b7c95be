//! `remuda down STACK`: removed, and followed until nothing is left.

use std::process::ExitCode;
use std::time::Duration;

use super::ps::stack_named;
use crate::client::{Client, Refusal};
use crate::converge::{Aim, DEFAULT_TIMEOUT, Goal, converge};
use crate::failure::Outcome;
use crate::progress::{Scope, Want};
use crate::quantity;

#[derive(clap::Args)]
pub struct Args {
    /// Its full name: removing takes no beginnings
    pub stack: String,
    /// Return at once
    #[arg(short, long)]
    pub detach: bool,
    /// How long to follow
    #[arg(long, default_value = DEFAULT_TIMEOUT, value_name = "TIME", value_parser = quantity::duration)]
    pub timeout: Duration,
}

pub async fn run(args: Args, client: &Client) -> Outcome {
    match client.delete(&["stacks", &args.stack]).await {
        Ok(_) => {}
        Err(Refusal::NotFound(problem)) => {
            let like = stack_named(client, &args.stack).await;
            let failure = Refusal::NotFound(problem).into_failure();
            return Err(match like {
                Ok(name) => failure.advice(format!("did you mean `{name}`? Removing takes the full name")),
                Err(failure) => failure,
            });
        }
        Err(refusal) => return Err(refusal.into_failure()),
    }
    if args.detach {
        eprintln!("{} is being removed", args.stack);
        return Ok(ExitCode::SUCCESS);
    }
    let goal = Goal {
        aim: Aim::Services {
            scope: Scope { stack: args.stack.clone(), services: None },
            want: Want::Gone,
            generation: 0,
        },
        timeout: args.timeout,
        done: format!("{} is gone", args.stack),
    };
    converge(client, &[goal]).await
}
