//! E2: a stack of Rancher's, unedited.

use super::{LIMIT, corpus, end, fleet, ours_everywhere, pages};
use remuda_lab::wait_for;
use remuda_tests::figure;
use std::time::Instant;

#[test]
fn e2_the_hms_stack_runs_as_it_is_written_and_answers_on_every_host() {
    let Some(fleet) = fleet("hms", &[("rawmind/hms", 8080)]) else { return };
    let begin = Instant::now();
    fleet.remuda_in(&corpus("hms"), &["up", "-d", "-s", "HMS"]).unwrap();
    figure::seconds("E2 up -d of the HMS stack", begin.elapsed());
    wait_for("web and lb are healthy", LIMIT, || {
        let services = fleet.list(&["services"])?;
        let is_well = |name: &str| services.iter().any(|s| s["name"] == name && s["healthy"] == 1);
        if is_well("web") && is_well("lb") { Ok(Some(())) } else { anyhow::bail!("{services:?}") }
    })
    .unwrap();
    figure::seconds("E2 up -d until web and lb are healthy", begin.elapsed());
    for page in pages(&fleet, 8080) {
        assert!(page.contains("name    ") && page.contains("GET / HTTP"), "not the stand-in's page: {page}");
        let client = &fleet.lab.state.client.ip;
        assert!(page.contains(&format!("client  {client}:")), "the client's own address was not seen: {page}");
    }
    figure::seconds("E2 up -d until HTTP 200 on port 8080 of every host", begin.elapsed());
    assert_eq!(ours_everywhere(&fleet).len(), 2, "web and its holder, and nothing for the balancer");
    fleet.remuda(&["down", "HMS"]).unwrap();
    assert_eq!(ours_everywhere(&fleet), Vec::<String>::new());
    end(fleet);
}
