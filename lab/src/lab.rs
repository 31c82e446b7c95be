//! A lab: up, down, and what one does to it in between.

use crate::clean::{self, Lock};
use crate::state::{Host, State};
use crate::underlay::{Underlay, host_name, is_host_name};
use crate::{Engine, assignment, fleet, image, netns, process};
use anyhow::{Context, Result, bail};
use remuda_api::assignment::Assignment;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How a lab is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// `default` is the one of `cargo xtask lab`; others run beside it. At most 20 of a-z, 0-9 and `-`.
    pub name: String,
    /// 1 to 50, named h1, h2, …
    pub hosts: usize,
    pub source: Source,
    pub runtime: Runtime,
    /// The binary to start.
    pub remuda: PathBuf,
    /// Added to every agent's (and the server's) command line.
    pub extra_args: Vec<String>,
}

/// Where agents get their assignments from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file per host, written by the lab ([`Lab::assign`]).
    File,
    /// `remuda server` on h1.
    Server,
}

/// What runs containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// The agents themselves; they are told of no engine, also where this machine has one.
    #[default]
    Process,
    /// A dockerd on every host ([`Engine`]), for services that want one.
    Docker,
}

impl Options {
    /// `hosts` hosts from `target/release/remuda`, with a server if that binary has one.
    pub fn new(name: &str, hosts: usize) -> Self {
        let remuda = root().join("target/release/remuda");
        let source = if fleet::has_server(&remuda) { Source::Server } else { Source::File };
        Self { name: name.to_owned(), hosts, source, runtime: Runtime::default(), remuda, extra_args: Vec::new() }
    }

    /// The same with assignments from files.
    pub fn from_files(self) -> Self {
        Self { source: Source::File, ..self }
    }

    /// The same with a container engine on every host.
    pub fn with_docker(self) -> Self {
        Self { runtime: Runtime::Docker, ..self }
    }
}

/// A running lab. One made by [`Lab::up`] ends when it is dropped, unless [`Lab::keep`] was called.
pub struct Lab {
    pub name: String,
    pub state: State,
    /// From the start of the last process until every host was ready; zero for a lab that was opened.
    pub ready_after: Duration,
    pub(crate) underlay: Underlay,
    is_owned: bool,
}

impl Lab {
    /// Makes namespaces, starts every process, returns when every host is ready.
    ///
    /// What an earlier, interrupted lab of this name left is removed first; one that runs is refused.
    pub fn up(options: &Options) -> Result<Lab> {
        check_name(&options.name)?;
        if !options.remuda.exists() {
            bail!(
                "{} is not there; build it with: cargo xtask build-ebpf && cargo build --release",
                options.remuda.display()
            );
        }
        if is_running(&options.name) {
            bail!("lab {} is up already; end it with: cargo xtask lab down", options.name);
        }
        let lock = Lock::take()?;
        clean::down(&options.name)?;
        let mut underlay = Underlay::new(&prefix(&options.name));
        fs::create_dir_all(dir(&options.name))?;
        let built = underlay.build(options.hosts);
        // What fails from here on is taken down by dropping `lab`, which takes the lock itself.
        drop(lock);
        let state = State::default_for(&underlay);
        let mut lab = Lab { name: options.name.clone(), state, ready_after: Duration::ZERO, underlay, is_owned: true };
        built?;
        (lab.state, lab.ready_after) = fleet::start(options, &lab.underlay, &dir(&options.name))?;
        lab.save()?;
        Ok(lab)
    }

    /// The lab that runs under this name.
    pub fn open(name: &str) -> Result<Lab> {
        check_name(name)?;
        let path = state_path(name);
        if !path.exists() {
            bail!("no lab {name} is up; start one with: cargo xtask lab up");
        }
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let state = serde_json::from_str(&text).with_context(|| format!("{} is not a lab's", path.display()))?;
        Ok(Lab {
            name: name.to_owned(),
            state,
            underlay: Underlay::new(&prefix(name)),
            ready_after: Duration::ZERO,
            is_owned: false,
        })
    }

    /// Ends the lab of this name and removes all of it, whatever state it is in; none is fine.
    pub fn down(name: &str) -> Result<()> {
        check_name(name)?;
        let _lock = Lock::take()?;
        clean::down(name)
    }

    /// Lets it run when this value is dropped.
    pub fn keep(mut self) -> Self {
        self.is_owned = false;
        self
    }

