//! Units of runtime `process`: started, stopped, adopted, explained.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use remuda_agent::action::{Action, UnitSpec};
use remuda_agent::observed::{Unit, UnitState};
use remuda_agent::runtime::{ExecInput, ExecOutput, Runtimes, Stream};
use remuda_lab::process;
use remuda_tests::unit::spec;
use tokio::sync::mpsc;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(10);

/// A data directory with living holders; dropping it ends them.
struct Host {
    dir: PathBuf,
}

impl Host {
    fn new(name: &str) -> Result<Host> {
        let dir = std::env::temp_dir().join(format!("remuda-units-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        Ok(Host { dir })
    }

    /// A freshly started agent's runtimes.
    async fn runtimes(&self) -> Result<Runtimes> {
        let remuda = remuda_lab::Options::new("units", 1).remuda;
        Ok(Runtimes::with_program(&self.dir, &remuda).await?)
    }

    fn holder_pid(&self, unit: &str) -> Result<u32> {
        let text = std::fs::read_to_string(self.dir.join("units").join(unit).join("state.json"))?;
        let state: serde_json::Value = serde_json::from_str(&text)?;
        Ok(state["holder_pid"].as_u64().context("no holder_pid")?.try_into()?)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for entry in std::fs::read_dir(self.dir.join("units")).into_iter().flatten().flatten() {
            if let Ok(pid) = self.holder_pid(&entry.file_name().to_string_lossy())
                && process::argv(pid).iter().any(|word| word == "hold")
            {
                process::kill_tree(pid);
            }
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

async fn run(runtimes: &Runtimes, spec: UnitSpec) -> Result<()> {
    let name = spec.name.clone();
    runtimes.apply(&Action::CreateUnit(Box::new(spec))).await?;
    Ok(runtimes.apply(&Action::StartUnit(name)).await?)
}

/// Waits until the unit is as wanted, by the runtimes' own signal.
async fn until(runtimes: &Runtimes, name: &str, is_so: impl Fn(Option<&Unit>) -> bool) -> Result<Option<Unit>> {
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

async fn exit_of(runtimes: &Runtimes, name: &str) -> Result<(i32, String)> {
    let has_ended = |unit: Option<&Unit>| unit.is_some_and(|u| matches!(u.state, UnitState::Exited { .. }));
    match until(runtimes, name, has_ended).await?.context("gone")?.state {
        UnitState::Exited { code, reason, .. } => Ok((code, reason)),
        other => bail!("{other:?}"),
    }
}

async fn lines(runtimes: &Runtimes, name: &str, tail: u32) -> Result<Vec<(Stream, String)>> {
    let mut log = runtimes.logs(name, false, tail).await?;
    let mut lines = Vec::new();
    while let Some(chunk) = log.recv().await {
        lines.push((chunk.stream, String::from_utf8_lossy(&chunk.bytes).trim_end().to_string()));
    }
    Ok(lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_sees_its_own_name_resolver_processes_and_environment() -> Result<()> {
    let host = Host::new("own")?;
    let runtimes = host.runtimes().await?;
    let script =
        "hostname; cat /etc/hostname; grep nameserver /etc/resolv.conf; echo $GREETING; echo $$; echo oops >&2";
    run(&runtimes, spec("web-1", &["sh", "-c", script])).await?;
    assert_eq!(exit_of(&runtimes, "web-1").await?, (0, "exited with code 0".into()));
    let said = lines(&runtimes, "web-1", 0).await?;
    let out: Vec<&str> = said.iter().filter(|l| l.0 == Stream::Stdout).map(|l| l.1.as_str()).collect();
    assert_eq!(out, ["web-1", "web-1", "nameserver 169.254.169.250", "hello there", "2"]);
    assert!(said.contains(&(Stream::Stderr, "oops".into())));
    assert_eq!(lines(&runtimes, "web-1", 1).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_start_says_why() -> Result<()> {
    let host = Host::new("why")?;
    let runtimes = host.runtimes().await?;
    let reason = |result: Result<()>| result.map_err(|e| e.to_string()).expect_err("it should not start");
    assert_eq!(reason(run(&runtimes, spec("a-1", &["/usr/bin/foo"])).await), "a-1: exec /usr/bin/foo: no such file");
    assert_eq!(reason(run(&runtimes, spec("b-1", &["/etc/hosts"])).await), "b-1: exec /etc/hosts: permission denied");
    let unknown = UnitSpec { user: "nobody-of-that-name".into(), ..spec("c-1", &["true"]) };
    assert_eq!(reason(run(&runtimes, unknown).await), "c-1: user nobody-of-that-name: no such user on this host");
    let docker = UnitSpec { runtime: "docker".into(), ..spec("d-1", &["true"]) };
    assert!(reason(run(&runtimes, docker).await).contains("no container engine runs on this host"));
    let units = runtimes.observe().await;
    assert_eq!(units["a-1"].state, UnitState::Failed { reason: "exec /usr/bin/foo: no such file".into() });
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_words_and_the_signal_are_in_the_reason() -> Result<()> {
    let host = Host::new("last")?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("a-1", &["sh", "-c", "echo cannot reach the database; exit 3"])).await?;
    run(&runtimes, spec("b-1", &["sh", "-c", "kill -SEGV $$"])).await?;
    let memory = UnitSpec { limit_memory_bytes: 32 << 20, ..spec("c-1", &["tail", "/dev/zero"]) };
    run(&runtimes, memory).await?;
    assert_eq!(exit_of(&runtimes, "a-1").await?, (3, "exited with code 3: cannot reach the database".into()));
    assert_eq!(exit_of(&runtimes, "b-1").await?, (139, "killed by SIGSEGV".into()));
    assert_eq!(exit_of(&runtimes, "c-1").await?, (137, "killed by the kernel: out of memory".into()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_asks_first_and_kills_everything_when_the_grace_time_is_over() -> Result<()> {
    let host = Host::new("stop")?;
    let runtimes = host.runtimes().await?;
    let stubborn = ["sh", "-c", "trap '' TERM; echo ready; sleep 4711 & while :; do sleep 1; done"];
    run(&runtimes, spec("polite-1", &["sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done"]))
        .await?;
    run(&runtimes, spec("stubborn-1", &stubborn)).await?;
    for name in ["polite-1", "stubborn-1"] {
        let mut log = runtimes.logs(name, true, 0).await?;
        tokio::time::timeout(LIMIT, log.recv()).await?.context("its trap is never set")?;
        let (name, signal) = (name.to_string(), "SIGTERM".to_string());
        runtimes.apply(&Action::StopUnit { name, signal, grace_ms: 1500 }).await?;
    }
    assert_eq!(exit_of(&runtimes, "polite-1").await?.0, 5);
    let (code, reason) = exit_of(&runtimes, "stubborn-1").await?;
    assert_eq!((code, reason.as_str()), (137, "killed: still running when the grace time was over: ready"));
    let left = process::all().into_iter().any(|pid| process::argv(pid) == ["sleep", "4711"]);
    assert!(!left, "a child of the stubborn unit survived it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_agent_adopts_what_runs_and_a_restart_counts() -> Result<()> {
    let host = Host::new("adopt")?;
    let first = host.runtimes().await?;
    run(&first, spec("web-1", &["sleep", "1000"])).await?;
    let before = first.observe().await;
    drop(first);
    let second = host.runtimes().await?;
    assert_eq!(second.observe().await, before);
    let stop = Action::StopUnit { name: "web-1".into(), signal: "KILL".into(), grace_ms: 0 };
    second.apply(&stop).await?;
    exit_of(&second, "web-1").await?;
    second.apply(&Action::StartUnit("web-1".into())).await?;
    assert_eq!(second.observe().await["web-1"].restarts, 1);
    second.apply(&Action::RemoveUnit("web-1".into())).await?;
    assert!(second.observe().await.is_empty());
    assert!(!host.dir.join("units/web-1").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_holder_takes_its_unit_with_it_and_is_missed() -> Result<()> {
    let host = Host::new("killed")?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    let UnitState::Running { pid } = runtimes.observe().await["web-1"].state else { bail!("not running") };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(host.holder_pid("web-1")? as i32), nix::sys::signal::SIGKILL)?;
    until(&runtimes, "web-1", |unit| unit.is_none()).await?;
    assert_eq!(runtimes.namespace("web-1"), None);
    remuda_lab::wait_until("the unit's process ends", LIMIT, || !process::is_alive(pid))?;
    run(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    assert_eq!(runtimes.observe().await["web-1"].restarts, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_runs_inside_the_unit_with_and_without_a_terminal() -> Result<()> {
    let host = Host::new("exec")?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    let (out, code) = talk(&runtimes, &words(&["cat"]), None, b"abc\n").await?;
    assert_eq!((out.as_str(), code), ("abc\n", 0));
    let (out, code) =
        talk(&runtimes, &words(&["sh", "-c", "stty size; hostname; exit 7"]), Some((40, 100)), b"").await?;
    assert!(out.contains("40 100") && out.contains("web-1"), "{out:?}");
    assert_eq!(code, 7);
    let missing = runtimes.exec("web-1", &words(&["no-such-thing"]), None).await.map(drop);
    assert!(missing.expect_err("it is missing").to_string().contains("exec no-such-thing: no such file"));
    Ok(())
}

async fn talk(
    runtimes: &Runtimes,
    argv: &[String],
    terminal: Option<(u16, u16)>,
    input: &[u8],
) -> Result<(String, i32)> {
    let session = runtimes.exec("web-1", argv, terminal).await?;
    session.input.send(ExecInput::Bytes(input.to_vec())).await?;
    session.input.send(ExecInput::End).await?;
    collected(session.output).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_command_that_leaves_a_child_behind_is_answered_and_nothing_of_it_stays_in_the_agent() -> Result<()> {
    let host = Host::new("left")?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    let before = tasks();
    assert_eq!(checked(&runtimes, "cat").await?, (String::new(), 0), "its input is at its end");
    assert_eq!(checked(&runtimes, "sleep 1000 & echo fine").await?, ("fine\n".into(), 0));
    // In a session of its own it outlives the command, and holds its output open.
    let outlives = "setsid sleep 1000 & until grep -q sleep /proc/$!/comm; do :; done; echo fine; exit 3";
    assert_eq!(checked(&runtimes, outlives).await?, ("fine\n".into(), 3));
    let talks_on = "setsid yes & until grep -q yes /proc/$!/comm; do :; done; exit 4";
    assert_eq!(checked(&runtimes, talks_on).await?.1, 4);
    // Nobody waits for its end.
    let hung = words(&[
        "sh",
        "-c",
        "setsid sleep 2000 & until grep -q sleep /proc/$!/comm; do :; done; echo ready; sleep 2000",
    ]);
    let mut hung = runtimes.check("web-1", &hung).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
    hung.recv().await.context("it ended")?;
    drop(hung);
    let are_gone = async {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(LIMIT, are_gone).await;
    assert!(in_time.is_ok(), "{} tasks more than before", tasks() - before);
    let sleepers =
        checked(&runtimes, "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -o '[s]leep 1000' | wc -l").await?;
    assert_eq!(sleepers, ("2\n".into(), 0), "the unit's own and the one in a session of its own");
    Ok(())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

/// Of the runtime of this test alone.
fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Output and code of a health command.
async fn checked(runtimes: &Runtimes, script: &str) -> Result<(String, i32)> {
    let pieces = runtimes.check("web-1", &words(&["sh", "-c", script])).await;
    collected(pieces.map_err(|error| anyhow::anyhow!("{error:?}"))?).await
}

async fn collected(mut pieces: mpsc::Receiver<ExecOutput>) -> Result<(String, i32)> {
    let mut out = Vec::new();
    while let Some(piece) = tokio::time::timeout(LIMIT, pieces.recv()).await? {
        match piece {
            ExecOutput::Stdout(bytes) | ExecOutput::Stderr(bytes) => out.extend(bytes),
            ExecOutput::Exited(code) => return Ok((String::from_utf8_lossy(&out).into_owned(), code)),
        }
    }
    bail!("the session ended without a code")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_log_shows_what_comes() -> Result<()> {
    let host = Host::new("follow")?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("web-1", &["sh", "-c", "echo one; read x; echo two"])).await?;
    exit_of(&runtimes, "web-1").await?;
    let mut log = runtimes.logs("web-1", true, 1).await?;
    let next = tokio::time::timeout(LIMIT, log.recv()).await?.context("the log ended")?;
    assert_eq!(next.bytes, b"two\n");
    runtimes.apply(&Action::StartUnit("web-1".into())).await?;
    let next = tokio::time::timeout(LIMIT, log.recv()).await?.context("the log ended")?;
    assert_eq!(next.bytes, b"one\n");
    Ok(())
}
