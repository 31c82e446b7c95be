//! Images from a registry.

use anyhow::{Context, Result};
use remuda_agent::action::{Action, UnitSpec};
use remuda_agent::observed::UnitState;
use remuda_api::assignment::Registry as Login;
use remuda_api::engine::EngineSpec;
use remuda_tests::image;
use remuda_tests::registry::Registry;

use crate::host::{Host, create, failure_of, remove, said, shared, spec, until, working};

const PASSWORD: &str = "reader:let me in";

fn of(name: &str, image: &str) -> UnitSpec {
    UnitSpec { image: image.into(), ..spec(name, &["echo", "from a registry"]) }
}

fn login(registry: &Registry, password: &str) -> Vec<Login> {
    vec![Login { address: registry.address(), username: "reader".into(), password: password.into() }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_is_fetched_by_whoever_may_and_the_others_are_told_why_not() -> Result<()> {
    let engine = shared().await?;
    let registry = Registry::start(Some(PASSWORD)).await?;
    let image = registry.put("team/app", "1", image::busybox()?)?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    for (name, logins, wanted) in
        [("a-1", vec![], "remuda registry login"), ("b-1", login(&registry, "wrong"), "the fleet logs in to")]
    {
        runtimes.log_in(&logins);
        create(&runtimes, of(name, &image)).await?;
        let reason = failure_of(&runtimes, name).await?;
        assert!(reason.contains(&image) && reason.contains(wanted), "{reason}");
        assert!(!reason.contains("wrong"), "a password in a reason: {reason}");
        remove(&runtimes, name).await?;
    }
    assert_eq!(registry.asked(), 0, "nobody was let in");
    runtimes.log_in(&login(&registry, "let me in"));
    assert_eq!(said(&runtimes, of("c-1", &image)).await?, ["from a registry"]);
    let asked = registry.asked();
    assert_eq!(said(&runtimes, of("d-1", &image)).await?, ["from a registry"]);
    assert_eq!(registry.asked(), asked, "what is there is not fetched again");
    let always = EngineSpec { pull: "always".into(), ..EngineSpec::default() };
    said(&runtimes, UnitSpec { engine: always, ..of("e-1", &image) }).await?;
    assert!(registry.asked() > asked, "it was to be looked for each time");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_or_a_registry_that_is_not_there_is_named() -> Result<()> {
    let engine = shared().await?;
    let registry = Registry::start(None).await?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let missing = format!("{}/team/none:1", registry.address());
    create(&runtimes, of("a-1", &missing)).await?;
    let reason = failure_of(&runtimes, "a-1").await?;
    assert!(reason.contains(&missing) && reason.contains("manifest"), "{reason}");
    let away = registry.address();
    drop(registry);
    create(&runtimes, of("b-1", &format!("{away}/team/app:1"))).await?;
    let reason = failure_of(&runtimes, "b-1").await?;
    assert!(reason.contains("connection refused") && reason.contains("docker load"), "{reason}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_says_how_far_it_is_and_is_made_once_for_all_who_wait() -> Result<()> {
    let engine = shared().await?;
    let registry = Registry::start(None).await?;
    // Nothing that could be squeezed, and more than is sent at first.
    let mut layer = image::busybox()?;
    layer.truncate(layer.len() - 1024);
    let mut archive = Vec::new();
    archive.append(&mut layer);
    archive.append(&mut image::filler("noise", 12 << 20)?);
    let image = registry.put("team/large", "1", archive)?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    registry.hold();
    for name in ["a-1", "a-2", "a-3"] {
        runtimes.apply(&Action::CreateUnit(Box::new(of(name, &image)))).await?;
    }
    let what = working(&runtimes, "a-2", " of ").await?;
    assert!(what.starts_with(&format!("pulling {image}, ")) && what.ends_with(" MB"), "{what}");
    // Who does not want it any more does not wait for it.
    remove(&runtimes, "a-3").await?;
    registry.let_go();
    for name in ["a-1", "a-2"] {
        until(&runtimes, name, |unit| unit.is_some_and(|u| u.state == UnitState::Created)).await.context("pulled")?;
    }
    assert!(registry.asked() <= 2, "by tag, and by its digest: {} times", registry.asked());
    Ok(())
}
