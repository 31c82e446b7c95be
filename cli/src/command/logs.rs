//! `remuda logs NAME`: what a container, or every container of a service, said.

use std::process::ExitCode;

use futures::StreamExt;
use std::io::Write;

use crate::client::{Client, Refusal};
use crate::failure::{Context, Outcome};
use crate::name::{Known, Target};

#[derive(clap::Args)]
pub struct Args {
    /// A container or service (STACK/SERVICE), or the beginning of one
    name: String,
    /// Go on as they say more
    #[arg(short, long)]
    follow: bool,
    /// Only the last N lines
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tail: Option<u32>,
}

pub async fn run(args: Args, client: &Client) -> Outcome {
    let target = Known::ask(client).await?.target(&args.name)?;
    let path: Vec<&str> = match &target {
        Target::Container(name) => vec!["containers", name, "logs"],
        Target::Service { stack, service } => vec!["services", stack, service, "logs"],
    };
    let tail = args.tail.map(|lines| lines.to_string());
    let mut query: Vec<(&str, &str)> = tail.iter().map(|lines| ("tail", lines.as_str())).collect();
    if args.follow {
        query.push(("follow", "true"));
    }
    let mut pieces = client.bytes(&path, &query).await.map_err(Refusal::into_failure)?;
    let mut stdout = std::io::stdout().lock();
    while let Some(piece) = pieces.next().await {
        stdout.write_all(&piece?).and_then(|()| stdout.flush()).cannot("write to standard output")?;
    }
    Ok(ExitCode::SUCCESS)
}
