//! What a user sees without any server: help, wrong usage, exit codes, Compose files that are wrong.

mod common;

use std::time::{Duration, Instant};

use common::{Folder, other_ca, remuda};

const COMMANDS: &[&[&str]] = &[
    &["server"],
    &["agent"],
    &["leave"],
    &["token"],
    &["token", "create"],
    &["up"],
    &["down"],
    &["ps"],
    &["services"],
    &["stacks"],
    &["hosts"],
    &["host"],
    &["host", "ls"],
    &["host", "inspect"],
    &["host", "label"],
    &["host", "drain"],
    &["host", "pause"],
    &["host", "activate"],
    &["host", "rm"],
    &["node"],
    &["node", "ls"],
    &["node", "ps"],
    &["node", "inspect"],
    &["node", "update"],
    &["node", "rm"],
    &["stack"],
    &["stack", "deploy"],
    &["stack", "ls"],
    &["stack", "ps"],
    &["stack", "services"],
    &["stack", "rm"],
    &["stack", "config"],
    &["service"],
    &["service", "ls"],
    &["service", "ps"],
    &["service", "inspect"],
    &["service", "logs"],
    &["service", "scale"],
    &["service", "rm"],
    &["swarm"],
    &["swarm", "join-token"],
    &["scale"],
    &["stop"],
    &["start"],
    &["volume"],
    &["volume", "ls"],
    &["volume", "rm"],
    &["registry"],
    &["registry", "login"],
    &["registry", "ls"],
    &["registry", "logout"],
    &["key"],
    &["key", "create"],
    &["key", "ls"],
    &["key", "rm"],
    &["logs"],
    &["exec"],
    &["inspect"],
    &["events"],
    &["wait"],
    &["dns"],
    &["config"],
    &["doctor"],
    &["man"],
    &["completion"],
    &["version"],
    &[],
    &["up"],
];

#[test]
fn every_help_has_examples() {
    for &command in COMMANDS {
        let said = remuda(&[command, &["--help"]].concat());
        assert_eq!(said.code, 0, "{command:?}");
        assert!(said.out.contains("Examples:\n  "), "{command:?} has no examples:\n{}", said.out);
    }
}

#[test]
fn the_list_of_commands_is_complete_and_hides_what_only_the_agent_starts() {
    let help = remuda(&["--help"]).out;
    let listed: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|word| !word.is_empty()))
        .collect();
    let expected = "server agent leave token up down ps services stacks hosts host scale stop start volume registry key \
                    logs exec inspect events wait dns config doctor completion man version stack service node swarm";
    assert_eq!(listed.join(" "), expected);
}

#[test]
fn a_command_of_a_later_release_is_wrong_usage() {
    for command in ["drain", "rollout", "trace"] {
        let said = remuda(&[command]);
        assert_eq!(said.code, 2);
        assert!(said.err.contains("unrecognized subcommand"), "{}", said.err);
    }
}

