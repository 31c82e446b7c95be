//! `cargo xtask lab`: a fleet of network namespaces, by hand.

use crate::{cargo, setup};
use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use remuda_lab::{Lab, Options, Source, State, netns, process, residue};
use std::time::Instant;

/// Hosts as network namespaces on this machine, running the real binaries.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  cargo xtask lab up --hosts 3
  . target/lab/env && target/release/remuda hosts
  cargo xtask lab exec client -- ping -c1 192.168.77.11
  cargo xtask lab cut h2
  cargo xtask lab heal h2
  cargo xtask lab restart h3
  cargo xtask lab up --runtime docker
  cargo xtask lab load-image rawmind/hms --port 8080
  cargo xtask lab exec h1 -- docker ps
  cargo xtask lab down";

#[derive(Subcommand)]
enum Command {
    /// Make the lab; returns when every host is ready
    Up(Up),
    /// End it and remove everything of it, also what an interrupted one left
    Down,
    /// What runs
    Status {
        /// Print lab.json
        #[arg(long)]
        json: bool,
    },
    /// End `server` or a host's agent, as an init system would; containers go on
    Stop { who: String },
    /// Start it again
    Start { who: String },
    /// Stop, then start
    Restart { who: String },
    /// Pull a host's cable
    Cut { host: String },
    /// Plug it in again
    Heal { host: String },
    /// Give every host's engine an image of this name: the project's own `whoami`, as nothing can be pulled here
    LoadImage {
        /// repository[:tag]
        name: String,
        /// Where it answers
        #[arg(long, default_value_t = 80)]
        port: u16,
    },
    /// Run a command on a host, or on `client`
    Exec {
        host: String,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(clap::Args)]
struct Up {
    /// 1 to 50, named h1, h2, …
    #[arg(long, default_value_t = 3)]
    hosts: usize,
    /// What runs containers
    #[arg(long, value_enum, default_value_t = Runtime::Process)]
    runtime: Runtime,
    /// Between hosts
    #[arg(long, value_enum, default_value_t = Encryption::None)]
    encryption: Encryption,
    /// Where assignments come from; default: a server, if this tree has one
    #[arg(long, value_enum)]
    source: Option<From>,
    /// Take target/release/remuda as it is
    #[arg(long)]
    no_build: bool,
    /// Print lab.json
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Runtime {
    Process,
    Docker,
    Hollow,
}

#[derive(Clone, Copy, ValueEnum)]
enum Encryption {
    None,
    Wireguard,
}

#[derive(Clone, Copy, ValueEnum)]
enum From {
    Server,
    File,
}

/// The lab people play with; tests give theirs other names.
pub const NAME: &str = "default";

pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Up(args) => up(&args),
        Command::Down => down(),
        Command::Status { json } => status(json),
        Command::Stop { who } => Lab::open(NAME)?.stop(&who),
        Command::Start { who } => Lab::open(NAME)?.start(&who),
        Command::Restart { who } => restart(&who),
        Command::Cut { host } => Lab::open(NAME)?.cut(&host),
        Command::Heal { host } => Lab::open(NAME)?.heal(&host),
        Command::LoadImage { name, port } => load_image(&name, port),
        Command::Exec { host, command } => exec(&host, &command),
    }
}

fn up(args: &Up) -> Result<()> {
    match args.runtime {
        Runtime::Process => {}
        Runtime::Docker => setup::engine()?,
        Runtime::Hollow => {
            bail!("`--runtime hollow` comes with a later issue: this tree runs containers as processes or in dockerd")
        }
    }
    if let Encryption::Wireguard = args.encryption {
        bail!("`--encryption wireguard` comes with a later issue: this tree does not encrypt between hosts");
    }
    setup::lab()?;
    if !args.no_build {
        cargo::build_remuda()?;
    }
    let started = Instant::now();
    let mut options = Options::new(NAME, args.hosts);
    match args.source {
        Some(From::File) => options.source = Source::File,
        Some(From::Server) => options.source = Source::Server,
        None => {}
    }
    if let Runtime::Docker = args.runtime {
        options = options.with_docker();
    }
    let lab = Lab::up(&options)?.keep();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&lab.state)?);
    } else {
        println!("{} hosts ready in {:.1} s", lab.state.hosts.len(), started.elapsed().as_secs_f32());
        how_to_play(&lab.state);
    }
    Ok(())
}

