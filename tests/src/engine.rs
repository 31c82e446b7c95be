//! A container engine of a test's own: dockerd with files, socket and cgroup that nothing else has. Whatever becomes of the
//! test, its processes end, its mounts go and its files are removed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use remuda_lab::{process, wait_for};

use crate::image;

/// Everything of a test's engines has a name that begins with this, then the test's process id.
const PREFIX: &str = "rmd";
/// One that starts needs two seconds; on a machine that is busy longer.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// One that is asked to end stops its containers, unless they go on.
const END_LIMIT: Duration = Duration::from_secs(60);

/// How an engine is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Containers go on while it is away.
    pub live_restore: bool,
    /// Its images, containers and volumes lie on a disk of this size, bytes; 0 = where everything else does.
    pub disk_bytes: u64,
}

/// A dockerd.
pub struct Engine {
    /// Short: sockets lie below it.
    dir: PathBuf,
    options: Options,
    process: Option<Child>,
}

impl Engine {
    /// Runs, with [`image::BUSYBOX`] imported.
    pub fn start(options: Options) -> Result<Engine> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        clean_up_after_the_dead();
        let name = format!("{PREFIX}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut engine = Engine { dir: std::env::temp_dir().join(name), options, process: None };
        fs::create_dir_all(engine.data())?;
        // This machine's is none of ours.
        fs::write(engine.dir.join("daemon.json"), "{}")?;
        if options.disk_bytes != 0 {
            let size = format!("size={}", options.disk_bytes);
            mount(Some("tmpfs"), &engine.data(), Some("tmpfs"), MsFlags::empty(), Some(size.as_str()))?;
        }
        engine.run()?;
        engine.import(image::BUSYBOX, &[])?;
        Ok(engine)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("s")
    }

    /// Where its volumes and containers lie.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Starts dockerd (again); returns when it answers.
    pub fn run(&mut self) -> Result<()> {
        // dockerd takes a process of that number for one that runs, whatever it is.
        for file in ["pid", "x/containerd/containerd.pid"] {
            let _ = fs::remove_file(self.dir.join(file));
        }
        let below = |name: &str| self.dir.join(name).display().to_string();
        let log = File::options().create(true).append(true).open(self.dir.join("log"))?;
        let mut command = Command::new("dockerd");
        command.args(["--bridge=none", "--iptables=false", "--ip-masq=false", "--exec-opt"]);
        command.arg("native.cgroupdriver=cgroupfs");
        for (flag, value) in [
            ("--config-file", below("daemon.json")),
            ("--data-root", below("data")),
            ("--exec-root", below("x")),
            ("--pidfile", below("pid")),
            ("--cgroup-parent", format!("/{}", self.name())),
            ("--host", format!("unix://{}", below("s"))),
        ] {
            command.args([flag, value.as_str()]);
        }
        if self.options.live_restore {
            command.arg("--live-restore");
        }
        let started = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        self.process = Some(started.context("cannot start dockerd (package docker.io)")?);
        let answers = wait_for("dockerd answers", READY_LIMIT, || {
            if let Some(status) =
                self.process.as_mut().and_then(|process| process.try_wait().transpose()).transpose()?
            {
                return Ok(Some(Err(anyhow::anyhow!("dockerd has ended: {status}"))));
            }
            self.docker(&["version"]).map(|_| Some(Ok(())))
        });
        answers.and_then(|answers| answers).with_context(|| self.last_words())
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::id)
    }

    /// Without a word, as the kernel does when memory is short. Its containerd is left behind and ends.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::SIGKILL)?;
        self.reap()
    }

    /// As an init system does.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        wait_for("dockerd ends", END_LIMIT, || Ok((!process::is_alive(self.pid())).then_some(())))?;
        self.reap()
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid().try_into()?), signal).with_context(|| format!("{signal} to dockerd"))
    }

    fn reap(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.wait()?;
        }
        Ok(())
    }

    /// Runs `docker ARGS` against it; standard output.
    pub fn docker(&self, args: &[&str]) -> Result<String> {
        self.docker_with(args, Stdio::null())
    }

    fn docker_with(&self, args: &[&str], stdin: Stdio) -> Result<String> {
        let mut command = Command::new("timeout");
        command
            .args(["--signal=KILL", "60", "docker"])
            .arg("--host")
            .arg(format!("unix://{}", self.socket().display()))
            .args(args)
            .stdin(stdin);
        let out = command.output().context("cannot start docker (package docker.io)")?;
        if !out.status.success() {
            bail!("docker {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    /// What `docker inspect` says of an object, as this Go template shows it.
    pub fn inspect(&self, name: &str, template: &str) -> Result<String> {
        self.docker(&["inspect", "--format", template, name])
    }

    /// Makes an image of this name out of busybox, with these instructions of a Dockerfile (`HEALTHCHECK …`).
    pub fn import(&self, name: &str, instructions: &[&str]) -> Result<()> {
        let path = self.dir.join("busybox.tar");
        if !path.exists() {
            fs::write(&path, image::busybox()?)?;
        }
        let changes = instructions.iter().flat_map(|instruction| ["--change", instruction]);
        let args: Vec<&str> = ["import"].into_iter().chain(changes).chain(["-", name]).collect();
        self.docker_with(&args, File::open(path)?.into()).map(drop)
    }

    fn name(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn last_words(&self) -> String {
        let text = fs::read(self.dir.join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        format!("the engine's log ends with:\n{}", lines[lines.len().saturating_sub(12)..].join("\n"))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.last_words());
        }
        clean_up(&self.dir);
        let _ = self.reap();
    }
}

/// Ends what runs for an engine and removes what it made.
fn clean_up(dir: &Path) {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // What it starts may start more meanwhile.
    for _ in 0..10 {
        let pids: Vec<u32> = process::all().into_iter().filter(|pid| is_of(*pid, dir, &name)).collect();
        if pids.is_empty() {
            break;
        }
        process::kill_all(&pids);
    }
    for mount in mounts_below(dir) {
        let _ = umount2(&mount, MntFlags::MNT_DETACH);
    }
    for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        remove_cgroup(&hierarchy.path().join(&name));
    }
    let _ = fs::remove_dir_all(dir);
}

/// dockerd, containerd and their shims name its files; what runs in containers is in its cgroup.
fn is_of(pid: u32, dir: &Path, name: &str) -> bool {
    let files = format!("{}/", dir.display());
    let is_engines = || process::argv(pid).iter().any(|word| word.contains(&files));
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    pid != std::process::id() && process::is_alive(pid) && (cgroups.contains(&format!("/{name}/")) || is_engines())
}

/// The last one made first.
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(dir)).collect();
    below.reverse();
    below
}

fn remove_cgroup(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

/// Engines of test programs that were killed.
fn clean_up_after_the_dead() {
    for entry in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut parts = name.split('-');
        let is_ours = parts.next() == Some(PREFIX);
        let owner = parts.next().and_then(|pid| pid.parse().ok());
        if is_ours && owner.is_some_and(|pid| !process::is_alive(pid)) {
            clean_up(&entry.path());
        }
    }
}
