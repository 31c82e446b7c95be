//! A host of one engine's, and what tests do with its units.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use remuda_agent::action::{Action, UnitSpec};
use remuda_agent::observed::{Unit, UnitState};
use remuda_agent::problems::Problems;
use remuda_agent::runtime::{DockerOptions, Runtimes, Stream, docker};
use remuda_tests::engine::{Engine, Options};
use remuda_tests::{image, unit};
use tokio::sync::{Mutex, MutexGuard};

/// Longer than anything here takes, on a machine that is busy with other things.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The engine of all tests that do not break it, one at a time.
static SHARED: Mutex<Option<Engine>> = Mutex::const_new(None);

pub struct Shared(MutexGuard<'static, Option<Engine>>);

pub async fn shared() -> Result<Shared> {
    let mut held = SHARED.lock().await;
    if held.is_none() {
        *held = Some(Engine::start(Options { live_restore: true, ..Options::default() })?);
        // SAFETY: registers a function that takes nothing and does not unwind.
        unsafe { libc::atexit(end_shared) };
    }
    Ok(Shared(held))
}

/// What is static is not dropped at the end.
extern "C" fn end_shared() {
    let _ = std::panic::catch_unwind(|| SHARED.try_lock().map(|mut held| drop(held.take())));
}

impl Deref for Shared {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        self.0.as_ref().expect("put there before it was handed out")
    }
}

impl DerefMut for Shared {
    fn deref_mut(&mut self) -> &mut Engine {
        self.0.as_mut().expect("put there before it was handed out")
    }
}

/// A node whose units an engine runs; dropping it removes them.
pub struct Host {
    dir: PathBuf,
    socket: PathBuf,
    pub node_id: u16,
    pub fleet: String,
    pub problems: Problems,
}

impl Host {
    pub fn of(engine: &Engine) -> Result<Host> {
        Host::at(&engine.socket())
    }