    pub fn host(&self, name: &str) -> Result<&Host> {
        let found = self.state.hosts.iter().find(|host| host.name == name);
        found.with_context(|| format!("no host {name} in this lab; there are {}", self.host_names().join(", ")))
    }

    pub fn host_names(&self) -> Vec<&str> {
        self.state.hosts.iter().map(|host| host.name.as_str()).collect()
    }

    /// The network namespace of a host, of `client` or of `switch`.
    pub fn netns(&self, name: &str) -> Result<String> {
        match name {
            "client" => Ok(self.underlay.client()),
            "switch" => Ok(self.underlay.switch()),
            host => Ok(self.host(host)?.netns.clone()),
        }
    }

    /// Runs a command on a host, or on `client`, to its end.
    pub fn run(&self, on: &str, argv: &[&str]) -> Result<Output> {
        netns::run(&self.netns(on)?, argv)
    }

    /// Standard output of a command that must succeed there.
    pub fn output(&self, on: &str, argv: &[&str]) -> Result<String> {
        netns::output(&self.netns(on)?, argv)
    }

    /// `remuda ARGS` as a user of this machine would run it, with the lab's API, CA and key.
    pub fn remuda(&self, args: &[&str]) -> Result<Output> {
        self.command(args)?.output().with_context(|| format!("cannot start remuda {}", args.join(" ")))
    }

    /// The same, not started yet: to run it in a directory, or to watch it.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        let mut command = Command::new(&self.state.hosts.first().context("a lab has hosts")?.argv[0]);
        // Compose files of ours name the checkout by it.
        command.env("SHOP", root());
        command.args(args).envs(self.state.env()).stdin(Stdio::null());
        Ok(command)
    }

    /// Pulls the host's cable.
    pub fn cut(&self, host: &str) -> Result<()> {
        self.set_link(host, "down")
    }

    /// Plugs it in again.
    pub fn heal(&self, host: &str) -> Result<()> {
        self.set_link(host, "up")
    }

    fn set_link(&self, host: &str, state: &str) -> Result<()> {
        let host = self.host(host)?;
        netns::ip(&["-n", &host.link_netns, "link", "set", &host.link, state])
    }

    /// Ends `server` or a host's agent as an init system would; containers go on.
    pub fn stop(&mut self, who: &str) -> Result<()> {
        let stopped = fleet::stop(&mut self.state, who);
        self.save()?;
        stopped
    }

    /// Ends it without a word, as a crash would.
    pub fn kill(&mut self, who: &str) -> Result<()> {
        process::kill_all(&[fleet::pid_of(&self.state, who)?]);
        Ok(())
    }

    /// Starts `server` or a host's agent again, as it was started first, and waits until it is ready.
    pub fn start(&mut self, who: &str) -> Result<()> {
        let started = fleet::start_again(&mut self.state, who);
        self.save()?;
        started
    }

    /// Starts it again and waits for nothing: for what is not to become ready. Its process id.
    pub fn spawn(&mut self, who: &str) -> Result<u32> {
        self.spawn_again(who, &[])
    }

    /// The same with more in its environment, which its children inherit.
    pub(crate) fn spawn_again(&mut self, who: &str, env: &fleet::Env) -> Result<u32> {
        let spawned = fleet::spawn_again(&mut self.state, who, env);
        self.save()?;
        spawned
    }

    /// Process id of `server` or of a host's agent, as it is now.
    pub fn pid(&self, who: &str) -> Result<u32> {
        fleet::pid_of(&self.state, who)
    }

    /// File mode: what the host is told now.
    pub fn assignment(&self, host: &str) -> Result<Assignment> {
        assignment::read(&fleet::assignment_path(&self.host(host)?.data_dir))
    }

    /// File mode: tells the host something else. `generation` must grow for the agent to report progress by it.
    pub fn assign(&self, host: &str, assignment: &Assignment) -> Result<()> {
        assignment::write(&fleet::assignment_path(&self.host(host)?.data_dir), assignment)
    }

    /// The host's container engine; errors in a lab without.
    pub fn engine(&self, host: &str) -> Result<Engine> {
        let host = self.host(host)?;
        host.docker.as_ref().with_context(|| {
            format!("{} has no container engine; start the lab with: cargo xtask lab up --runtime docker", host.name)
        })?;
        Ok(Engine::of(&self.name, host))
    }

    /// Gives every host's engine the project's `whoami`, which answers on `port`, as image `name`.
    pub fn load_image(&self, name: &str, port: u16) -> Result<()> {
        let image = image::stand_in(name, port)?;
        self.host_names().iter().try_for_each(|host| self.engine(host)?.load(&image))
    }

    /// What a host's agent says at its admin socket to `status`, `counters`, `plan`, `desired`, `observed`.
    pub fn ask(&self, host: &str, what: &str) -> Result<serde_json::Value> {
        fleet::ask(&self.host(host)?.admin_socket, what)
    }

    /// File mode: waits until the host has done all that its assignment of this generation says.
    pub fn wait_synced(&self, host: &str, generation: u64, limit: Duration) -> Result<()> {
        crate::wait_for(&format!("{host} has done generation {generation}"), limit, || {
            let status = self.ask(host, "status")?;
            let is_done = status["generation"].as_u64() >= Some(generation);
            if is_done { Ok(Some(())) } else { bail!("{status}") }
        })
    }

    /// The last lines a host's agent (or `server`) wrote.
    pub fn log(&self, who: &str, lines: usize) -> String {
        // The server's agent writes where the server does.
        let data_dir = match &self.state.server {
            Some(server) if who == "server" => server.data_dir.clone(),
            _ => dir(&self.name).join(who),
        };
        fleet::last_log(&data_dir, lines)
    }

    /// The lab's own directory.
    pub fn dir(&self) -> PathBuf {
        dir(&self.name)
    }

    fn save(&self) -> Result<()> {
        let path = state_path(&self.name);
        fs::write(&path, serde_json::to_vec_pretty(&self.state)?)
            .with_context(|| format!("writing {}", path.display()))?;
        let env: String = self.state.env().iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
        let path = path.with_file_name("env");
        fs::write(&path, env).with_context(|| format!("writing {}", path.display()))
    }
}

