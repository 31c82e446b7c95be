//! `remuda events`: what happened, oldest first.

use std::process::ExitCode;

use remuda_api::resource::Event;

use crate::client::{Client, Refusal};
use crate::failure::{Context, Failure, Outcome};
use crate::listing::{Format, OutputArgs, first_line, out, plain, print};

#[derive(clap::Args)]
pub struct Args {
    /// Go on as things happen
    #[arg(short, long)]
    follow: bool,
    /// Only what came after the event with this id
    #[arg(long, value_name = "ID")]
    since: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

pub async fn run(args: Args, client: &Client) -> Outcome {
    let since = args.since.map(|id| id.to_string());
    let since: Vec<(&str, &str)> = since.iter().map(|id| ("since", id.as_str())).collect();
    if args.follow {
        return follow(client, since, args.output.output).await;
    }
    let events: Vec<Event> = client.look_up_query(&["events"], &since).await.map_err(Refusal::into_failure)?;
    print(&events, args.output.output)?;
    Ok(ExitCode::SUCCESS)
}

async fn follow(client: &Client, mut query: Vec<(&str, &str)>, format: Format) -> Outcome {
    query.push(("follow", "true"));
    let mut events = client.events(&["events"], &query).await.map_err(Refusal::into_failure)?;
    while let Some(event) = events.next().await {
        let event: Event = serde_json::from_str(&event?.data).cannot("understand an event of the server")?;
        out(&line(&event, format)?)?;
    }
    Err(Failure::new("the server ended the stream of events")
        .advice("run it again; --since ID goes on where it stopped"))
}

/// One event, one line, in JSON too.
fn line(event: &Event, format: Format) -> Result<String, Failure> {
    let Event { id, time, kind, .. } = event;
    let (object, message) = (plain(&event.object), first_line(&event.message));
    match format {
        Format::Json => Ok(serde_json::to_string(event).cannot("print JSON")? + "\n"),
        Format::Table => Ok(format!("{time}  {kind}  {object}  {message}\n")),
        Format::Wide => Ok(format!("{id}  {time}  {kind}  {object}  {message}\n")),
    }
}
