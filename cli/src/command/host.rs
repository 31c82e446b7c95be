//! `remuda hosts` and `remuda host …`.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::process::ExitCode;

use remuda_api::resource::{Host, HostPatch, HostState};
use reqwest::Method;

use super::drain::{self, DrainArgs, NameArgs};
use crate::client::{Client, Refusal};
use crate::connection::ConnectionArgs;
use crate::failure::{Context, Failure, Outcome};
use crate::listing::{Format, OutputArgs, first_line, json, out, print, word};
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
    /// Move every container of a host elsewhere and place none there, for maintenance
    #[command(after_help = "Examples:
  remuda host drain h2                 follow until it is empty; Ctrl-C leaves it draining, exit code 1
  remuda host drain h2 --detach        return at once
  remuda host drain h2 && ssh h2 reboot
  remuda host activate h2              when it is back

Another container serves first, then the old one leaves names, lists and rings, keeps its connections for
the service's drain_timeout_ms at most, and is stopped. What fits nowhere else waits, with the reason in
`remuda ps`. Containers of global services stop with the host.")]
    Drain(DrainArgs),
    /// Place nothing new on a host; what runs there goes on
    #[command(after_help = "Examples:
  remuda host pause h2
  remuda host activate h2")]
    Pause(NameArgs),
    /// Let containers be placed on a host again
    #[command(after_help = "Examples:
  remuda host activate h2

Containers that moved away stay where they are; `remuda scale` and later changes use the host again.")]
    Activate(NameArgs),
    /// Remove a host: its containers are placed elsewhere; its agent, if it runs, leaves no trace
    #[command(after_help = "Examples:
  remuda host rm h3            takes it out of the fleet, whatever it is
  remuda host rm h3 --dead     says that it is dead for good: refused while it answers

