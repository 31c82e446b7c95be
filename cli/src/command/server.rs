//! `remuda server`: the orchestrator, and an agent on its own host as a process of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ipnetwork::Ipv4Network;
use remuda_agent::{AssignmentSource, facts};
use remuda_orchestrator::{Ready, ServerOptions};
use tokio::sync::oneshot;

use super::agent::HostArgs;
use crate::client::Client;
use crate::connection::{ConnectionArgs, DEFAULT_DATA_DIR};
use crate::failure::{Context, Failure, Outcome};
use crate::logging;
use crate::quantity;
use crate::supervisor::Supervisor;

pub const EXAMPLES: &str = "Examples:
  remuda server                                  a fleet of one host; prints the line to run on further hosts
  remuda server --advertise 192.0.2.1 --name h1
  remuda server --no-agent                       only the server, no containers on this host
  remuda server --overlay-pool 10.52.0.0/16 --vip-pool 10.53.0.0/16";

/// The agent's data directory inside the server's.
const AGENT_DIR: &str = "agent";

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    host: HostArgs,
    /// Where the server keeps its state, CA and first API key; its agent's directory is `agent` in there
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Where the API and the agents' connections are answered
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Run no agent on this host
    #[arg(long)]
    no_agent: bool,
    /// Addresses of containers, fixed at the first start; may be repeated
    #[arg(long = "overlay-pool", value_name = "CIDR", default_value = "10.42.0.0/16")]
    overlay_pools: Vec<Ipv4Network>,
    /// Virtual addresses of services, fixed at the first start; may be repeated
    #[arg(long = "vip-pool", value_name = "CIDR", default_value = "10.43.0.0/16")]
    vip_pools: Vec<Ipv4Network>,
    /// How long a host keeps its containers when its agent is silent and its kernel answers; then they move
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = quantity::duration)]
    control_lost_timeout: Duration,
    /// What is logged, as RUST_LOG
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

pub fn run(args: Args) -> Outcome {
    logging::start(args.log.as_deref());
    let program = std::env::current_exe().cannot("find this program's own file")?;
    let advertise = args.advertise()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().cannot("start")?;
    let ended = runtime.block_on(serve(args, program, advertise));
    runtime.shutdown_background();
    ended.map(|()| ExitCode::SUCCESS)
}

async fn serve(args: Args, program: PathBuf, advertise: Ipv4Addr) -> Result<(), Failure> {
    let (tell, ready) = oneshot::channel();
    let options = ServerOptions {
        listen: args.listen,
        overlay_pools: args.overlay_pools.clone(),
        vip_pools: args.vip_pools.clone(),
        control_lost_timeout: args.control_lost_timeout,
        ready: Some(tell),
        ..ServerOptions::new(args.data_dir.clone(), advertise)
    };
    let beside = args.clone();
    let agent = tokio::spawn(async move {
        match ready.await {
            Ok(ready) if !beside.no_agent => keep_agent(&beside, program, advertise, &ready).await,
            _ => {}
        }
    });
    let ended = remuda_orchestrator::run(options).await;
    agent.abort();
    if ended.is_ok() && !args.no_agent {
        let agent_dir = args.data_dir.join(AGENT_DIR);
        eprintln!(
            "the server has ended; the agent and the containers of this host go on (`remuda leave --data-dir {}` ends them)",
            agent_dir.display()
        );
    }
    ended.map_err(|error| Failure::new(format!("{error:#}")))
}

async fn keep_agent(args: &Args, program: PathBuf, advertise: Ipv4Addr, ready: &Ready) {
    let api = format!("https://{}", local_address(ready.listen));
    let client =
        ConnectionArgs { api: Some(api), ca: Some(ready.ca_path.clone()), key_file: Some(ready.key_path.clone()) };
    let client = client.connection().and_then(Client::new);
    let data_dir = args.data_dir.join(AGENT_DIR);
    match client {
        Ok(client) => {
            let arguments = args.agent_arguments(&data_dir, advertise, &ready.address);
            Supervisor { program, arguments, data_dir, client }.keep().await;
        }
        Err(failure) => tracing::error!("no agent on this host: {failure}"),
    }
}

/// How this very host reaches what listens there.
fn local_address(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        ip if !ip.is_unspecified() => listen,
        _ => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listen.port()),
    }
}

impl Args {
    /// The address the others reach this host at: as told, else that of the default route.
    fn advertise(&self) -> Result<Ipv4Addr, Failure> {
        if let Some(ip) = self.host.advertise {
            return Ok(ip);
        }
        // Only the uplinks are looked at; nothing is taken from a source.
        let source = AssignmentSource::File(PathBuf::new());
        let options = self.host.options(self.data_dir.clone(), source)?;
        let uplinks = facts::uplinks(&options).map_err(Failure::new)?;
        Ok(uplinks.underlay_ip)
    }

    /// The command line of the agent beside this server.
    fn agent_arguments(&self, data_dir: &Path, advertise: Ipv4Addr, server: &str) -> Vec<String> {
        let mut words = vec!["--data-dir".into(), data_dir.display().to_string()];
        words.extend(["--server".into(), server.to_owned(), "--advertise".into(), advertise.to_string()]);
        let host = &self.host;
        let mut add =
            |flag: &str, value: Option<String>| words.extend(value.into_iter().flat_map(|v| [flag.to_owned(), v]));
        add("--name", host.name.clone());
        host.uplinks.iter().for_each(|uplink| add("--uplink", Some(uplink.clone())));
        host.labels.iter().for_each(|(key, value)| add("--label", Some(format!("{key}={value}"))));
        add("--cpu", host.cpu.map(|cores| cores.to_string()));
        add("--memory", host.memory.map(|bytes| bytes.to_string()));
        add("--docker", host.docker.clone());
        add("--log", self.log.clone());
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::arguments::{Cli, Command};

    #[test]
    fn the_agent_beside_a_server_is_told_everything_about_its_host() {
        let words =
            "remuda server --data-dir /d --name h1 --uplink eth0 --label zone=a --cpu 0.5 --memory 2G --log debug";
        let Command::Server(args) = Cli::parse_from(words.split(' ')).command else { panic!("a server") };
        let arguments = args.agent_arguments(Path::new("/d/agent"), Ipv4Addr::new(192, 0, 2, 1), "192.0.2.1:8443");
        let expected = "--data-dir /d/agent --server 192.0.2.1:8443 --advertise 192.0.2.1 --name h1 --uplink eth0 \
                        --label zone=a --cpu 0.5 --memory 2147483648 --log debug";
        assert_eq!(arguments.join(" "), expected);
        let again = Cli::try_parse_from(["remuda", "agent"].into_iter().map(String::from).chain(arguments));
        assert!(again.is_ok_and(|cli| matches!(cli.command, Command::Agent(_))));
    }

    #[test]
    fn a_server_on_all_addresses_is_reached_at_localhost() {
        assert_eq!(local_address("0.0.0.0:8443".parse().unwrap()).to_string(), "127.0.0.1:8443");
        assert_eq!(local_address("192.0.2.1:9".parse().unwrap()).to_string(), "192.0.2.1:9");
    }
}
