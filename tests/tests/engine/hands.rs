//! What people do to our containers by hand.

use anyhow::Result;
use remuda_agent::observed::{Unit, UnitState};

use crate::host::{Host, create, pid_of, remove, run, shared, spec, start, stop, until};

fn is_down(unit: Option<&Unit>) -> bool {
    unit.is_some_and(|unit| matches!(unit.state, UnitState::Exited { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_whose_holder_was_removed_starts_again_also_while_its_registry_is_away() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    engine.docker(&["rm", "--force", "web-1.hold"])?;
    engine.docker(&["kill", "web-1"])?;
    until(&runtimes, "web-1", |unit| is_down(unit) && unit.is_some_and(|u| !u.can_start)).await?;
    let mut always = spec("web-1", &["sleep", "1000"]);
    always.engine.pull = "always".into();
    let made = create(&runtimes, always.clone()).await?;
    assert!(made.can_start, "{made:?}");
    pid_of(&start(&runtimes, "web-1").await?)?;
    let joined = engine.inspect("web-1", "{{.HostConfig.NetworkMode}}")?;
    let holder = engine.inspect("web-1.hold", "{{.Id}}")?;
    assert!(joined.contains(holder.trim()) || joined.contains("web-1.hold"), "{joined}");
    // Its holder only has to run again.
    engine.docker(&["kill", "web-1", "web-1.hold"])?;
    until(&runtimes, "web-1", |unit| is_down(unit) && unit.is_some_and(|u| !u.can_start)).await?;
    let before = engine.inspect("web-1", "{{.Id}}")?;
    create(&runtimes, always).await?;
    pid_of(&start(&runtimes, "web-1").await?)?;
    assert_eq!(engine.inspect("web-1", "{{.Id}}")?, before, "the same container, with its files");
    remove(&runtimes, "web-1").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_that_was_renamed_is_its_new_owners_and_the_unit_is_made_anew() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    engine.docker(&["rename", "web-1", "mine"])?;
    let is_gone = |unit: Option<&Unit>| unit.is_some_and(|unit| matches!(unit.state, UnitState::Failed { .. }));
    until(&runtimes, "web-1", is_gone).await?;
    engine.docker(&["kill", "mine"])?;
    create(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    pid_of(&start(&runtimes, "web-1").await?)?;
    remove(&runtimes, "web-1").await?;
    engine.docker(&["rm", "mine"])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_the_engine_does_not_know_is_followed_by_one_it_knows() -> Result<()> {
    let engine = shared().await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    run(&runtimes, spec("web-1", &["sleep", "1000"])).await?;
    stop(&runtimes, "web-1", "SIGNONSENSE", 700).await?;
    let ended = until(&runtimes, "web-1", is_down).await?.expect("it is there");
    let UnitState::Exited { code, reason, .. } = ended.state else { unreachable!("it has exited") };
    assert!(code == 137 && reason.starts_with("killed: still running"), "{code}: {reason}");
    remove(&runtimes, "web-1").await
}
