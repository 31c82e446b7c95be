//! A container engine per host: a dockerd of its own, as on a real machine.
//!
//! It runs in the host's network namespace, with this machine's cgroups and files but for `/run`, which is the host's own:
//! so `/var/run/docker.sock` is this host's engine there, and nothing of it lies about on this machine. That takes a mount
//! namespace, which a process that only sleeps (the *keeper*) holds while the engine is away.

mod talk;

use crate::clean::MARK;
use crate::lab::dir;
use crate::state::Host;
use crate::{netns, process, wait_for};
use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// In a host's directory.
pub(crate) const SOCKET: &str = "docker.sock";
/// Below a host's directory; short, for the sockets below it.
const FILES: &str = "docker";
/// One that starts needs a second; with others on a loaded machine longer.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// One that was asked to stop leaves its containers running, so this is soon.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// `sun_path` of unix(7) without its end.
const SOCKET_PATH_LIMIT: usize = 107;
/// The longest name of a socket that dockerd makes below its files.
const LONGEST_SOCKET: &str = "exec/containerd/containerd-debug.sock";

/// The dockerd of one host; a name for it, the processes go on without.
#[derive(Clone, Debug)]
pub struct Engine {
    lab: String,
    netns: String,
    /// Its data, logs and process ids.
    files: PathBuf,
    socket: PathBuf,
}

impl Engine {
    pub(crate) fn of(lab: &str, host: &Host) -> Engine {
        Engine::at(lab, &host.netns, &dir(lab).join(&host.name))
    }

    fn at(lab: &str, netns: &str, host_dir: &Path) -> Engine {
        let (files, socket) = (host_dir.join(FILES), host_dir.join(SOCKET));
        Engine { lab: lab.to_owned(), netns: netns.to_owned(), files, socket }
    }

    /// Where its API listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET PATH` of its API, as JSON.
    pub fn ask(&self, path: &str) -> Result<Value> {
        let answer = talk::request(&self.socket, "GET", path, &[])?;
        serde_json::from_slice(&answer).with_context(|| format!("{path} of {} is no JSON", self.socket.display()))
    }

    /// Gives it an image, as `docker load` does.
    pub fn load(&self, image: &[u8]) -> Result<()> {
        let said = talk::request(&self.socket, "POST", "/images/load?quiet=1", image)?;
        let said = String::from_utf8_lossy(&said);
        if said.contains("\"errorDetail\"") { bail!("loading an image: {said}") } else { Ok(()) }
    }

    /// Every container it has, running or not, ours or not.
    pub fn containers(&self) -> Result<Vec<Value>> {
        Ok(self.ask("/containers/json?all=1")?.as_array().cloned().unwrap_or_default())
    }

