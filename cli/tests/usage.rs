//! What a user sees without any server: help, wrong usage, exit codes, Compose files that are wrong.

mod common;

use std::time::{Duration, Instant};

use common::{Folder, other_ca, remuda, remuda_with};

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
fn what_swarm_has_and_a_fleet_has_not_is_refused_with_what_to_type() {
    for (words, instead) in [
        (&["service", "update", "--image", "nginx:2", "shop_web"][..], "remuda up -f FILE"),
        (&["service", "update", "--help"], "remuda scale"),
        (&["service", "create", "--name", "web", "nginx"], "Compose file"),
        (&["service", "rollback", "shop_web"], "as it was before"),
        (&["swarm", "init", "--advertise-addr", "192.0.2.1"], "remuda server"),
        (&["swarm", "join", "--token", "x", "192.0.2.1:2377"], "join-token"),
        (&["swarm", "leave", "-f"], "remuda leave"),
        (&["swarm", "update", "--autolock"], "remuda server --help"),
    ] {
        let said = remuda(words);
        assert_eq!(said.code, 2, "{words:?}: {}", said.err);
        assert!(said.err.contains("there is no `remuda s") && said.err.contains(instead), "{words:?}: {}", said.err);
    }
}

#[test]
fn a_swarm_users_words_mean_the_same_files() {
    let folder = Folder::new();
    let file = folder.file("compose.yml", "services:\n  web: {command: [web]}\n");
    let ours = remuda(&["config", "-f", &file]);
    let theirs = remuda(&["stack", "config", "--compose-file", &file]);
    assert_eq!((theirs.code, &theirs.out), (0, &ours.out), "{}", theirs.err);
    let said = remuda(&["stack", "deploy", "-c", "/nonexistent.yml", "shop"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("/nonexistent.yml"), "{}", said.err);
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
fn config_shows_what_a_file_means_with_variables_from_beside_it() {
    let folder = Folder::new();
    folder.file(".env", "TAG=7\nCOUNT=2\n");
    let file = folder.file(
        "compose.yaml",
        "services:\n  web:\n    image: redis:${TAG}\n    command: [redis-server]\n    deploy: {replicas: '${COUNT}'}\n",
    );
    let said = remuda_with(&["config", "-f", &file, "-s", "shop"], &[("COUNT", "5")]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("name: shop\n") && said.out.contains("image: \"redis:7\""), "{}", said.out);
    assert!(said.out.contains("replicas: 5"), "the environment wins over .env:\n{}", said.out);
    let said = remuda(&["config", "-f", &file, "-o", "spec"]);
    let spec: remuda_api::spec::StackSpec = serde_json::from_str(&said.out).expect("a stack");
    assert_eq!(spec.services["web"].image.as_deref(), Some("redis:7"));
}

#[test]
fn config_shows_health_checks_with_every_default_and_says_where_they_are_wrong() {
    let folder = Folder::new();
    let file = folder.file(
        "compose.yaml",
        "services:
  web:
    command: [web]
    healthcheck: {test: 'curl -f http://localhost', interval: 5s}
    x-remuda:
      drain_timeout_ms: 30000
      health_check: {port: 80, request_line: 'GET \"/\" \"HTTP/1.0\"', strategy: recreateOnQuorum,
        recreate_on_quorum_strategy_config: {quorum: 2}}
",
    );
    let said = remuda(&["config", "-f", &file]);
    assert_eq!((said.code, said.err.as_str()), (0, ""), "nothing is left for later");
    for line in [
        "request_line: \"GET / HTTP/1.0\"",
        "interval: 2000",
        "strategy: recreateOnQuorum",
        "quorum: 2",
        "- \"curl -f http://localhost\"",
        "interval: \"5s\"",
        "retries: 3",
        "drain_timeout_ms: 30000",
    ] {
        assert!(said.out.contains(line), "{line} is missing:\n{}", said.out);
    }
    let file = folder
        .file("bad.yaml", "services:\n  web:\n    command: [web]\n    x-remuda:\n      health_check: {port: 0}\n");
    let said = remuda(&["config", "-f", &file]);
    assert_eq!(said.code, 1);
    let place = format!("error: {file}:5:28: services.web.x-remuda.health_check.port: expected a port");
    assert!(said.err.contains(&place) && said.err.contains("from 1 to 65535, found `0`"), "{}", said.err);
}

/// A stack of two files as Rancher 1.6 has them, with words YAML could misread.
const DOCKER_COMPOSE: &str = "version: '2'
services:
  web:
    image: web
    entrypoint: []
    command: ['no', '1.5', '- a: $$b', \"tab\\t\"]
    environment: {A: 'yes', B: '', C: \"two\\nlines\", 'éü': '#'}
    volumes: ['data:/data', '/tmp']
  lb:
    image: rancher/lb-service-haproxy
    ports: ['80:80']
volumes: {data: }
";
const RANCHER_COMPOSE: &str = "version: '2'
services:
  web:
    scale: ${SCALE}
    metadata: {version: '1.10', weight: 1.5, list: [a, {b: ~}, [c]], none: ~, empty: {}}
    health_check: {port: 80}
  lb:
    lb_config: {port_rules: [{source_port: 80, target_port: 80, service: web}]}
";

#[test]
fn a_rancher_file_beside_the_compose_file_is_read_unless_told_otherwise() {
    let folder = Folder::new();
    let file = folder.file("docker-compose.yml", DOCKER_COMPOSE);
    let rancher = folder.file("rancher-compose.yml", RANCHER_COMPOSE);
    let said = remuda_with(&["config", "-f", &file], &[("SCALE", "3")]);
    assert_eq!((said.code, said.err.as_str()), (0, &*format!("reading {file}, {rancher}\n")));
    assert!(said.out.contains("replicas: 3") && said.out.contains("source_port: 80"), "{}", said.out);
    let other = folder.file("other.yml", "services: {web: {scale: 4}, lb: {lb_config: {port_rules: [{source_port: 80, target_port: 1, service: web}]}}}\n");
    for words in [
        &["config", "-f", &file, "--rancher-file", &other][..],
        &["config", "-f", &file, "-f", &other, "--rancher-file", &other],
    ] {
        let said = remuda(words);
        assert_eq!(said.out.contains("replicas: 4"), words.len() == 5, "{}", said.err);
    }
    let said = remuda(&["config", "-f", &file, "--rancher-file", "none"]);
    assert!(said.code == 1 && said.err.contains("lb: is a balancer and has no rule"), "{}", said.err);
    folder.file("rancher-compose.yml", "services: {wbe: {scale: 3}}\n");
    let said = remuda(&["config", "-f", &file]);
    assert!(said.err.contains(&format!("error: {rancher}:1:12: services.wbe: ")), "{}", said.err);
    assert!(said.err.contains(" 1 | services: {wbe: {scale: 3}}\n   |            ^^^\n"), "{}", said.err);
}

#[test]
fn what_config_prints_reads_as_the_same_again() {
    let folder = Folder::new();
    let file = folder.file("docker-compose.yml", DOCKER_COMPOSE);
    folder.file("rancher-compose.yml", RANCHER_COMPOSE);
    let first = remuda_with(&["config", "-f", &file, "-s", "shop"], &[("SCALE", "3")]);
    assert_eq!(first.code, 0, "{}", first.err);
    for format in ["yaml", "json"] {
        let printed = remuda_with(&["config", "-f", &file, "-s", "shop", "-o", format], &[("SCALE", "3")]);
        let folder = Folder::new();
        let file = folder.file("compose.yaml", &printed.out);
        let again = remuda(&["config", "-f", &file, "-s", "shop"]);
        assert_eq!((again.code, again.err.as_str()), (0, ""), "{}", printed.out);
        assert_eq!(again.out, first.out, "{format}");
    }
    for line in [
        "name: shop_data",
        "restart_policy:",
        "stop_grace_period: \"10s\"",
        "entrypoint: []",
        "version: \"1.10\"",
        "none: null",
    ] {
        assert!(first.out.contains(line), "{line} is missing:\n{}", first.out);
    }
}

#[test]
fn the_example_of_health_checks_means_what_its_comments_say() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/health.yaml");
    let said = remuda(&["config", "-f", file, "-s", "health", "-o", "spec"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let spec: remuda_api::spec::StackSpec = serde_json::from_str(&said.out).expect("a stack");
    let (web, cache) = (&spec.services["web"], &spec.services["cache"]);
    let check = web.health_check.as_ref().expect("a check from outside");
    assert_eq!(check.request_line.as_deref(), Some("GET /ping HTTP/1.0"));
    assert_eq!(check.strategy, remuda_api::health::Strategy::RecreateOnQuorum { quorum: 2 });
    assert_eq!(web.drain_timeout_ms, 15_000);
    let command = cache.healthcheck.as_ref().expect("a check from inside");
    assert_eq!(command.argv, ["/bin/sh", "-c", "redis-cli ping | grep -q PONG"]);
}

#[test]
fn keys_that_are_understood_but_not_acted_on_are_noted_once() {
    let folder = Folder::new();
    let file = folder.file(
        "compose.yaml",
        "services:\n  a: {image: x, command: [a], build: .}\n  b: {image: x, command: [b], build: .}\n",
    );
    let said = remuda(&["config", "-f", &file]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.err.matches("note: ").count(), 1, "{}", said.err);
    assert!(said.err.contains(&format!("note: {file}:2:")), "{}", said.err);
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

/// Commands of a page: what begins with `remuda` in a block of shell or between backticks.
fn commands_of(page: &str) -> Vec<Vec<String>> {
    let blocks = page.lines().filter_map(|line| line.strip_prefix("$ remuda "));
    let quoted = page.split('`').skip(1).step_by(2).filter_map(|text| text.strip_prefix("remuda "));
    let words = |text: &str| {
        let text = text.split(" #").next().unwrap_or_default();
        text.split_whitespace().map(String::from).collect::<Vec<_>>()
    };
    blocks
        .chain(quoted)
        .map(words)
        .filter(|words: &Vec<String>| words.first().is_some_and(|word| word != "…"))
        .collect()
}

#[test]
fn every_command_of_the_page_for_swarm_users_is_one() {
    let page = include_str!("../../docs/from-swarm.md");
    let commands = commands_of(page);
    assert!(commands.len() > 50, "{} commands", commands.len());
    for words in commands {
        // Roles would start, and the word alone is no command line: their help shows that they exist.
        let is_role = ["server", "agent", "leave", "doctor"].contains(&words[0].as_str());
        let is_bare = words[0] == "up" && !words.contains(&"-s".to_owned());
        let help = (is_role || is_bare).then(|| "--help".to_owned());
        let all: Vec<&str> = words.iter().chain(&help).map(String::as_str).collect();
        let said = remuda_with(&all, &[("REMUDA_CA", "/nonexistent")]);
        assert_ne!(said.code, 2, "remuda {}: {}", words.join(" "), said.err);
    }
}
