//! What a Swarm user sees without any server: their words taken, refused with what to type, and their page of the docs.

mod common;

use common::{Folder, remuda, remuda_with};

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
