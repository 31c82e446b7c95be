//! An engine that is away, too old, hung or full: said in words, nothing hangs with it, and it goes on afterwards.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use remuda_agent::action::{Action, UnitSpec};
use remuda_agent::observed::UnitState;
use remuda_agent::runtime::NotStarted;
use remuda_api::engine::{EngineSpec, Mount};
use remuda_tests::engine::{Engine, Options};

use crate::host::{
    Host, LIMIT, create, exit_of, failure_of, line, pid_of, remove, run, script, settled, shared, spec, start, stop,
    until, words, working,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_not_there_is_waited_for_and_said_so() -> Result<()> {
    let mut engine = Engine::start(Options { live_restore: true, ..Options::default() })?;
    engine.terminate()?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    runtimes.apply(&Action::CreateUnit(Box::new(spec("web-1", &["sleep", "1000"])))).await?;
    let what = working(&runtimes, "web-1", "waiting for the engine").await?;
    assert!(what.contains(&engine.socket().display().to_string()), "{what}");
    engine.run()?;
    assert_eq!(settled(&runtimes, "web-1").await?.state, UnitState::Created);
    pid_of(&start(&runtimes, "web-1").await?).map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_is_too_old_is_refused_by_its_version() -> Result<()> {
    let old = Old::start()?;
    let host = Host::at(&old.socket)?;
    let runtimes = host.runtimes().await?;
    runtimes.apply(&Action::CreateUnit(Box::new(spec("web-1", &["true"])))).await?;
    let what = working(&runtimes, "web-1", "too old").await?;
    assert!(what.contains("1.12.6") && what.contains("20.10 or newer"), "{what}");
    let is_told = || host.problems.lines().iter().any(|line| line.contains("too old"));
    remuda_lab::wait_until("the host's problems name it", LIMIT, is_told)?;
    // What was never made is removed without the engine.
    remove(&runtimes, "web-1").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_hangs_holds_up_nothing_and_goes_on_when_it_wakes() -> Result<()> {
    /// Far below any limit of time that is kept towards an engine.
    const AT_ONCE: Duration = Duration::from_secs(3);
    let engine = Engine::start(Options { live_restore: true, ..Options::default() })?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let pid = pid_of(&run(&runtimes, spec("web-1", &["sleep", "1000"])).await?)?;
    create(&runtimes, spec("web-2", &["sleep", "1000"])).await?;
    engine.signal(Signal::SIGSTOP)?;
    let began = Instant::now();
    runtimes.apply(&Action::CreateUnit(Box::new(spec("web-3", &["sleep", "1000"])))).await?;
    runtimes.apply(&Action::StartUnit("web-2".into())).await?;
    stop(&runtimes, "web-1", "TERM", 1000).await?;
    let units = runtimes.observe().await;
    assert_eq!(units.len(), 3);
    assert!(runtimes.namespace("web-1").is_some());
    assert!(began.elapsed() < AT_ONCE, "an action waits for the engine: {:?}", began.elapsed());
    // Health: nobody can be asked, so nothing is held against it.
    let asked = tokio::time::timeout(LIMIT, runtimes.check("web-1", &words(&["true"]))).await.context("it hangs")?;
    assert!(matches!(asked, Err(NotStarted::NotAsked(_))), "{:?}", asked.map(drop));
    let what = working(&runtimes, "web-3", "the engine").await?;
    assert!(what.contains("no answer"), "{what}");
    engine.signal(Signal::SIGCONT)?;
    until(&runtimes, "web-3", |unit| unit.is_some_and(|u| u.state == UnitState::Created)).await?;
    until(&runtimes, "web-2", |unit| unit.is_some_and(|u| matches!(u.state, UnitState::Running { .. }))).await?;
    exit_of(&runtimes, "web-1").await?;
    remuda_lab::wait_until("what was to stop is gone", LIMIT, || !remuda_lab::process::is_alive(pid))?;
    // Each was made once, whatever was asked again.
    let all = engine.docker(&["ps", "--all", "--format", "{{.Names}}"])?;
    let mut all: Vec<&str> = all.lines().collect();
    all.sort_unstable();
    assert_eq!(all, ["web-1", "web-1.hold", "web-2", "web-2.hold", "web-3", "web-3.hold"]);
    for name in ["web-1", "web-2", "web-3"] {
        remove(&runtimes, name).await?;
    }
    assert_eq!(engine.docker(&["ps", "--all", "--quiet"])?, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_engine_was_asked_for_when_it_died_is_asked_of_the_next_one() -> Result<()> {
    let mut engine = Engine::start(Options { live_restore: true, ..Options::default() })?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    create(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    engine.signal(Signal::SIGSTOP)?;
    runtimes.apply(&Action::StartUnit("web-1".into())).await?;
    runtimes.apply(&Action::CreateUnit(Box::new(spec("web-2", &["sleep", "1000"])))).await?;
    engine.kill()?;
    engine.run()?;
    // Not failed meanwhile: a policy may say that what failed is not started again.
    pid_of(&settled(&runtimes, "web-1").await?)?;
    assert_eq!(settled(&runtimes, "web-2").await?.state, UnitState::Created);
    for name in ["web-1", "web-2"] {
        remove(&runtimes, name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_the_engine_cannot_remove_is_told_until_it_can() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, script("web-1", "touch /kept; echo ready; exec sleep 1000")).await?;
    line(&runtimes, "web-1", "ready").await?;
    let kept = format!("{}/kept", engine.inspect("web-1", "{{.GraphDriver.Data.UpperDir}}")?.trim());
    let chattr = |flag: &str| {
        let done = std::process::Command::new("chattr").args([flag, &kept]).status()?.success();
        anyhow::ensure!(done, "chattr {flag} {kept}");
        Ok(())
    };
    chattr("+i")?;
    runtimes.apply(&Action::RemoveUnit("web-1".into())).await?;
    let told = remuda_lab::wait_until("it is told", LIMIT, || runtimes.trouble().is_some());
    let trouble = runtimes.trouble();
    chattr("-i")?;
    told?;
    assert!(trouble.as_ref().is_some_and(|words| words.starts_with("remove web-1: ")), "{trouble:?}");
    until(&runtimes, "web-1", |unit| unit.is_none()).await?;
    assert_eq!(runtimes.trouble(), None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_named() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let with = |name: &str, mount: Mount| UnitSpec {
        engine: EngineSpec { mounts: vec![mount], ..EngineSpec::default() },
        ..spec(name, &["true"])
    };
    let never = EngineSpec { pull: "never".into(), ..EngineSpec::default() };
    let image = UnitSpec { image: "not/here:1".into(), engine: never, ..spec("a-1", &["true"]) };
    let bind = Mount {
        kind: "bind".into(),
        source: "/not/there".into(),
        target: "/x".into(),
        must_exist: true,
        ..Mount::default()
    };
    let volume = Mount {
        kind: "volume".into(),
        source: "not_there".into(),
        target: "/x".into(),
        is_external: true,
        ..Mount::default()
    };
    for (spec, wanted) in [
        (image, ["not/here:1", "not on this host"]),
        (with("b-1", bind), ["/not/there", "does not exist"]),
        (with("c-1", volume), ["not_there", "external"]),
    ] {
        let name = spec.name.clone();
        create(&runtimes, spec).await?;
        let reason = failure_of(&runtimes, &name).await?;
        assert!(wanted.iter().all(|word| reason.contains(word)), "{reason}");
        remove(&runtimes, &name).await?;
    }
    assert_eq!(engine.docker(&["volume", "ls", "--quiet", "--filter", "name=not_there"])?, "", "it was not made");
    assert_eq!(
        engine.docker(&["ps", "--all", "--quiet", "--filter", &format!("label=io.remuda.node={}", host.node_id)])?,
        ""
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_whose_disk_is_full_says_so_and_takes_more_when_there_is_room() -> Result<()> {
    let engine = Engine::start(Options { live_restore: true, disk_bytes: 48 << 20 })?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let fills = "dd if=/dev/zero of=/big bs=64k; echo still here; exec sleep 1000";
    run(&runtimes, script("a-1", fills)).await?;
    // Its log lies on the same disk, so it may be unable to say so.
    let is_full = || nix::sys::statvfs::statvfs(&engine.data()).is_ok_and(|disk| disk.blocks_available() == 0);
    remuda_lab::wait_until("the disk is full", LIMIT, is_full)?;
    create(&runtimes, spec("b-1", &["sleep", "1000"])).await?;
    let reason = failure_of(&runtimes, "b-1").await?;
    assert!(reason.contains("no space left on device"), "{reason}");
    remove(&runtimes, "a-1").await?;
    let made = create(&runtimes, spec("b-1", &["sleep", "1000"])).await?;
    assert_eq!(made.state, UnitState::Created, "there is room again");
    pid_of(&start(&runtimes, "b-1").await?)?;
    remove(&runtimes, "b-1").await
}

/// An engine of 2017, as far as a newer client hears it: a peer, at a socket of its own.
struct Old {
    socket: PathBuf,
}

impl Old {
    fn start() -> Result<Old> {
        let socket = std::env::temp_dir().join(format!("remuda-old-{}", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let count = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..count]).into_owned();
                let (status, body) = match request.contains("/version") {
                    true => ("200 OK", r#"{"Version":"1.12.6","ApiVersion":"1.24","MinAPIVersion":"1.12"}"#),
                    false => ("400 Bad Request", r#"{"message":"client is newer than server"}"#),
                };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                );
            }
        });
        Ok(Old { socket })
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}
