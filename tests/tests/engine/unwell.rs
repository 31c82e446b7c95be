//! Containers whose image checks itself.

use anyhow::Result;
use remuda_agent::action::UnitSpec;
use remuda_agent::observed::{Unit, Verdict};

use crate::host::{Host, run, script, shared, until, words};

const CHECK: &str =
    "HEALTHCHECK --interval=200ms --timeout=2s --retries=1 CMD cat /well 2>/dev/null || { echo not well; exit 3; }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_is_as_its_images_own_check_finds_it() -> Result<()> {
    let engine = shared().await?;
    engine.import("checked:test", &[CHECK])?;
    let host = Host::of(&engine)?;
    let runtimes = host.runtimes().await?;
    let of = |name: &str| UnitSpec { image: "checked:test".into(), ..script(name, "exec sleep 1000") };
    let begun = run(&runtimes, of("web-1")).await?;
    assert!(begun.image_health.is_some(), "nothing is known of its check");
    let is = |verdict: Verdict| {
        move |unit: Option<&Unit>| unit.and_then(|u| u.image_health.as_ref()).is_some_and(|h| h.verdict == verdict)
    };
    let unit = until(&runtimes, "web-1", is(Verdict::Unhealthy)).await?.expect("it is there");
    let reason = unit.image_health.map(|health| health.reason);
    assert_eq!(reason.as_deref(), Some("exited with code 3: not well"));
    runtimes.check("web-1", &words(&["touch", "/well"])).await.map_err(|e| anyhow::anyhow!("{e:?}"))?.recv().await;
    until(&runtimes, "web-1", is(Verdict::Healthy)).await?;
    // Another check, or none, in its place.
    let own = run(&runtimes, UnitSpec { has_health_command: true, ..of("web-2") }).await?;
    assert_eq!(own.image_health, None);
    let mut none = of("web-3");
    none.engine.no_healthcheck = true;
    assert_eq!(run(&runtimes, none).await?.image_health, None);
    Ok(())
}
