//! What becomes of containers when the agent or the engine goes away and comes back.

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use remuda_agent::action::Action;
use remuda_agent::observed::{Unit, UnitState};
use remuda_lab::process;
use remuda_tests::engine::{Engine, Options};

use crate::host::{
    Host, LIMIT, create, failure_of, line, pid_of, remove, run, script, settled, shared, spec, start, stop, until,
    words,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_agent_adopts_what_runs_and_what_was_made() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let first = host.runtimes().await?;
    let pid = pid_of(&run(&first, spec("web-1", &["sleep", "1000"])).await?)?;
    create(&first, spec("web-2", &["sleep", "1000"])).await?;
    let before = first.observe().await;
    drop(first);
    let second = host.runtimes().await?;
    assert_eq!(second.observe().await, before);
    assert_eq!(pid_of(&before["web-1"])?, pid);
    stop(&second, "web-1", "KILL", 0).await?;
    until(&second, "web-1", |unit| unit.is_some_and(|u| matches!(u.state, UnitState::Exited { .. }))).await?;
    start(&second, "web-1").await?;
    start(&second, "web-2").await?;
    for name in ["web-1", "web-2"] {
        remove(&second, name).await?;
    }
    assert!(second.observe().await.is_empty());
    assert!(host.runtimes().await?.observe().await.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_live_restore_containers_logs_and_addresses_outlive_an_engine_that_is_killed() -> Result<()> {
    let mut engine = Engine::start(Options { live_restore: true, ..Options::default() })?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let talks = "trap 'echo hears' USR1; echo ready; while :; do sleep 0.05; done";
    let before = run(&runtimes, script("web-1", talks)).await?;
    let pid = pid_of(&before)?;
    let namespace = runtimes.namespace("web-1").context("none")?;
    let mut log = runtimes.logs("web-1", true, 0).await?;
    log.recv().await.context("it ended")?;
    // What an agent that starts while the engine is away knows is on disk a moment later.
    remuda_lab::wait_until("it is remembered", LIMIT, || host.remembers(pid))?;
    engine.kill()?;
    // Nobody says that it ended, and its namespace is still known.
    assert_eq!(pid_of(&runtimes.observe().await["web-1"])?, pid);
    assert!(namespace.exists() && runtimes.namespace("web-1") == Some(namespace.clone()));
    // An agent that starts now knows it too.
    let meanwhile = host.runtimes().await?;
    assert_eq!(pid_of(&meanwhile.observe().await["web-1"])?, pid);
    drop(meanwhile);
    engine.run()?;
    kill(Pid::from_raw(pid.try_into()?), Signal::SIGUSR1)?;
    let heard = tokio::time::timeout(LIMIT, log.recv()).await.context("the log is not followed any more")?;
    assert_eq!(heard.context("it ended")?.bytes, b"hears\n");
    let after = settled(&runtimes, "web-1").await?;
    assert_eq!((after.state, after.restarts, after.started_ms), (before.state, 0, before.started_ms));
    assert!(process::is_alive(pid));
    stop(&runtimes, "web-1", "KILL", 0).await?;
    until(&runtimes, "web-1", |unit| unit.is_some_and(|u| matches!(u.state, UnitState::Exited { .. }))).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_live_restore_what_an_engine_took_along_is_seen_and_can_be_started_again() -> Result<()> {
    let mut engine = Engine::start(Options::default())?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let spec = || script("web-1", "echo x >>/starts; wc -l </starts; exec sleep 1000");
    run(&runtimes, spec()).await?;
    engine.terminate()?;
    let is_down = |unit: Option<&Unit>| unit.is_some_and(|u| matches!(u.state, UnitState::Exited { .. }));
    until(&runtimes, "web-1", is_down).await?;
    engine.run()?;
    // What the plan does: its namespace is gone with its holder.
    let gone = until(&runtimes, "web-1", |unit| is_down(unit) && unit.is_some_and(|u| !u.can_start)).await?;
    assert!(gone.is_some_and(|unit| runtimes.namespace(&unit.name).is_none()));
    let made = create(&runtimes, spec()).await?;
    assert!(made.can_start, "{made:?}");
    let again = start(&runtimes, "web-1").await?;
    pid_of(&again)?;
    line(&runtimes, "web-1", "2").await?;
    assert_eq!(again.restarts, 1, "the same container, with its files");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_of_others_are_never_touched_whatever_they_are_called() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let image = remuda_tests::image::BUSYBOX;
    engine.docker(&["run", "--detach", "--network=none", "--name=theirs", image, "sleep", "1000"])?;
    // Of another node, and of one who copied our labels.
    let label = format!("io.remuda.node={}", host.node_id);
    engine.docker(&["run", "-d", "--network=none", "--name=copied", "--label", &label, image, "sleep", "1000"])?;
    let other = Host::of(&engine)?;
    let others = other.runtimes().await?;
    run(&others, spec("web-7", &["sleep", "1000"])).await?;
    // Of the same node of another fleet.
    let mut same = Host::of(&engine)?;
    (same.fleet, same.node_id) = ("f2".into(), host.node_id);
    let of_other_fleet = same.runtimes().await?;
    run(&of_other_fleet, spec("web-8", &["sleep", "1000"])).await?;
    let state = |name: &str| engine.inspect(name, "{{.Id}} {{.State.Pid}} {{.State.StartedAt}}");
    let before = [state("theirs")?, state("copied")?, state("web-7")?, state("web-8")?];
    let runtimes = {
        drop(runtimes);
        host.runtimes().await?
    };
    assert!(runtimes.observe().await.is_empty(), "{:?}", runtimes.observe().await);
    for name in ["theirs", "copied", "web-7", "web-8"] {
        runtimes.apply(&Action::CreateUnit(Box::new(spec(name, &["true"])))).await?;
        let reason = failure_of(&runtimes, name).await?;
        assert!(reason.contains("not Remuda's") || reason.contains("in use"), "{reason}");
        assert!(runtimes.exec(name, &words(&["true"]), None).await.is_err(), "a command ran in {name}");
        assert!(runtimes.logs(name, false, 0).await.is_err(), "the log of {name} was read");
        stop(&runtimes, name, "KILL", 0).await.ok();
        remove(&runtimes, name).await?;
    }
    assert_eq!([state("theirs")?, state("copied")?, state("web-7")?, state("web-8")?], before);
    engine.docker(&["rm", "--force", "theirs", "copied"])?;
    Ok(())
}