    /// Runs `docker ARGS` against it, which must succeed; standard output.
    pub fn docker(&self, args: &[&str]) -> Result<String> {
        let out = Command::new("docker").arg("--host").arg(self.url()).args(args).stdin(Stdio::null()).output();
        let out = out.context("cannot start `docker` (package docker.io)")?;
        if !out.status.success() {
            bail!("docker {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// What `DOCKER_HOST` is for it.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Its process; `None` while it is away.
    pub fn pid(&self) -> Option<u32> {
        self.process(ENGINE_PID, "dockerd")
    }

    /// Asks it to end, as an init system would; containers go on.
    pub fn stop(&self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        kill(Pid::from_raw(pid as i32), Signal::SIGTERM).context("asking dockerd to stop")?;
        wait_for("dockerd stops", STOP_LIMIT, || Ok((!process::is_alive(pid)).then_some(())))
    }

    /// Ends it without a word; containers go on.
    pub fn kill(&self) {
        process::kill_all(&Vec::from_iter(self.pid()));
    }

    /// Starts it (again) and returns when it answers.
    pub fn start(&self) -> Result<()> {
        if self.pid().is_some() {
            bail!("the engine at {} runs already", self.socket.display());
        }
        self.spawn()?;
        self.wait_ready()
    }

    pub(crate) fn spawn(&self) -> Result<()> {
        let longest = self.files.join(LONGEST_SOCKET);
        if longest.as_os_str().len() > SOCKET_PATH_LIMIT {
            bail!(
                "{} is longer than the {SOCKET_PATH_LIMIT} bytes a socket's path may have; move the checkout or shorten the lab's name",
                longest.display()
            );
        }
        fs::create_dir_all(&self.files).with_context(|| format!("making {}", self.files.display()))?;
        // This machine's daemon.json is none of ours.
        fs::write(self.files.join("daemon.json"), "{}")?;
        self.forget_the_dead();
        let namespace = self.mount_namespace()?;
        let mut command = netns::command(&self.netns, "dockerd")?;
        // SAFETY: between fork and exec only system calls are made, which are async-signal-safe and touch no memory.
        unsafe {
            command.pre_exec(move || Ok(setns(&namespace, CloneFlags::CLONE_NEWNS)?));
        }
        command.args(self.flags()).env(MARK, &self.lab).stdin(Stdio::null());
        let child = netns::detach(&mut command, &self.files.join("log")).context("package docker.io")?;
        Ok(fs::write(self.files.join(ENGINE_PID), child.id().to_string())?)
    }

    /// dockerd takes a process that was killed, but that nobody has reaped, for one that runs, and waits for it.
    fn forget_the_dead(&self) {
        for file in ["pid", "exec/containerd/containerd.pid"].map(|file| self.files.join(file)) {
            let pid = fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
            if pid.is_some_and(|pid| !process::is_alive(pid)) {
                let _ = fs::remove_file(file);
            }
        }
    }

    pub(crate) fn wait_ready(&self) -> Result<()> {
        let waited = wait_for(&format!("dockerd of {} answers", self.netns), READY_LIMIT, || {
            if self.pid().is_none() {
                return Ok(Some(Err(anyhow::anyhow!("dockerd of {} has ended", self.netns))));
            }
            talk::request(&self.socket, "GET", "/_ping", &[]).map(|_| Some(Ok(())))
        });
        waited.and_then(|answers| answers).or_else(|error| bail!("{error:#}\n{}", self.last_words()))
    }

    /// No bridge and no rules: what it runs is connected by Remuda, or not at all.
    fn flags(&self) -> Vec<String> {
        let below = |name: &str| self.files.join(name).display().to_string();
        let mut flags: Vec<String> =
            ["--bridge=none", "--iptables=false", "--ip-masq=false", "--live-restore", "--exec-opt"]
                .map(str::to_owned)
                .to_vec();
        flags.push("native.cgroupdriver=cgroupfs".into());
        for (flag, value) in [
            ("--config-file", below("daemon.json")),
            ("--data-root", below("data")),
            ("--exec-root", below("exec")),
            ("--pidfile", below("pid")),
            ("--cgroup-parent", format!("/{CGROUP}/{}", self.lab)),
            ("--host", self.url()),
            ("--host", "unix:///run/docker.sock".into()),
        ] {
            flags.extend([flag.to_owned(), value]);
        }
        flags
    }

    /// Of the keeper, which is started when there is none.
    fn mount_namespace(&self) -> Result<File> {
        let pid = match self.process(KEEPER_PID, "sleep") {
            Some(pid) => pid,
            None => self.spawn_keeper()?,
        };
        File::open(format!("/proc/{pid}/ns/mnt")).context("opening the mount namespace of an engine")
    }

    fn spawn_keeper(&self) -> Result<u32> {
        let mut command = netns::command(&self.netns, "sleep")?;
        command.arg("infinity").env(MARK, &self.lab).stdin(Stdio::null());
        // SAFETY: between fork and exec only system calls are made, with paths short enough to stay on the stack.
        unsafe {
            command.pre_exec(|| Ok(own_run_directory()?));
        }
        let pid = netns::detach(&mut command, &self.files.join("log"))?.id();
        fs::write(self.files.join(KEEPER_PID), pid.to_string())?;
        Ok(pid)
    }

    /// The process whose id is in `file`, if it is one of ours and runs this program.
    fn process(&self, file: &str, program: &str) -> Option<u32> {
        let pid = fs::read_to_string(self.files.join(file)).ok()?.trim().parse().ok()?;
        let is_it = process::argv(pid).first().is_some_and(|first| first.ends_with(program));
        (is_it && process::is_alive(pid)).then_some(pid)
    }

    fn last_words(&self) -> String {
        let path = self.files.join("log");
        let text = fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        format!("{} ends with:\n{}", path.display(), all[all.len().saturating_sub(12)..].join("\n"))
    }
}

/// Below an engine's files.
const ENGINE_PID: &str = "engine.pid";
const KEEPER_PID: &str = "keeper.pid";
/// Containers' cgroups lie below this and the lab's name, in every hierarchy.
pub(crate) const CGROUP: &str = "remuda-lab";

/// A mount namespace in which `/run` is empty; what else is mounted or unmounted on this machine later shows in it.
fn own_run_directory() -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)?;
    mount(Some("run"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
}

/// Whether engines can run on this machine, found out once by running one: `Err` is why not.
pub fn check() -> Result<(), String> {
    static FOUND: std::sync::OnceLock<Result<(), String>> = std::sync::OnceLock::new();
    FOUND.get_or_init(|| try_one().map_err(|error| format!("no container engine runs here: {error:#}"))).clone()
}

/// One engine on one host without an agent.
fn try_one() -> Result<()> {
    let lab = format!("try-{}", std::process::id());
    let tried = crate::lab::one_host(&lab).and_then(|netns| Engine::at(&lab, &netns, &dir(&lab).join("h1")).start());
    crate::Lab::down(&lab)?;
    tried
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{image, residue, skip};

    /// Ends the lab also when the test fails.
    struct Guard(String);

    impl Drop for Guard {
        fn drop(&mut self) {
            let _ = crate::Lab::down(&self.0);
        }
    }

    fn state_of(engine: &Engine, container: &str) -> String {
        engine.docker(&["inspect", "--format", "{{.State.Pid}} {{.State.StartedAt}}", container]).unwrap()
    }

    #[test]
    fn an_engine_comes_back_to_its_containers_and_its_lab_leaves_nothing_of_either() {
        if let Err(reason) = check() {
            return skip(&reason);
        }
        if !image::whoami().exists() {
            return skip("the static whoami is not built; it is when `cargo xtask test scenarios` has run");
        }
        let name = Guard(format!("eng-{}", std::process::id()));
        let name = &name.0;
        let netns = crate::lab::one_host(name).unwrap();
        let engine = Engine::at(name, &netns, &dir(name).join("h1"));
        engine.start().unwrap();
        engine.load(&image::stand_in("some/thing", 80).unwrap()).unwrap();
        engine.docker(&["run", "--detach", "--network=none", "--name=thing", "some/thing"]).unwrap();
        let before = state_of(&engine, "thing");
        engine.kill();
        assert_eq!(engine.pid(), None);
        engine.start().unwrap();
        assert_eq!(state_of(&engine, "thing"), before, "after kill -9");
        engine.stop().unwrap();
        engine.start().unwrap();
        assert_eq!(state_of(&engine, "thing"), before, "after SIGTERM");
        engine.kill();
        crate::Lab::down(name).unwrap();
        assert_eq!(residue(name), Vec::<String>::new());
    }
}
