//! `remuda dns NAME --from CONTAINER`: what that container is answered, by its own host.

use std::process::ExitCode;

use remuda_api::resource::DnsAnswer;

use crate::client::{Client, Refusal};
use crate::failure::Outcome;
use crate::listing::{json, out};
use crate::name::Known;

#[derive(clap::Args)]
pub struct Args {
    /// Name to look up, as a program in the container would write it
    name: String,
    /// Record type
    #[arg(long = "type", default_value = "A", value_name = "TYPE")]
    kind: String,
    /// Who asks: a container, or a service (its first running container)
    #[arg(long, value_name = "CONTAINER")]
    from: String,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One record a line
    #[default]
    Text,
    /// The whole answer
    Json,
}

pub async fn run(args: Args, client: &Client) -> Outcome {
    let container = Known::ask(client).await?.container(&args.from)?;
    let kind = args.kind.to_ascii_uppercase();
    let query = [("name", args.name.as_str()), ("type", kind.as_str())];
    let answer: DnsAnswer =
        client.look_up_query(&["containers", &container, "dns"], &query).await.map_err(Refusal::into_failure)?;
    match args.output {
        Format::Json => out(&json(&answer)?)?,
        Format::Text => {
            out(&answer.answers.iter().map(|record| format!("{record}\n")).collect::<String>())?;
            if answer.answers.is_empty() {
                eprintln!("{}", emptiness(&answer, &container));
            }
        }
    }
    Ok(if answer.rcode == "NOERROR" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why there is no record to print.
fn emptiness(answer: &DnsAnswer, container: &str) -> String {
    let DnsAnswer { name, kind, rcode, host, .. } = answer;
    let why = match rcode.as_str() {
        "NOERROR" => format!("`{name}` exists and has no {kind} record"),
        "NXDOMAIN" => format!("there is no name `{name}` for {container}"),
        other => format!("`{name}` {kind} was answered with {other}"),
    };
    format!("{why} (answered by host {host}, generation {})", answer.generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_says_whether_the_name_exists() {
        let mut answer =
            DnsAnswer { name: "web".into(), kind: "AAAA".into(), rcode: "NOERROR".into(), ..DnsAnswer::default() };
        assert!(emptiness(&answer, "shop-api-1").starts_with("`web` exists and has no AAAA record"));
        answer.rcode = "NXDOMAIN".into();
        assert!(emptiness(&answer, "shop-api-1").starts_with("there is no name `web` for shop-api-1"));
    }
}