    /// ... of whatever listens there, if anything.
    pub fn at(socket: &Path) -> Result<Host> {
        static NEXT: AtomicU16 = AtomicU16::new(1);
        let node_id = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("remuda-engine-{}-{node_id}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        Ok(Host { dir, socket: socket.to_owned(), node_id, fleet: "f1".into(), problems: Problems::default() })
    }

    /// A freshly started agent's runtimes.
    pub async fn runtimes(&self) -> Result<Runtimes> {
        let engine = docker::engine(&self.dir, Some(&self.socket)).await.context("no engine")?;
        let (node_id, problems) = (self.node_id, self.problems.clone());
        let options = DockerOptions { engine, fleet: self.fleet.clone(), node_id, host: "h1".into(), problems };
        Ok(Runtimes::open(&self.dir, Some(options)).await?)
    }
}

impl Host {
    /// An agent would know without its engine that this process runs.
    pub fn remembers(&self, pid: u32) -> bool {
        let kept = std::fs::read_to_string(self.dir.join("docker.json")).unwrap_or_default();
        kept.contains(&format!("\"pid\":{pid},"))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let docker = |args: &[&str]| {
            let socket = format!("unix://{}", self.socket.display());
            // The test may have left it standing still.
            let mut command = std::process::Command::new("timeout");
            let said = command
                .args(["--signal=KILL", "20", "docker", "--host", &socket])
                .args(args)
                .output()
                .map(|out| out.stdout)
                .unwrap_or_default();
            String::from_utf8_lossy(&said).into_owned()
        };
        // One that does not listen removes everything when it is ended.
        if std::os::unix::net::UnixStream::connect(&self.socket).is_ok() {
            let ours =
                docker(&["ps", "--all", "--quiet", "--filter", &format!("label=io.remuda.node={}", self.node_id)]);
            let mut args = vec!["rm", "--force", "--volumes"];
            args.extend(ours.split_whitespace());
            if args.len() > 3 {
                docker(&args);
            }
        }
        // The runtimes may be writing there.
        let _ = remuda_lab::wait_until("its files are gone", LIMIT, || {
            let _ = std::fs::remove_dir_all(&self.dir);
            !self.dir.exists()
        });
    }
}

/// Of busybox, with these words as its command.
pub fn spec(name: &str, command: &[&str]) -> UnitSpec {
    UnitSpec {
        runtime: "docker".into(),
        image: image::BUSYBOX.into(),
        stop_grace_ms: 1000,
        ..unit::spec(name, command)
    }
}

/// A shell's script as the command.
pub fn script(name: &str, script: &str) -> UnitSpec {
    spec(name, &["sh", "-c", script])
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

pub async fn create(runtimes: &Runtimes, spec: UnitSpec) -> Result<Unit> {
    let name = spec.name.clone();
    runtimes.apply(&Action::CreateUnit(Box::new(spec))).await?;
    settled(runtimes, &name).await
}

/// Until it was started, or could not be.
pub async fn run(runtimes: &Runtimes, spec: UnitSpec) -> Result<Unit> {
    let name = spec.name.clone();
    let made = create(runtimes, spec).await?;
    if let UnitState::Failed { reason } = made.state {
        bail!("{name} was not created: {reason}");
    }
    start(runtimes, &name).await
}

pub async fn start(runtimes: &Runtimes, name: &str) -> Result<Unit> {
    runtimes.apply(&Action::StartUnit(name.into())).await?;
    settled(runtimes, name).await
}

pub async fn stop(runtimes: &Runtimes, name: &str, signal: &str, grace_ms: u64) -> Result<()> {
    let action = Action::StopUnit { name: name.into(), signal: signal.into(), grace_ms };
    Ok(runtimes.apply(&action).await?)
}

pub async fn remove(runtimes: &Runtimes, name: &str) -> Result<()> {
    runtimes.apply(&Action::RemoveUnit(name.into())).await?;
    until(runtimes, name, |unit| unit.is_none()).await.map(drop)
}

/// Until nobody works on it.
pub async fn settled(runtimes: &Runtimes, name: &str) -> Result<Unit> {
    let is_settled = |unit: Option<&Unit>| unit.is_some_and(|u| !matches!(u.state, UnitState::Working { .. }));
    until(runtimes, name, is_settled).await?.context("gone")
}

/// Waits until the unit is as wanted, by the runtimes' own signal.
pub async fn until(runtimes: &Runtimes, name: &str, is_so: impl Fn(Option<&Unit>) -> bool) -> Result<Option<Unit>> {
    let mut changes = runtimes.changes();
    let wait = async {
        loop {
            let unit = runtimes.observe().await.remove(name);
            if is_so(unit.as_ref()) {
                return Ok(unit);
            }
            changes.changed().await?;
        }
    };
    match tokio::time::timeout(LIMIT, wait).await {
        Ok(result) => result,
        Err(_) => bail!("{name} is still {:?}", runtimes.observe().await.get(name)),
    }
}

/// Code, reason and last lines.
pub async fn exit_of(runtimes: &Runtimes, name: &str) -> Result<(i32, String, Vec<String>)> {
    let has_ended = |unit: Option<&Unit>| unit.is_some_and(|u| matches!(u.state, UnitState::Exited { .. }));
    match until(runtimes, name, has_ended).await?.context("gone")?.state {
        UnitState::Exited { code, reason, lines } => Ok((code, reason, lines)),
        other => bail!("{other:?}"),
    }
}

/// Why it could not be created or started.
pub async fn failure_of(runtimes: &Runtimes, name: &str) -> Result<String> {
    let has_failed = |unit: Option<&Unit>| unit.is_some_and(|u| matches!(u.state, UnitState::Failed { .. }));
    match until(runtimes, name, has_failed).await?.context("gone")?.state {
        UnitState::Failed { reason } => Ok(reason),
        other => bail!("{other:?}"),
    }
}

/// What it is waiting for, in words, once they hold this.
pub async fn working(runtimes: &Runtimes, name: &str, words: &str) -> Result<String> {
    let says = |unit: Option<&Unit>| {
        unit.is_some_and(|u| matches!(&u.state, UnitState::Working { what } if what.contains(words)))
    };
    match until(runtimes, name, says).await?.context("gone")?.state {
        UnitState::Working { what } => Ok(what),
        other => bail!("{other:?}"),
    }
}

pub fn pid_of(unit: &Unit) -> Result<u32> {
    match unit.state {
        UnitState::Running { pid } => Ok(pid),
        _ => bail!("{} does not run: {:?}", unit.name, unit.state),
    }
}

pub async fn lines(runtimes: &Runtimes, name: &str, tail: u32) -> Result<Vec<(Stream, String)>> {
    let mut log = runtimes.logs(name, false, tail).await?;
    let mut lines = Vec::new();
    while let Some(chunk) = log.recv().await {
        lines.push((chunk.stream, String::from_utf8_lossy(&chunk.bytes).trim_end().to_string()));
    }
    Ok(lines)
}

/// What it wrote to standard output until its end, without the ends of lines.
pub async fn said(runtimes: &Runtimes, spec: UnitSpec) -> Result<Vec<String>> {
    let name = spec.name.clone();
    run(runtimes, spec).await?;
    let (code, reason, _) = exit_of(runtimes, &name).await?;
    if code != 0 {
        bail!("{name}: {reason}: {:?}", lines(runtimes, &name, 0).await?);
    }
    let out = lines(runtimes, &name, 0).await?.into_iter().filter(|line| line.0 == Stream::Stdout);
    Ok(out.map(|line| line.1).collect())
}

/// Waits until it has written a line that holds this.
pub async fn line(runtimes: &Runtimes, name: &str, words: &str) -> Result<()> {
    let mut log = runtimes.logs(name, true, 0).await?;
    let wait = async {
        while let Some(chunk) = log.recv().await {
            if String::from_utf8_lossy(&chunk.bytes).contains(words) {
                return Ok(());
            }
        }
        bail!("the log of {name} ended without {words:?}")
    };
    tokio::time::timeout(LIMIT, wait).await.with_context(|| format!("{name} never wrote {words:?}"))?
}