#[test]
fn wrong_words_end_with_2_and_say_what_is_right() {
    for (words, hint) in [
        (&["scale", "shop/web=-1"][..], "shop/web=6"),
        (&["scale", "shop/web=1", "shop/web=2"], "twice"),
        (&["scale"], "STACK/SERVICE=N"),
        (&["host", "label", "h1", "zone"], "KEY=VALUE"),
        (&["host", "drain"], "<NAME>"),
        (&["host", "drain", "h1", "--timeout", "soon"], "90s or 15m"),
        (&["host", "pause", "h1", "--detach"], "unexpected argument"),
        (&["node", "update", "h1"], "--availability active"),
        (&["node", "update", "--availability", "drained", "h1"], "[possible values: active, pause, drain]"),
        (&["node", "update", "--label-add", "zone", "h1"], "KEY=VALUE"),
        (&["logs", "web", "--tail", "0"], "1.."),
        (&["up", "-s", "a.b"], "letters, digits"),
        (&["registry", "login", "docker.io", "-u", "ann"], "--password-stdin"),
        (&["key", "create"], "<NAME>"),
        (&["stop"], "STACK[/SERVICE]"),
        (&["up", "-f", "x"], "--stack"),
        (&["up", "-s", "a", "-d", "--plan"], "cannot be used with"),
        (&["token", "create", "--uses", "0"], "1.."),
        (&["token", "create", "--ttl", "1y"], "15m"),
        (&["ps", "-o", "xml"], "json"),
        (&["wait", "shop", "--for", "ever"], "healthy"),
        (&["agent"], "--server"),
        (&["agent", "--server", "h1", "--assignment", "f"], "cannot be used with"),
        (&["agent", "--memory", "12x", "--server", "h1"], "512M"),
        (&["completion", "tcsh"], "zsh"),
        (&["up", "-s", "a", "-o", "json"], "--plan"),
        (&["stack", "deploy", "-c", "x"], "<STACK>"),
        (&["stack", "deploy", "--detach=maybe", "shop"], "true, false"),
        (&["stack", "rm"], "<STACK>"),
        (&["service", "rm", "web"], "STACK_SERVICE"),
        (&["service", "scale", "shop_web=x"], "shop/web=6"),
        (&["service", "scale", "shop_web=1", "shop_web=2"], "twice"),
        (&["swarm", "join-token", "manager"], "no managers"),
        (&["ps", "--api", "http://h1:8443"], "TLS"),
    ] {
        let said = remuda(words);
        assert_eq!(said.code, 2, "{words:?}: {}", said.err);
        assert!(said.err.contains(hint), "{words:?}: {}", said.err);
    }
}

#[test]
fn a_doctor_looks_at_this_host_without_a_server_and_has_a_cure_for_everything() {
    let folder = Folder::new();
    let data_dir = folder.path().join("agent").display().to_string();
    let words = ["doctor", "--data-dir", &data_dir, "--docker", "none"];
    let said = remuda(&[&words[..], &["-o", "json"]].concat());
    let findings: Vec<serde_json::Value> = serde_json::from_str(&said.out).expect("a JSON array");
    let fails = findings.iter().filter(|found| found["verdict"] == "fail").count();
    assert_eq!(said.code, i32::from(fails > 0), "{}{}", said.out, said.err);
    for found in &findings {
        assert_eq!(found["cure"].is_null(), found["verdict"] == "ok", "{found}");
    }
    let sections: std::collections::BTreeSet<&str> =
        findings.iter().filter_map(|found| found["section"].as_str()).collect();
    assert_eq!(sections.into_iter().collect::<Vec<_>>(), ["engine", "fleet", "kernel", "limits", "network", "time"]);
    let all = remuda(&[&words[..], &["--verbose"]].concat());
    assert!(all.out.contains("ok    fleet agent: no agent runs here"), "{}", all.out);
    assert!(!std::path::Path::new(&data_dir).exists(), "nothing is made");
    let short = remuda(&words);
    assert!(!short.out.contains("ok    ") && short.out.contains("(--verbose shows them)"), "{}", short.out);
}

#[test]
fn a_manual_page_is_written_for_every_command_and_roff_finds_nothing_wrong() {
    let folder = Folder::new();
    let dir = folder.path().join("man1");
    let said = remuda(&["man", "--dir", &dir.display().to_string()]);
    assert_eq!(said.code, 0, "{}", said.err);
    for command in COMMANDS {
        let page = dir.join(format!("{}.1", [&["remuda"], *command].concat().join("-")));
        assert!(page.exists(), "{} is missing", page.display());
    }
    assert!(remuda(&["man"]).out.contains(".SH EXAMPLES"));
    let pages: Vec<_> = std::fs::read_dir(&dir).expect("pages").flatten().map(|page| page.path()).collect();
    let lint = std::process::Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).args(&pages).output();
    let Ok(lint) = lint else { return println!("skipped the check with mandoc: it is not installed") };
    // Pages are the same whenever they are written, so they carry no date.
    let said = String::from_utf8_lossy(&lint.stdout);
    let wrong: Vec<&str> = said.lines().filter(|line| !line.contains("missing date")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn completions_exist_for_three_shells_and_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let said = remuda(&["completion", shell]);
        assert_eq!(said.code, 0, "{shell}: {}", said.err);
        for word in ["remuda", "scale", "deploy", "join-token", "with-registry-auth"] {
            assert!(said.out.contains(word), "{shell} does not know {word}");
        }
    }
}

