//! `remuda up`: the file becomes the fleet's wish, and is followed until it is so.

use std::process::ExitCode;
use std::time::Duration;

use remuda_api::resource::{StackApplied, StackApply};
use remuda_api::spec::StackSpec;
use reqwest::Method;

use crate::client::{Client, Refusal};
use crate::compose_file::{self, FileArgs};
use crate::connection::ConnectionArgs;
use crate::converge::{Aim, DEFAULT_TIMEOUT, Goal, converge};
use crate::failure::{Failure, Outcome};
use crate::listing::{Format, out};
use crate::plan;
use crate::progress::{Scope, Want};
use crate::quantity;

#[derive(Default, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub files: FileArgs,
    /// Name of the stack
    #[arg(short, long, value_name = "STACK", value_parser = stack_name)]
    pub stack: String,
    /// Return at once
    #[arg(short, long)]
    pub detach: bool,
    /// Remove services of the stack that the file no longer names
    #[arg(long)]
    pub prune: bool,
    /// Say what would change and change nothing; exit code 2 when there is something
    #[arg(long, conflicts_with = "detach")]
    pub plan: bool,
    /// How to print the plan
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT", requires = "plan")]
    pub output: Format,
    /// How long to follow
    #[arg(long, default_value = DEFAULT_TIMEOUT, value_name = "TIME", value_parser = quantity::duration)]
    pub timeout: Duration,
}

/// The file is read first: what is wrong with it shows without a server.
pub async fn run(args: Args, connection: &ConnectionArgs) -> Outcome {
    let spec = compose_file::load(&args.files, &args.stack)?.spec;
    let client = Client::new(connection.connection()?)?;
    let services: Vec<String> = spec.services.keys().cloned().collect();
    let applied = apply(&client, spec, &args).await?;
    if args.plan {
        return plan::show(&applied, args.prune, args.output);
    }
    show(&applied, args.prune)?;
    if args.detach {
        return Ok(ExitCode::SUCCESS);
    }
    let goal = Goal {
        // Pruned services must be gone too, so the whole stack is followed then.
        aim: Aim::Services {
            scope: Scope { stack: args.stack.clone(), services: Some(services).filter(|_| !args.prune) },
            want: Want::Healthy,
            generation: if applied.changes.is_empty() { 0 } else { applied.generation },
        },
        timeout: args.timeout,
        done: format!("{} is up", args.stack),
    };
    converge(&client, &[goal]).await
}

async fn apply(client: &Client, spec: StackSpec, args: &Args) -> Result<StackApplied, Failure> {
    let body = StackApply { spec, prune: args.prune, dry_run: args.plan };
    client.send(Method::PUT, &["stacks", &args.stack], &body).await.map_err(Refusal::into_failure)
}

/// What was done, and what a user should know about it.
fn show(applied: &StackApplied, is_pruning: bool) -> Result<(), Failure> {
    match applied.changes.is_empty() {
        true => out("no changes\n")?,
        false => out(&applied.changes.iter().map(|change| format!("{change}\n")).collect::<String>())?,
    }
    plan::notes(applied, is_pruning);
    Ok(())
}

/// A stack's name, by the rule of DESIGN.md section 5.
pub fn stack_name(text: &str) -> Result<String, String> {
    remuda_api::names::check_label(text).map_err(|why| format!("the name {why}"))?;
    Ok(text.to_owned())
}
