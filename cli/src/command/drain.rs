//! `remuda host drain|pause|activate`: whether a host gets containers, keeps those it has, or gives them all away.

use std::process::ExitCode;
use std::time::Duration;

use remuda_api::resource::{Availability, Host, HostPatch, HostState};
use reqwest::Method;

use super::host::host_named;
use crate::client::{Client, Refusal};
use crate::converge::{Aim, End, Goal, look, pursue};
use crate::emptying::Emptying;
use crate::failure::{Failure, Outcome};
use crate::listing::{out, word};
use crate::quantity;

/// Replacements may take a minute each to serve, connections and programs as long as they are given to end.
const DRAIN_TIMEOUT: &str = "5m";

#[derive(clap::Args)]
pub struct DrainArgs {
    /// Name, or the beginning of one
    name: String,
    /// Return at once
    #[arg(short, long)]
    detach: bool,
    /// How long to follow
    #[arg(long, default_value = DRAIN_TIMEOUT, value_name = "TIME", value_parser = quantity::duration)]
    timeout: Duration,
}

#[derive(clap::Args)]
pub struct NameArgs {
    /// Name, or the beginning of one
    name: String,
}

/// Gives every container away and follows until none is left.
pub async fn drain(args: DrainArgs, client: &Client) -> Outcome {
    let host = set(&args.name, Availability::Drain, client).await?;
    let seen = look(client).await?;
    let emptying = Emptying::of(&host.name, &seen);
    eprintln!("{}: draining, {}", host.name, containers(emptying.before));
    if host.state != HostState::Ready {
        eprintln!("note: it is {}: {}", word(&host.state), host.reason.as_deref().unwrap_or("it does not answer"));
    }
    if args.detach || emptying.before == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    let done = format!("{} is empty", host.name);
    let goal = Goal { aim: Aim::Empty(emptying.clone()), timeout: args.timeout, done };
    let end = pursue(client, &[goal]).await?;
    if end == End::Done {
        say_what_waits(&emptying, client).await?;
        eprintln!("nothing is placed on it until `remuda host activate {}`", host.name);
        confirm_alive(&host.name, client).await?;
    }
    Ok(end.code())
}

/// The fleet asks nothing of it any more; whether it does, only a host that answers can say.
async fn confirm_alive(name: &str, client: &Client) -> Result<(), Failure> {
    let host: Host = client.get(&["hosts", name]).await?;
    if host.state == HostState::Ready {
        return Ok(());
    }
    let failure = Failure::new(format!("{name} is {} by now: what ran there may still run", word(&host.state)));
    Err(failure.advice("look at the machine itself; when it answers again it ends what is not asked of it"))
}

/// Nothing new is placed there; what runs goes on.
pub async fn pause(args: NameArgs, client: &Client) -> Outcome {
    let host = set(&args.name, Availability::Pause, client).await?;
    out(&format!("{}: pause: nothing new is placed on it, what runs there goes on\n", host.name))?;
    Ok(ExitCode::SUCCESS)
}

pub async fn activate(args: NameArgs, client: &Client) -> Outcome {
    let host = set(&args.name, Availability::Active, client).await?;
    out(&format!(
        "{}: active: new containers may be placed on it (those that moved away stay where they are)\n",
        host.name
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Sets it on the host of this name or beginning.
async fn set(typed: &str, availability: Availability, client: &Client) -> Result<Host, Failure> {
    let name = host_named(client, typed).await?;
    let patch = HostPatch { availability: Some(availability), ..HostPatch::default() };
    client.send(Method::PATCH, &["hosts", &name], &patch).await.map_err(Refusal::into_failure)
}

/// What left the host and found no other place.
async fn say_what_waits(emptying: &Emptying, client: &Client) -> Result<(), Failure> {
    for (reason, count) in emptying.waiting(&look(client).await?) {
        eprintln!("note: {} of {reason}", containers(count));
    }
    Ok(())
}

fn containers(count: u32) -> String {
    match count {
        1 => "1 container".into(),
        _ => format!("{count} containers"),
    }
}
