//! `remuda agent`: this host's part of the fleet.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use remuda_agent::{AgentOptions, AssignmentSource};

use crate::failure::{Context, Failure, Outcome};
use crate::{logging, quantity};

pub const EXAMPLES: &str = "Examples:
  echo TOKEN | remuda agent --server 192.0.2.1:8443 --token-file -
                                            the line that `remuda server` and `remuda token create` print
  remuda agent --server 192.0.2.1:8443      a host that has joined before needs no token
  remuda agent --label zone=a --cpu 4 --memory 8G --server 192.0.2.1:8443 --token-file token
  remuda agent --assignment host.yaml       no server: the file says what this host runs; it is read again when it changes";

/// What a host says of itself; the same for an agent on its own and beside a server.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct HostArgs {
    /// This host's name in the fleet [default: its hostname]
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    pub name: Option<String>,
    /// This host's address for the others: tunnel and API [default: that of the default route]
    #[arg(long, value_name = "IP")]
    pub advertise: Option<Ipv4Addr>,
    /// Interface on which published ports answer; may be repeated [default: those with a default route or the
    /// advertised address]
    #[arg(long = "uplink", value_name = "INTERFACE")]
    pub uplinks: Vec<String>,
    /// Label for placement; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = quantity::label)]
    pub labels: Vec<(String, String)>,
    /// Cores that may be placed here [default: all]
    #[arg(long, value_name = "N", value_parser = quantity::cpu_cores)]
    pub cpu: Option<f64>,
    /// Memory that may be placed here [default: all]
    #[arg(long, value_name = "SIZE", value_parser = quantity::memory_bytes)]
    pub memory: Option<u64>,
    /// The container engine's socket, or `none` to use no engine [default: DOCKER_HOST if it is unix://, else
    /// /var/run/docker.sock]
    #[arg(long, value_name = "SOCKET|none", value_parser = docker_socket)]
    pub docker: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub host: HostArgs,
    /// Where this agent keeps its identity and what it must remember
    #[arg(long, value_name = "DIR", default_value = "/var/lib/remuda/agent")]
    pub data_dir: PathBuf,
    /// The fleet's server
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "assignment")]
    pub server: Option<String>,
    /// File with the join token, `-` for standard input; needed once
    #[arg(long, value_name = "FILE", conflicts_with = "assignment")]
    pub token_file: Option<PathBuf>,
    /// Take the assignment from this file (YAML or JSON) instead of a server
    #[arg(long, value_name = "FILE")]
    pub assignment: Option<PathBuf>,
    /// What is logged, as RUST_LOG
    #[arg(long, value_name = "FILTER")]
    pub log: Option<String>,
}

pub fn run(args: Args) -> Outcome {
    let options = args.options()?;
    logging::start(args.log.as_deref());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().cannot("start")?;
    let ended = runtime.block_on(remuda_agent::run(options));
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS).map_err(|error| Failure::new(format!("{error:#}")))
}

impl Args {
    fn options(&self) -> Result<AgentOptions, Failure> {
        let source = match (&self.server, &self.assignment) {
            (Some(address), _) => {
                AssignmentSource::Server { address: server_address(address)?, token_file: self.token_file.clone() }
            }
            (None, Some(file)) => AssignmentSource::File(file.clone()),
            (None, None) => {
                return Err(Failure::usage("an agent needs a server")
                    .advice("name it with --server ADDRESS:8443 (or run from a file with --assignment FILE)"));
            }
        };
        self.host.options(self.data_dir.clone(), source)
    }
}

impl HostArgs {
    /// What an agent with these words on its command line does; the name is this machine's where none is given.
    pub fn options(&self, data_dir: PathBuf, source: AssignmentSource) -> Result<AgentOptions, Failure> {
        Ok(AgentOptions {
            name: self.name.clone().map_or_else(machine_name, Ok)?,
            data_dir,
            advertise: self.advertise,
            uplinks: self.uplinks.clone(),
            labels: self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            // Both are positive and far below 2^53, so nothing is lost.
            cpu_milli: self.cpu.map(|cores| (cores * 1000.0).round().max(1.0) as u64),
            memory_bytes: self.memory,
            docker: self.docker_socket(|name| std::env::var(name).ok()),
            source,
        })
    }