/// What one can type next.
pub fn how_to_play(state: &State) {
    if state.api.is_some() {
        println!("  . target/lab/env                    then plain `target/release/remuda …` talks to this lab");
    } else {
        println!("  target/lab/default/h1/assignment.json   what h1 is told; edit it, the agent applies it");
    }
    println!("  cargo xtask lab exec h1 -- CMD      run something on a host, or on `client` ({})", state.client.ip);
    if state.hosts.iter().any(|host| host.docker.is_some()) {
        println!("  cargo xtask lab load-image NAME --port N   a stand-in for an image: nothing can be pulled here");
        println!("  cargo xtask lab exec h1 -- docker ps       what its engine runs");
    }
    println!("  cargo xtask lab status              what runs");
    println!("  cargo xtask lab down                end it");
}

fn down() -> Result<()> {
    Lab::down(NAME)?;
    let left = residue(NAME);
    if !left.is_empty() {
        bail!("still there:\n  {}", left.join("\n  "));
    }
    println!("nothing of the lab is left");
    Ok(())
}

fn status(json: bool) -> Result<()> {
    let lab = Lab::open(NAME)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&lab.state)?);
        return Ok(());
    }
    println!("api     {}", lab.state.api.as_deref().unwrap_or("none: hosts read their assignments from files"));
    println!("client  {} in {}", lab.state.client.ip, lab.state.client.netns);
    println!(
        "{:<6} {:>4} {:<15} {:<14} {:>7} {:>8}  {:<6} log",
        "host", "node", "underlay", "namespace", "pid", "memory", "agent"
    );
    for host in &lab.state.hosts {
        let state = if process::is_alive(host.agent_pid) { "runs" } else { "ended" };
        let megabytes = process::rss_bytes(host.agent_pid) as f64 / 1e6;
        let log = lab.dir().join(&host.name).join("remuda.log");
        let (name, node, ip, netns, pid) = (&host.name, host.node_id, &host.underlay_ip, &host.netns, host.agent_pid);
        println!("{name:<6} {node:>4} {ip:<15} {netns:<14} {pid:>7} {megabytes:>5.1} MB  {state:<6} {}", log.display());
    }
    Ok(())
}

fn restart(who: &str) -> Result<()> {
    let mut lab = Lab::open(NAME)?;
    lab.stop(who)?;
    lab.start(who)
}

fn load_image(name: &str, port: u16) -> Result<()> {
    let lab = Lab::open(NAME)?;
    cargo::build_whoami()?;
    lab.load_image(name, port)?;
    println!("{name} is whoami on port {port} in the engines of {}", lab.host_names().join(", "));
    Ok(())
}

/// Hands over our terminal, and the command's exit code.
fn exec(host: &str, argv: &[String]) -> Result<()> {
    let lab = Lab::open(NAME)?;
    let (program, args) = argv.split_first().context("no command given")?;
    let mut command = netns::command(&lab.netns(host)?, program)?;
    command.env("PATH", with_our_programs()?);
    if let Ok(engine) = lab.engine(host) {
        command.env("DOCKER_HOST", engine.url());
    }
    let status =
        command.args(args).envs(lab.state.env()).status().with_context(|| format!("cannot start {program}"))?;
    std::process::exit(status.code().unwrap_or(1))
}

/// PATH with target/release in front, so that `remuda` and `shop` are found on a host as well.
fn with_our_programs() -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths(std::iter::once(cargo::at("target/release")).chain(std::env::split_paths(&path)))?)
}