#[test]
fn without_a_key_the_variables_to_set_are_named() {
    let folder = Folder::new();
    let missing = folder.path().join("none").display().to_string();
    let said = remuda(&["ps", "--ca", &missing]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("CA certificate") && said.err.contains("REMUDA_CA"), "{}", said.err);
}

#[test]
fn version_needs_no_server() {
    let said = remuda(&["version", "--ca", "/nonexistent"]);
    assert_eq!(said.code, 0);
    assert!(said.out.starts_with(concat!("remuda ", env!("CARGO_PKG_VERSION"))), "{}", said.out);
}

#[test]
fn every_problem_of_a_file_shows_with_its_place_and_line_and_no_server_is_asked() {
    let folder = Folder::new();
    let file = folder.file(
        "compose.yaml",
        "services:\n  web:\n    image: nginx\n    ports: [\"70000:80\"]\n    replicsa: 3\n    deploy: {replicas: -1}\n",
    );
    let begin = Instant::now();
    let said = remuda(&["up", "-f", &file, "-s", "shop"]);
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert_eq!(said.code, 1, "{}", said.err);
    for place in [":4:", ":5:", ":6:"] {
        assert!(said.err.contains(&format!("error: {file}{place}")), "{place} is missing:\n{}", said.err);
    }
    assert!(said.err.contains(" 5 |     replicsa: 3\n   |     ^^^^"), "{}", said.err);
    assert!(said.err.contains("3 problems; nothing was changed"), "{}", said.err);
}

#[test]
fn hostile_files_are_refused_in_under_a_second() {
    let folder = Folder::new();
    let mut bomb = String::from("a0: &a0 [x, x]\n");
    (1..30).for_each(|n| bomb.push_str(&format!("a{n}: &a{n} [*a{m}, *a{m}]\n", m = n - 1)));
    let files = [
        ("large.yaml", "#".repeat(50 << 20)),
        ("bomb.yaml", bomb),
        ("tabs.yaml", "services:\n\tweb:\n\t\timage: x\n".into()),
        ("twice.yaml", "services:\n  web: {image: a}\n  web: {image: b}\n".into()),
        ("deep.yaml", "[".repeat(100_000)),
        ("nul.yaml", "services: {web: {image: \"\u{0}\"}}".into()),
        ("list.yaml", "- services\n".into()),
    ];
    for (name, text) in files {
        let path = folder.file(name, text);
        let begin = Instant::now();
        let said = remuda(&["up", "-f", &path, "-s", "shop"]);
        assert_eq!(said.code, 1, "{name}: {}", said.err);
        assert!(said.err.contains(&format!("error: {path}:")), "{name}: {}", said.err);
        assert!(begin.elapsed() < Duration::from_secs(1), "{name} took {:?}", begin.elapsed());
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let said = remuda(&["config", "-f", "/nonexistent.yaml"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("/nonexistent.yaml") && said.err.contains("-f FILE"), "{}", said.err);
}

#[test]
fn a_server_that_is_not_there_is_named_with_what_to_do() {
    let folder = Folder::new();
    let ca = folder.file("ca.pem", other_ca());
    let key = folder.file("admin.key", "k\n");
    let words = ["hosts", "--api", "https://127.0.0.1:9", "--ca", &ca, "--key-file", &key];
    let said = remuda(&words);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("cannot reach the server at https://127.0.0.1:9: connection refused"), "{}", said.err);
    assert!(said.err.contains("help: ") && said.err.contains("remuda server"), "{}", said.err);
}
