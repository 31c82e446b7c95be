//! What a host is told and should not believe: refused, named, and the last good state kept.

use super::LIMIT;
use remuda_lab::{residue, wait_for};
use remuda_tests::crowd::Crowd;
use remuda_tests::fleet::{Fleet, Wanted, service};
use remuda_tests::stack::text;

/// The server's store, in its data directory.
const STORE: &str = "state.redb";

#[test]
fn an_assignment_older_than_the_one_held_is_refused_and_every_host_says_so() {
    let mut crowd = super::crowd("f-older", 2, 4);
    let data_dir = crowd.fleet.lab.state.server.as_ref().unwrap().data_dir.clone();
    let (store, kept) = (data_dir.join(STORE), data_dir.join("kept"));
    crowd.fleet.lab.stop("server").unwrap();
    std::fs::copy(&store, &kept).unwrap();
    crowd.fleet.lab.start("server").unwrap();
    // A server with an old store counts on from there: so much happens here that it is behind while this test looks.
    for replicas in [8, 4, 8, 4, 8, 4, 6] {
        crowd.fleet.remuda(&["scale", &format!("app/web={replicas}")]).unwrap();
    }
    let before = crowd.pids().unwrap();
    crowd.fleet.lab.stop("server").unwrap();
    let newest = data_dir.join("newest");
    std::fs::rename(&store, &newest).unwrap();
    std::fs::rename(&kept, &store).unwrap();

    crowd.fleet.lab.spawn("server").unwrap();
    wait_for("both hosts say that they were told something old", LIMIT, || {
        Ok((complaints(&crowd)?.len() == 2).then_some(()))
    })
    .unwrap();
    assert_eq!(super::backends_alive(), 6, "a host followed an older assignment");

    crowd.fleet.lab.stop("server").unwrap();
    std::fs::rename(&newest, &store).unwrap();
    crowd.fleet.lab.start("server").unwrap();
    wait_for("the hosts have nothing to complain about", LIMIT, || Ok(complaints(&crowd)?.is_empty().then_some(())))
        .unwrap();
    assert_eq!(crowd.pids().unwrap(), before, "something was restarted on the way");
    super::end(crowd);
}

/// Lines of hosts that were told something older than they hold.
fn complaints(crowd: &Crowd) -> anyhow::Result<Vec<String>> {
    let text = crowd.fleet.remuda(&["hosts", "-o", "wide"])?;
    Ok(text.lines().filter(|line| line.contains("older than the one held")).map(str::to_owned).collect())
}

#[test]
fn an_invalid_assignment_changes_nothing_and_is_named() {
    let mut fleet = Fleet::up("f-told", 2).unwrap();
    let wanted = Wanted { name: "web", host: 0, service_id: 900, ..Wanted::default() };
    fleet.assign(&[service(900, "web", "10.43.0.10")], &[wanted]).unwrap();
    let (pid, good) = (fleet.pid("web").unwrap(), fleet.lab.assignment("h1").unwrap());
    fleet.lab.wait_synced("h1", good.generation, LIMIT).unwrap();
    let mut bad = good.clone();
    bad.generation += 1;
    bad.containers.clear();
    bad.endpoints.push(good.endpoints[0].clone());
    fleet.lab.assign("h1", &bad).unwrap();
    let problem = wait_for("the host says what is wrong", LIMIT, || {
        let status = fleet.lab.ask("h1", "status")?;
        Ok(status["problems"].get(0).map(|problem| problem.as_str().unwrap_or_default().to_owned()))
    });
    let problem = problem.unwrap();
    assert!(problem.contains("web"), "it does not name the endpoint: {problem}");
    let status = fleet.lab.ask("h1", "status").unwrap();
    assert_eq!(status["generation"].as_u64(), Some(good.generation));
    assert_eq!(text(&status["containers"][0], "state"), "running");
    assert_eq!(fleet.pid("web").unwrap(), pid);
    let good = remuda_api::assignment::Assignment { generation: bad.generation + 1, ..good };
    fleet.lab.assign("h1", &good).unwrap();
    fleet.lab.wait_synced("h1", good.generation, LIMIT).unwrap();
    assert_eq!(fleet.pid("web").unwrap(), pid);
    let name = fleet.lab.name.clone();
    drop(fleet);
    assert_eq!(residue(&name), Vec::<String>::new());
}