/// One host without an agent; its network namespace.
pub(crate) fn one_host(name: &str) -> Result<String> {
    if !nix::unistd::geteuid().is_root() {
        bail!("making hosts needs root");
    }
    let _lock = Lock::take()?;
    let mut underlay = Underlay::new(&prefix(name));
    underlay.build(1)?;
    Ok(underlay.host(0))
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.is_owned {
            return;
        }
        if std::thread::panicking() {
            for host in &self.state.hosts {
                eprintln!("--- last words of {}'s agent:\n{}", host.name, self.log(&host.name, 25));
            }
        }
        if let Err(error) = Lab::down(&self.name) {
            eprintln!("lab {} did not end cleanly: {error:#}", self.name);
        }
    }
}

/// The checkout; `REMUDA_ROOT` where binaries were moved away from it.
pub(crate) fn root() -> PathBuf {
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf);
    std::env::var_os("REMUDA_ROOT").map(PathBuf::from).or(built_in).unwrap_or_else(|| PathBuf::from("."))
}

/// All labs' directory.
pub(crate) fn labs_dir() -> PathBuf {
    root().join("target/lab")
}

/// Data directories and logs of the lab of this name.
pub(crate) fn dir(name: &str) -> PathBuf {
    labs_dir().join(name)
}

/// The default lab's file has the well-known path, others' lie in their own directories.
pub(crate) fn state_path(name: &str) -> PathBuf {
    if name == DEFAULT { labs_dir().join("lab.json") } else { dir(name).join("lab.json") }
}

pub(crate) fn prefix(name: &str) -> String {
    if name == DEFAULT { "remuda".into() } else { format!("remuda-{name}") }
}

pub(crate) const DEFAULT: &str = "default";

/// Names become part of interface-free, but readable, namespace names.
const NAME_LIMIT: usize = 20;

fn check_name(name: &str) -> Result<()> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let is_taken = is_host_name(name) || ["client", "switch", "env"].contains(&name);
    if name.is_empty() || name.len() > NAME_LIMIT || !is_plain || is_taken {
        bail!("`{name}` is no name for a lab: 1 to {NAME_LIMIT} of a-z, 0-9 and `-`, not h1, client, switch or env");
    }
    Ok(())
}

fn is_running(name: &str) -> bool {
    let Ok(lab) = Lab::open(name) else { return false };
    lab.state
        .hosts
        .iter()
        .any(|host| process::is_alive(host.agent_pid) && host.netns == lab.underlay.host(index_of(&host.name)))
}

fn index_of(name: &str) -> usize {
    (0..crate::underlay::HOSTS_LIMIT).find(|&index| host_name(index) == name).unwrap_or_default()
}
