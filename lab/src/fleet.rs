//! Which processes of the product run on which host of a lab, with which arguments.

use crate::clean::{MARK, bpf_root};
use crate::engine::SOCKET;
use crate::lab::DEFAULT;
use crate::state::{Client, Host, Server, State};
use crate::supervised::{find_servers_agent, is_servers_host, supervised_again};
use crate::underlay::{Underlay, host_name};
use crate::{Engine, Options, Runtime, Source, assignment, netns, process, wait_for};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A machine under load may take this long; an idle one needs a second or two.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// An agent that was asked to stop has this long.
const STOP_LIMIT: Duration = Duration::from_secs(15);
const LOG: &str = "remuda.log";
/// MTU of the lab's uplinks is 1500, the tunnel takes 50.
const ENDPOINT_MTU: u32 = 1450;
const API_PORT: u16 = 8443;

/// Added to a process's environment.
pub(crate) type Env = [(&'static str, String)];

/// Whether this binary can be a server.
pub(crate) fn has_server(remuda: &Path) -> bool {
    let help = Command::new(remuda).args(["server", "--help"]).stdin(Stdio::null()).output();
    help.is_ok_and(|out| out.status.success())
}

/// Starts everything and waits until every host is ready; how long that took after the last was started.
pub(crate) fn start(options: &Options, underlay: &Underlay, dir: &Path) -> Result<(State, Duration)> {
    let mut state = State::default_for(underlay);
    state.version = version(&options.remuda);
    state.hosts = (0..options.hosts).map(|index| host(options, underlay, dir, index)).collect();
    for host in &state.hosts {
        fs::create_dir_all(&host.data_dir)?;
    }
    if options.runtime == Runtime::Docker {
        underlay.answer_that_nothing_is_beyond()?;
        start_engines(&options.name, &state.hosts)?;
    }
    let last_started = match options.source {
        Source::File => start_from_files(&mut state)?,
        Source::Server => start_with_server(&mut state, options)?,
    };
    Ok((state, last_started.elapsed()))
}

/// One dockerd per host, all at once; returns when every one answers.
fn start_engines(lab: &str, hosts: &[Host]) -> Result<()> {
    let engines: Vec<Engine> = hosts.iter().map(|host| Engine::of(lab, host)).collect();
    engines.iter().try_for_each(Engine::spawn)?;
    engines.iter().try_for_each(Engine::wait_ready)
}

impl State {
    pub(crate) fn default_for(underlay: &Underlay) -> Self {
        let client = Client { netns: underlay.client(), ip: underlay.client_ip() };
        Self {
            api: None,
            ca: None,
            key_file: None,
            version: String::new(),
            external_ip: None,
            server: None,
            client,
            hosts: Vec::new(),
        }
    }
}

fn host(options: &Options, underlay: &Underlay, dir: &Path, index: usize) -> Host {
    let (name, underlay_ip) = (host_name(index), underlay.host_ip(index));
    let data_dir = dir.join(&name);
    let mut argv = vec![options.remuda.display().to_string(), "agent".into()];
    if options.source == Source::File {
        argv.extend(["--assignment".into(), assignment_path(&data_dir).display().to_string()]);
    }
    argv.extend(host_args(&data_dir, &name, &underlay_ip));
    let docker = (options.runtime == Runtime::Docker).then(|| data_dir.join(SOCKET));
    argv.extend(engine_args(docker.as_deref()));
    argv.extend(options.extra_args.iter().cloned());
    let node_id = index as u32 + 1;
    Host {
        node_id,
        netns: underlay.host(index),
        link: name.clone(),
        link_netns: underlay.switch(),
        agent_pid: 0,
        admin_socket: data_dir.join("admin.sock"),
        bpf_dir: bpf_root(&options.name).join(node_id.to_string()),
        name,
        underlay_ip,
        data_dir,
        argv,
        docker,
    }
}

/// Which engine agent and server are to use: this host's own, never one of this machine.
fn engine_args(socket: Option<&Path>) -> [String; 2] {
    ["--docker".into(), socket.map_or("none".into(), |socket| socket.display().to_string())]
}

/// What agent and server are both told about the host they run on.
fn host_args(data_dir: &Path, name: &str, underlay_ip: &str) -> Vec<String> {
    let data_dir = data_dir.display().to_string();
    ["--data-dir", &data_dir, "--name", name, "--uplink", "eth0", "--advertise", underlay_ip]
        .map(str::to_owned)
        .to_vec()
}

pub(crate) fn assignment_path(data_dir: &Path) -> PathBuf {
    data_dir.join("assignment.json")
}

fn version(remuda: &Path) -> String {
    let out = Command::new(remuda).arg("version").stdin(Stdio::null()).output();
    let text = out.map(|out| String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default().to_owned());
    text.unwrap_or_default()
}

/// Starts `argv` on the host, in its network namespace only; what it says goes to a log in `data_dir`.
///
/// Its environment marks it as this lab's, and keeps labs that share one kernel out of each other's pins.
fn spawn(host: &Host, data_dir: &Path, argv: &[String], stdin: Stdio, extra: &Env) -> Result<u32> {
    let lab = lab_of(&host.netns).to_owned();
    let mut environment = vec![(MARK, lab.clone()), ("REMUDA_BPF_ROOT", bpf_root(&lab).display().to_string())];
    environment.extend(extra.iter().cloned());
    Ok(netns::spawn_detached(&host.netns, argv, &environment, stdin, &data_dir.join(LOG))?.id())
}

/// The lab that a host's namespace belongs to: `remuda-h1` the default one, `remuda-NAME-h1` lab NAME.
fn lab_of(netns: &str) -> &str {
    let middle = netns.strip_prefix("remuda-").and_then(|rest| rest.rsplit_once('-'));
    middle.map_or(DEFAULT, |(name, _)| name)
}

fn start_from_files(state: &mut State) -> Result<Instant> {
    let ips: Vec<String> = state.hosts.iter().map(|host| host.underlay_ip.clone()).collect();
    for (index, host) in state.hosts.iter_mut().enumerate() {
        assignment::write(&assignment_path(&host.data_dir), &assignment::bare(index, &ips, ENDPOINT_MTU))?;
        host.agent_pid = spawn(host, &host.data_dir, &host.argv, Stdio::null(), &[])?;
    }
    let last_started = Instant::now();
    state.hosts.iter().try_for_each(wait_for_dataplane)?;
    Ok(last_started)
}

/// Waits until the agent has done all that it was told.
fn wait_for_dataplane(host: &Host) -> Result<()> {
    let what = format!("host {} is ready", host.name);
    let waited = wait_for(&what, READY_LIMIT, || {
        if let Err(ended) = still_runs(host) {
            return Ok(Some(Err(ended)));
        }
        let status = ask(&host.admin_socket, "status")?;
        let is_done = status["generation"] == status["wanted_generation"] && status["generation"] != 0;
        if is_done && netns::has_link(&host.netns, "remuda0") { Ok(Some(Ok(()))) } else { bail!("{status}") }
    });
    waited.and_then(|done| done).or_else(|error| bail!("{error:#}\n{}", last_log(&host.data_dir, 20)))
}

/// One question to an agent's admin socket: `status`, `counters`, `plan`, …
pub(crate) fn ask(socket: &Path, what: &str) -> Result<Value> {
    let mut stream = UnixStream::connect(socket).with_context(|| format!("no agent at {}", socket.display()))?;
    stream.set_read_timeout(Some(STOP_LIMIT))?;
    writeln!(stream, "{{\"do\": \"{what}\"}}")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the agent at {} answered {line:?}", socket.display()))
}

fn still_runs(host: &Host) -> Result<()> {
    if !process::is_alive(host.agent_pid) {
        bail!("the agent of {} has ended", host.name);
    }
    Ok(())
}

fn start_with_server(state: &mut State, options: &Options) -> Result<Instant> {
    let first = state.hosts.first_mut().context("a lab has hosts")?;
    let mut argv = vec![options.remuda.display().to_string(), "server".into()];
    argv.extend(host_args(&first.data_dir, &first.name, &first.underlay_ip));
    argv.extend(engine_args(first.docker.as_deref()));
    argv.extend(options.extra_args.iter().cloned());
    let pid = spawn(first, &first.data_dir, &argv, Stdio::null(), &[])?;
    first.agent_pid = pid;
    first.argv = argv.clone();
    state.api = Some(format!("https://{}:{API_PORT}", first.underlay_ip));
    state.ca = Some(first.data_dir.join("ca.pem"));
    state.key_file = Some(first.data_dir.join("admin.key"));
    state.server = Some(Server { pid, netns: first.netns.clone(), data_dir: first.data_dir.clone(), argv });
    let join = wait_for("the server prints its join line", READY_LIMIT, || {
        if let Err(ended) = still_runs(&state.hosts[0]) {
            return Ok(Some(Err(ended)));
        }
        Ok(join_line(&fs::read_to_string(state.hosts[0].data_dir.join(LOG))?).map(Ok))
    });
    let join =
        join.and_then(|join| join).or_else(|error| bail!("{error:#}\n{}", last_log(&state.hosts[0].data_dir, 20)))?;
    for host in &mut state.hosts[1..] {
        join_host(host, &join)?;
    }
    let last_started = Instant::now();
    wait_for_fleet(state)?;
    find_servers_agent(state);
    Ok(last_started)
}

/// The token and the server's address of `echo TOKEN | remuda agent --server ADDR:8443 --token-file -`.
struct Join {
    token: String,
    server: String,
}

fn join_line(log: &str) -> Option<Join> {
    let line =
        log.lines().rev().find(|line| line.trim_start().starts_with("echo ") && line.contains("--token-file -"))?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let server = words.iter().skip_while(|word| **word != "--server").nth(1)?;
    Some(Join { token: words.get(1)?.to_string(), server: server.to_string() })
}

fn join_host(host: &mut Host, join: &Join) -> Result<()> {
    host.argv.extend(["--server".into(), join.server.clone()]);
    let mut argv = host.argv.clone();
    argv.extend(["--token-file".into(), "-".into()]);
    // A pipe holds the token until the agent reads it; nobody waits here.
    let (reader, mut writer) = std::io::pipe()?;
    writeln!(writer, "{}", join.token)?;
    drop(writer);
    host.agent_pid = spawn(host, &host.data_dir, &argv, Stdio::from(reader), &[])?;
    Ok(())
}

/// Asks the API, as a user would, until every host that should run is ready; learns node ids.
fn wait_for_fleet(state: &mut State) -> Result<()> {
    let waited = wait_for("every host is ready", READY_LIMIT, || {
        if let Err(ended) = state.hosts.iter().try_for_each(still_runs) {
            return Ok(Some(Err(ended)));
        }
        let hosts = list_hosts(state)?;
        let ready = hosts.iter().filter(|host| host["state"] == "ready").count();
        if ready < state.hosts.len() {
            bail!("{ready} of {} hosts ready", state.hosts.len());
        }
        Ok(Some(Ok(hosts)))
    });
    let listed = waited.and_then(|listed| listed).or_else(|error| bail!("{error:#}\n{}", last_logs(state)))?;
    for host in &mut state.hosts {
        let found = listed.iter().find(|listed| listed["name"] == host.name.as_str());
        let node_id = found.and_then(|listed| node_id(&listed["node_id"]));
        host.node_id = node_id.with_context(|| format!("the server lists no host {} with a node id", host.name))?;
        host.bpf_dir.set_file_name(host.node_id.to_string());
    }
    Ok(())
}

/// Waits until the server lists this host as ready.
fn wait_listed(state: &State, name: &str) -> Result<()> {
    wait_for(&format!("the server lists {name} as ready"), READY_LIMIT, || {
        let is_ready = list_hosts(state)?.iter().any(|host| host["name"] == name && host["state"] == "ready");
        Ok(is_ready.then_some(()))
    })
}

fn last_logs(state: &State) -> String {
    let logs = state.hosts.iter().map(|host| format!("--- {}\n{}", host.name, last_log(&host.data_dir, 12)));
    logs.collect::<Vec<_>>().join("\n")
}

fn node_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| id.try_into().ok()).or_else(|| value.as_str()?.parse().ok())
}

