//! What a host is told and should not believe: refused, named, and the last good state kept.

use super::LIMIT;
use remuda_lab::{residue, wait_for};
use remuda_tests::figure;
use remuda_tests::fleet::{Fleet, Wanted, service};
use remuda_tests::stack::text;

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
    figure::count("containers restarted by an invalid assignment", 0);
    let name = fleet.lab.name.clone();
    drop(fleet);
    assert_eq!(residue(&name), Vec::<String>::new());
}
