//! What goes wrong with images and their programs says so where its user looks; and what one does with one container.

use super::{LIMIT, end, fleet};
use remuda_lab::{process, wait_for};
use remuda_tests::stack::{Fleet, text};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const FILE: &str = "services:
  web:
    image: some/web
    ports: ['8080:80']
  ends:
    image: some/web
    command: ['--exit', '3', 'first words', 'no database at db:5432']
  missing:
    image: nosuch/thing:1
";

#[test]
fn images_and_programs_that_fail_say_why_and_the_others_are_used_as_ever() {
    let Some(fleet) = fleet("trouble", &[("some/web", 80)]) else { return };
    let path = fleet.file("app.yml", FILE).unwrap();
    fleet.remuda(&["up", "-d", "-f", &path.display().to_string(), "-s", "app"]).unwrap();
    let reason = reason(&fleet, "ends", "no database");
    assert!(reason.contains("no database at db:5432") && reason.contains('3'), "{reason}");
    let reason = self::reason(&fleet, "missing", "nosuch/thing");
    assert!(reason.contains("nosuch/thing:1"), "{reason}");
    fleet.netns("app-web-1").unwrap();
    super::pages(&fleet, 8080);
    a_terminal_is_one(&fleet);
    logs_follow(&fleet);
    fleet.remuda(&["down", "app"]).unwrap();
    assert_eq!(super::ours_everywhere(&fleet), Vec::<String>::new());
    end(fleet);
}

/// Why a service's container does not run, once it says so with these words.
fn reason(fleet: &Fleet, service: &str, word: &str) -> String {
    wait_for(&format!("{service} says {word:?}"), LIMIT, || {
        let all = fleet.containers()?;
        let mine = all.iter().find(|c| c["service"] == service && text(c, "reason").contains(word));
        mine.map_or_else(|| anyhow::bail!("{all:?}"), |c| Ok(Some(text(c, "reason").to_owned())))
    })
    .unwrap()
}

fn a_terminal_is_one(fleet: &Fleet) {
    let remuda = &fleet.lab.state.hosts[0].argv[0];
    let line = format!("{remuda} exec -it app-web-1 -- /whoami --terminal");
    // `script` gives the command line a terminal, which it hands on.
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .envs(fleet.lab.state.env())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"hello\n").unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && said.contains("a terminal") && said.contains("heard hello"), "{said}");
    let plain = fleet.remuda(&["exec", "app-web-1", "--", "/whoami", "--terminal"]).unwrap();
    assert!(plain.contains("no terminal"), "{plain}");
    let code = fleet.lab.remuda(&["exec", "app-web-1", "--", "/whoami", "--exit", "7", "oh"]).unwrap();
    assert_eq!(code.status.code(), Some(7), "{}", String::from_utf8_lossy(&code.stderr));
    assert!(String::from_utf8_lossy(&code.stderr).contains("oh"), "its standard error is ours");
}

#[expect(clippy::zombie_processes, reason = "kill_all reaps it")]
fn logs_follow(fleet: &Fleet) {
    let mut command = fleet.lab.command(&["logs", "-f", "app-web-1"]).unwrap();
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let ip = &fleet.lab.state.hosts[0].underlay_ip;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("serves port 80")), "what was said before is not shown");
    super::page(fleet, &format!("http://{ip}:8080/just-now")).unwrap();
    assert!(lines.any(|line| line.contains("GET /just-now")), "what is said now is not shown");
    process::kill_all(&[child.id()]);
}