fn list_hosts(state: &State) -> Result<Vec<Value>> {
    let program = &state.hosts.first().context("a lab has hosts")?.argv[0];
    let out = Command::new(program).args(["hosts", "-o", "json"]).envs(state.env()).stdin(Stdio::null()).output()?;
    if !out.status.success() {
        bail!("remuda hosts: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(serde_json::from_slice(&out.stdout)?)
}

/// The process behind `server` or a host's name.
pub(crate) fn pid_of(state: &State, who: &str) -> Result<u32> {
    match (who, &state.server) {
        ("server", Some(server)) => Ok(server.pid),
        ("server", None) => bail!("this lab has no server: its hosts read their assignments from files"),
        (host, _) => {
            let found = state.hosts.iter().find(|known| known.name == host);
            Ok(agent_pid(found.with_context(|| format!("no host {host} in this lab"))?))
        }
    }
}

/// The host's agent as it says itself: one that a supervisor started again has another id than the lab's file knows.
pub(crate) fn agent_pid(host: &Host) -> u32 {
    let said = fs::read_to_string(host.data_dir.join("agent.pid")).ok();
    let said = said.and_then(|text| text.trim().parse().ok());
    let is_agent = |pid: &u32| {
        let argv = process::argv(*pid);
        argv.get(1).is_some_and(|role| role == "agent") && argv.contains(&host.data_dir.display().to_string())
    };
    said.filter(is_agent).unwrap_or(host.agent_pid)
}

/// Asks the process to end, and waits.
pub(crate) fn stop(state: &mut State, who: &str) -> Result<()> {
    end(who, pid_of(state, who)?)?;
    // A server that was restarted meanwhile takes an agent that ends for one it should replace; once.
    if is_servers_host(state, who) && supervised_again(state).is_ok() {
        end(who, pid_of(state, who)?)?;
    }
    Ok(())
}

fn end(who: &str, pid: u32) -> Result<()> {
    if !process::is_alive(pid) {
        return Ok(());
    }
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).with_context(|| format!("asking {who} ({pid}) to stop"))?;
    wait_for(&format!("{who} stops"), STOP_LIMIT, || Ok((!process::is_alive(pid)).then_some(())))
}

/// Starts it as it was started, without a token: it has its identity.
pub(crate) fn start_again(state: &mut State, who: &str) -> Result<()> {
    if process::is_alive(pid_of(state, who)?) {
        bail!("{who} runs already");
    }
    if who == "server" {
        return start_server_again(state);
    }
    if !(is_servers_host(state, who) && supervised_again(state).is_ok()) {
        spawn_again(state, who, &[])?;
    }
    wait_for_dataplane(state.hosts.iter().find(|host| host.name == who).context("no such host")?)?;
    if state.api.is_some() { wait_listed(state, who) } else { Ok(()) }
}

/// Starts it and waits for nothing.
pub(crate) fn spawn_again(state: &mut State, who: &str, env: &Env) -> Result<u32> {
    if let (Some(server), "server") = (&mut state.server, who) {
        let host = state.hosts.iter().find(|host| host.netns == server.netns).context("the server's host")?;
        server.pid = spawn(host, &server.data_dir, &server.argv, Stdio::null(), env)?;
        return Ok(server.pid);
    }
    let host = state.hosts.iter_mut().find(|host| host.name == who).context("no such host")?;
    host.agent_pid = spawn(host, &host.data_dir, &host.argv, Stdio::null(), env)?;
    Ok(host.agent_pid)
}

fn start_server_again(state: &mut State) -> Result<()> {
    spawn_again(state, "server", &[])?;
    wait_for("the server answers", READY_LIMIT, || list_hosts(state).map(Some))?;
    find_servers_agent(state);
    let names: Vec<String> =
        state.hosts.iter().filter(|h| process::is_alive(h.agent_pid)).map(|h| h.name.clone()).collect();
    names.iter().try_for_each(|name| wait_listed(state, name))
}

/// The last lines of a process's log.
pub(crate) fn last_log(data_dir: &Path, lines: usize) -> String {
    let path = data_dir.join(LOG);
    let text = fs::read(&path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    format!("{} ends with:\n{}", path.display(), all[all.len().saturating_sub(lines)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_namespace_says_which_lab_it_is_of() {
        assert_eq!(["remuda-h1", "remuda-net-12-h3"].map(lab_of), ["default", "net-12"]);
    }

    #[test]
    fn the_join_line_is_found_in_what_the_server_says() {
        let log = "remuda 0.1.0\nto add a host, run there:\n  echo ab12.s3cret | remuda agent --server 192.168.77.11:8443 --token-file -\n";
        let join = join_line(log).unwrap();
        assert_eq!((join.token.as_str(), join.server.as_str()), ("ab12.s3cret", "192.168.77.11:8443"));
        assert!(join_line("starting\n").is_none());
    }
}