    /// None = no engine is used.
    fn docker_socket(&self, variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
        if let Some(told) = self.docker.as_deref() {
            return (told != NO_ENGINE).then(|| told.into());
        }
        let of_environment =
            variable("DOCKER_HOST").and_then(|host| Some(PathBuf::from(host.strip_prefix("unix://")?)));
        // An engine may be installed later.
        of_environment.or_else(|| Some(DOCKER_SOCKET.into()))
    }
}

/// Where Docker listens unless it was told otherwise.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";
/// Said instead of a socket.
const NO_ENGINE: &str = "none";

/// An absolute path, with or without `unix://` before it; `none` stays.
fn docker_socket(text: &str) -> Result<String, String> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    if path == NO_ENGINE || path.starts_with('/') {
        return Ok(path.to_owned());
    }
    Err(format!("write the path of its unix socket, as in {DOCKER_SOCKET}, or `none`"))
}

/// `h1` of `h1.example.org`.
fn machine_name() -> Result<String, Failure> {
    let full = nix::unistd::gethostname().cannot("read this machine's name")?;
    let full = full.to_string_lossy().into_owned();
    let name = full.split('.').next().unwrap_or_default();
    match remuda_api::names::check_label(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(why) => {
            Err(Failure::usage(format!("this machine's name {full:?} {why}")).advice("give it one with --name NAME"))
        }
    }
}

/// `192.0.2.1` means `192.0.2.1:8443`.
fn server_address(text: &str) -> Result<String, Failure> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, "8443"));
    let is_host = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:[]".contains(c));
    match port.parse::<u16>() {
        Ok(port) if port > 0 && is_host => Ok(format!("{host}:{port}")),
        _ => Err(Failure::usage(format!("--server {text:?} is no address"))
            .advice("write ADDRESS:PORT, as in 192.0.2.1:8443")),
    }
}

/// A host's name, by the rule of DESIGN.md section 5.
fn host_name(text: &str) -> Result<String, String> {
    remuda_api::names::check_label(text).map_err(|why| format!("the name {why}"))?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_port_is_at_8443() {
        assert_eq!(server_address("192.0.2.1").unwrap(), "192.0.2.1:8443");
        assert_eq!(server_address("h1.example:9000").unwrap(), "h1.example:9000");
        for text in ["", ":8443", "h1:0", "h1:http", "h1:8443/x", "https://h1:8443"] {
            assert!(server_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_engine_is_where_it_is_told_to_be_else_where_docker_host_says_else_where_it_usually_is() {
        let socket = |told: Option<&str>, host: Option<&str>| {
            let args = HostArgs { docker: told.map(str::to_owned), ..HostArgs::default() };
            let found = args.docker_socket(|_| host.map(str::to_owned));
            found.map(|path| path.display().to_string()).unwrap_or_default()
        };
        assert_eq!(socket(Some("none"), Some("unix:///a")), "");
        assert_eq!(socket(Some("/b"), Some("unix:///a")), "/b");
        assert_eq!(socket(None, Some("unix:///a")), "/a");
        assert_eq!(socket(None, Some("tcp://a:2375")), DOCKER_SOCKET);
        assert_eq!(socket(None, None), DOCKER_SOCKET);
        assert!(docker_socket("unix:///run/d.sock").is_ok_and(|path| path == "/run/d.sock"));
        assert!(docker_socket("tcp://a:2375").is_err() && docker_socket("none").is_ok());
    }

    #[test]
    fn cores_become_thousandths() {
        let host = HostArgs {
            name: Some("h1".into()),
            advertise: None,
            uplinks: Vec::new(),
            labels: vec![("zone".into(), "a".into())],
            cpu: Some(0.5),
            memory: None,
            docker: None,
        };
        let options = host.options("/tmp/x".into(), AssignmentSource::File("/tmp/y".into())).unwrap();
        assert_eq!((options.cpu_milli, options.labels), (Some(500), vec!["zone=a".to_owned()]));
    }
}