With --dead its containers are placed elsewhere at once, also while the brake holds everything because too
many hosts were lost together (`remuda hosts -o wide` says so). Should it come back after all, it is no part
of the fleet: `remuda leave` on it ends what still runs there, then it may join again.")]
    Rm {
        /// Full name
        name: String,
        /// Only if it is dead: confirm what the fleet would not decide alone
        #[arg(long)]
        dead: bool,
        /// Do not ask, whatever it is
        #[arg(short, long, conflicts_with = "dead")]
        force: bool,
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
    if args.output.output == Format::Table {
        alarms(&hosts).iter().for_each(|line| eprintln!("{line}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What needs a look, one line per state: `note: h2, h3 are dead; h2: no report for 8.2 s, …`.
fn alarms(hosts: &[Host]) -> Vec<String> {
    let mut by_state: BTreeMap<String, Vec<&Host>> = BTreeMap::new();
    for host in hosts.iter().filter(|host| !matches!(host.state, HostState::Ready | HostState::Joining)) {
        by_state.entry(word(&host.state)).or_default().push(host);
    }
    let mut lines: Vec<String> = by_state.iter().map(|(state, hosts)| alarm(state, hosts)).collect();
    let sick: Vec<&str> =
        hosts.iter().filter(|host| !host.problems.is_empty()).map(|host| host.name.as_str()).collect();
    if !sick.is_empty() {
        lines.push(format!("note: problems on {} (`remuda hosts -o wide` shows them)", sick.join(", ")));
    }
    lines
}

fn alarm(state: &str, hosts: &[&Host]) -> String {
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    let reason = |host: &&Host| host.reason.as_deref().map(first_line).filter(|reason| !reason.is_empty());
    match hosts {
        [one] => {
            format!("note: {} is {state}{}", one.name, reason(one).map(|why| format!(": {why}")).unwrap_or_default())
        }
        _ => {
            let first = hosts.iter().find_map(|host| Some(format!("; {}: {}", host.name, reason(host)?)));
            format!(
                "note: {} are {state}{} (`remuda hosts -o wide` says why)",
                names.join(", "),
                first.unwrap_or_default()
            )
        }
    }
}

/// The words are checked before a server is looked for.
pub async fn run(command: Command, connection: &ConnectionArgs) -> Outcome {
    let client = || Client::new(connection.connection()?);
    match command {
        Command::Ls(args) => list(args, &client()?).await,
        Command::Inspect { name } => inspect(&name, &client()?).await,
        Command::Drain(args) => drain::drain(args, &client()?).await,
        Command::Pause(args) => drain::pause(args, &client()?).await,
        Command::Activate(args) => drain::activate(args, &client()?).await,
        Command::Rm { name, dead, force } => {
            let client = client()?;
            if !dead && !force {
                confirm(&name, &client).await?;
            }
            remove(&name, dead, &client).await
        }
        Command::Label { name, labels } => {
            let changes = label_changes(&labels)?;
            label(&name, changes, &client()?).await
        }
    }
}

/// Who sits at a terminal is asked before a host that is well goes; scripts know what they do.
async fn confirm(name: &str, client: &Client) -> Result<(), Failure> {
    let hosts: Vec<Host> = client.get(&["hosts"]).await?;
    let Some(host) = hosts.iter().find(|host| host.name == name && host.state == HostState::Ready) else {
        return Ok(());
    };
    if !std::io::stdin().is_terminal() {
        return Ok(());
    }
    eprint!("{name} is ready and has {} containers, which are placed elsewhere. Remove it? [y/N] ", host.containers);
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).cannot("read the answer")?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was changed")
            .advice("`remuda host drain` empties a host first; --force asks nothing")),
    }
}

/// Only the full name: what is removed is not guessed.
pub async fn remove(name: &str, only_dead: bool, client: &Client) -> Outcome {
    let query: &[(&str, &str)] = if only_dead { &[("dead", "true")] } else { &[] };
    match client.delete_query(&["hosts", name], query).await {
        Ok(_) => out(&format!("{name}: removed\n"))?,
        Err(Refusal::NotFound(problem)) => {
            return Err(match host_named(client, name).await {
                Ok(like) => Refusal::NotFound(problem)
                    .into_failure()
                    .advice(format!("removing takes the full name: did you mean `{like}`?")),
                Err(failure) => failure,
            });
        }
        Err(refusal) => return Err(refusal.into_failure()),
    }
    Ok(ExitCode::SUCCESS)
}

pub async fn inspect(typed: &str, client: &Client) -> Outcome {
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
pub fn label_changes(words: &[String]) -> Result<BTreeMap<String, Option<String>>, Failure> {
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
pub async fn host_named(client: &Client, typed: &str) -> Result<String, Failure> {
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

    fn host(name: &str, state: HostState, reason: Option<&str>) -> Host {
        let bare = r#"{"name":"","node_id":1,"underlay_ip":"","cidrs":[],"state":"ready","availability":"active","labels":{},
            "cpu":1.0,"memory":1,"containers":0,"generation":0,"version":"","reason":null,"problems":[]}"#;
        let bare: Host = serde_json::from_str(bare).unwrap();
        Host { name: name.into(), state, reason: reason.map(Into::into), ..bare }
    }

    #[test]
    fn a_listing_ends_with_what_needs_a_look() {
        let held = Some("no report for 8.2 s; nothing moves before `remuda host rm --dead h2`");
        let sick = Host { problems: vec!["port 80 is taken".into()], ..host("h5", HostState::Ready, None) };
        let hosts = [
            host("h1", HostState::Ready, None),
            host("h2", HostState::Dead, held),
            host("h3", HostState::Dead, held),
            host("h4", HostState::Suspect, Some("no sign of life")),
            sick,
        ];
        let expected = [
            "note: h2, h3 are dead; h2: no report for 8.2 s; nothing moves before `remuda host rm --dead h2` (`remuda hosts -o \
             wide` says why)",
            "note: h4 is suspect: no sign of life",
            "note: problems on h5 (`remuda hosts -o wide` shows them)",
        ];
        assert_eq!(alarms(&hosts), expected);
        assert!(alarms(&hosts[..1]).is_empty());
    }

    #[test]
    fn what_is_no_label_is_wrong_usage() {
        for words in [["zone"].as_slice(), &["-"], &["=a"], &["a=1", "a-"]] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(label_changes(&words).is_err(), "{words:?}");
        }
    }
}
