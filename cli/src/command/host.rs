//! `remuda hosts` and `remuda host …`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use remuda_api::resource::{Host, HostPatch};
use reqwest::Method;

use crate::client::{Client, Refusal};
use crate::connection::ConnectionArgs;
use crate::failure::{Failure, Outcome};
use crate::listing::{OutputArgs, json, out, print};
use crate::{name, quantity};

#[derive(clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(clap::Subcommand)]
pub enum Command {
    /// List the hosts (the same as `remuda hosts`)
    #[command(
        visible_alias = "list",
        after_help = "Examples:
  remuda host ls
  remuda host ls -o json | jq -r '.[].name'"
    )]
    Ls(ListArgs),
    /// Show everything that is known of one host
    #[command(after_help = "Examples:
  remuda host inspect h1
  remuda host inspect h1 | jq .labels")]
    Inspect {
        /// Name, or the beginning of one
        name: String,
    },
    /// Remove a host: its containers are placed elsewhere; its agent, if it runs, leaves no trace
    #[command(after_help = "Examples:
  remuda host rm h3")]
    Rm {
        /// Full name
        name: String,
    },
    /// Set labels (KEY=VALUE) and remove them (KEY-)
    #[command(after_help = "Examples:
  remuda host label h1 zone=a disk=ssd      set two labels
  remuda host label h1 disk-                remove one

A service is held to labelled hosts by its file:
  deploy: {placement: {constraints: [\"node.labels.zone == a\"]}}")]
    Label {
        /// Name, or the beginning of one
        name: String,
        /// KEY=VALUE sets, KEY- removes
        #[arg(required = true, value_name = "KEY=VALUE|KEY-")]
        labels: Vec<String>,
    },
}

pub async fn list(args: ListArgs, client: &Client) -> Outcome {
    let hosts: Vec<Host> = client.get(&["hosts"]).await?;
    print(&hosts, args.output.output)?;
    Ok(ExitCode::SUCCESS)
}

/// The words are checked before a server is looked for.
pub async fn run(command: Command, connection: &ConnectionArgs) -> Outcome {
    let client = || Client::new(connection.connection()?);
    match command {
        Command::Ls(args) => list(args, &client()?).await,
        Command::Inspect { name } => inspect(&name, &client()?).await,
        Command::Rm { name } => remove(&name, &client()?).await,
        Command::Label { name, labels } => {
            let changes = label_changes(&labels)?;
            label(&name, changes, &client()?).await
        }
    }
}

/// Only the full name: what is removed is not guessed.
async fn remove(name: &str, client: &Client) -> Outcome {
    client.delete(&["hosts", name]).await.map_err(Refusal::into_failure)?;
    out(&format!("{name}: removed\n"))?;
    Ok(ExitCode::SUCCESS)
}

async fn inspect(typed: &str, client: &Client) -> Outcome {
    let name = host_named(client, typed).await?;
    let host: serde_json::Value = client.get(&["hosts", &name]).await?;
    out(&json(&host)?)?;
    Ok(ExitCode::SUCCESS)
}

async fn label(typed: &str, labels: BTreeMap<String, Option<String>>, client: &Client) -> Outcome {
    let name = host_named(client, typed).await?;
    let patch = HostPatch { labels, ..HostPatch::default() };
    let host: Host = client.send(Method::PATCH, &["hosts", &name], &patch).await.map_err(Refusal::into_failure)?;
    let labels: Vec<String> = host.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let labels = if labels.is_empty() { "no labels".to_owned() } else { labels.join(" ") };
    out(&format!("{name}: {labels}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// `zone=a` sets, `disk-` removes (None); the same key twice is a mistake.
fn label_changes(words: &[String]) -> Result<BTreeMap<String, Option<String>>, Failure> {
    let mut changes = BTreeMap::new();
    for word in words {
        let (key, value) = match (quantity::label(word), word.strip_suffix('-')) {
            (Ok((key, value)), _) => (key, Some(value)),
            (Err(_), Some(key)) if !key.is_empty() => (key.to_owned(), None),
            _ => {
                return Err(Failure::usage(format!("`{word}` is no label"))
                    .advice("write KEY=VALUE to set one, KEY- to remove one, as in zone=a disk-"));
            }
        };
        if changes.insert(key.clone(), value).is_some() {
            return Err(Failure::usage(format!("label `{key}` is given twice")));
        }
    }
    Ok(changes)
}

/// The host of this name or beginning.
async fn host_named(client: &Client, typed: &str) -> Result<String, Failure> {
    let hosts: Vec<Host> = client.get(&["hosts"]).await?;
    let names: Vec<String> = hosts.into_iter().map(|host| host.name).collect();
    name::one_of("host", typed, &names, "remuda hosts").cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_set_and_removed_in_one_go() {
        let words = ["zone=a", "disk-", "note=b-"].map(String::from);
        let changes = label_changes(&words).unwrap();
        assert_eq!(changes["zone"].as_deref(), Some("a"));
        assert_eq!(changes["disk"], None);
        assert_eq!(changes["note"].as_deref(), Some("b-"));
    }

    #[test]
    fn what_is_no_label_is_wrong_usage() {
        for words in [["zone"].as_slice(), &["-"], &["=a"], &["a=1", "a-"]] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(label_changes(&words).is_err(), "{words:?}");
        }
    }
}
