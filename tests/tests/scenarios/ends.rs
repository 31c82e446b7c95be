//! Containers that fail, services that are stopped: what people see of it.

use remuda_tests::stack::{Fleet, text};

const FAILING: &str = "services:
  crash:
    command: [sh, -c, 'for i in 1 2 3; do echo last words $$i; done; exit 3']
    restart: on-failure:2
  missing:
    command: [/no/such/program]
";

#[test]
fn what_fails_at_once_is_given_up_as_asked_and_shows_its_last_lines_in_up_and_ps() {
    let fleet = Fleet::up("ends", 2).unwrap();
    let path = fleet.file("app.yml", FAILING).unwrap().display().to_string();
    let out = fleet.lab.remuda(&["up", "-f", &path, "-s", "app", "--timeout", "5s"]).unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    for words in ["app-crash-1, last lines:", "last words 3", "/no/such/program"] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    assert!(!said.contains("app-missing-1: app-missing-1"), "{said}");
    let reason = fleet.wait("it is given up", |all| {
        let found = all.iter().find(|c| c["service"] == "crash" && c["state"] == "failed")?;
        Some(text(found, "reason").to_owned()).filter(|reason| reason.starts_with("gave up after 2 attempts"))
    });
    assert!(reason.unwrap().ends_with("last words 1\nlast words 2\nlast words 3"));
    let restarts = fleet.containers().unwrap().iter().find(|c| c["service"] == "crash").unwrap()["restarts"].clone();
    assert_eq!(restarts, 2);
    let ps = fleet.lab.remuda(&["ps", "app"]).unwrap();
    assert!(String::from_utf8_lossy(&ps.stderr).contains("app-crash-1, last lines:\n  last words 1"));
    let hosts = fleet.list(&["hosts"]).unwrap();
    assert!(hosts.iter().all(|host| host["state"] == "ready"), "no host is at fault: {hosts:?}");
    let problems = fleet.remuda(&["hosts", "-o", "wide"]).unwrap();
    assert!(!problems.contains("app-missing"), "no host is at fault: {problems}");
}

const TWO: &str = "services:
  web:
    command: [sleep, '86400']
    deploy: {replicas: 2}
  later:
    command: [sleep, '86400']
    x-remuda: {start_on_create: false}
";

#[test]
fn a_service_is_stopped_and_started_by_hand_and_its_file_changes_nothing_about_that() {
    let fleet = Fleet::up("rest", 2).unwrap();
    fleet.deploy("app", TWO).unwrap();
    let states = |fleet: &Fleet| {
        let all = fleet.list(&["services"]).unwrap();
        all.iter().map(|s| (text(s, "name").to_owned(), text(s, "state").to_owned())).collect::<Vec<_>>()
    };
    let pair = |name: &str, state: &str| (name.to_owned(), state.to_owned());
    assert_eq!(states(&fleet), [pair("later", "inactive"), pair("web", "active")]);
    fleet.remuda(&["stop", "app/web"]).unwrap();
    assert!(fleet.containers().unwrap().is_empty());
    let path = fleet.file("app.yml", TWO).unwrap().display().to_string();
    let again = fleet.lab.remuda(&["up", "-f", &path, "-s", "app"]).unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("stopped by hand"));
    assert!(fleet.containers().unwrap().is_empty());
    fleet.remuda(&["start", "app"]).unwrap();
    assert_eq!(fleet.containers().unwrap().len(), 3);
    assert_eq!(states(&fleet), [pair("later", "active"), pair("web", "active")]);
}
