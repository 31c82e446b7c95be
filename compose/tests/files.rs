//! Files as people have them, in the manner of the public documentation of `docker compose` and `docker stack`: each
//! `tests/corpus/NAME.yaml` loads, or is refused, as `NAME.txt` beside it says.
//!
//! `REMUDA_BLESS=1 cargo test -p remuda-compose --test files` writes what is said today; read the difference.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use remuda_api::spec::{PortSpec, PublishMode, ServiceSpec, StackSpec, VolumeSpec};
use remuda_compose::{Loaded, NamedFiles, Problem, SourceFile, Sources, load, named_files};
use serde_json::Value as Json;

/// Where the files are said to be; what they name lies in `tests/corpus/files`.
const DIRECTORY: &str = "/srv/app";

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// The names of all files that end in `ending`.
fn names(ending: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(corpus()).expect("the corpus is in the checkout").flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect()
}

#[test]
fn every_file_of_the_corpus_loads_or_is_refused_as_is_written_beside_it() {
    let is_blessing = std::env::var_os("REMUDA_BLESS").is_some();
    let mut differences = Vec::new();
    for name in names(".yaml") {
        let said = said_about(&name);
        let path = corpus().join(format!("{name}.txt"));
        if is_blessing {
            std::fs::write(&path, said).expect("the checkout can be written");
            continue;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if said != expected {
            differences.push(format!("{name}.yaml\n--- expected\n{expected}--- found\n{said}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_expectation_has_its_file_and_there_are_many() {
    let files = names(".yaml");
    assert_eq!(names(".txt"), files);
    assert!(files.len() >= 60, "{}", files.len());
}

#[test]
fn every_stack_of_the_corpus_prints_as_a_file_that_means_the_same() {
    for name in names(".yaml") {
        if let Ok(loaded) = read(&name) {
            common::assert_prints_what_it_means(&loaded.spec);
        }
    }
}

#[test]
fn every_refusal_says_what_to_do() {
    for name in names(".yaml") {
        for problem in read(&name).err().unwrap_or_default() {
            let is_advice = ["expected", "needs", ": ", "did you mean", "may hold"]
                .iter()
                .any(|part| problem.message.contains(part));
            assert!(is_advice && problem.message.len() > 30, "{name}: {problem}");
        }
    }
}

fn read(name: &str) -> Result<Loaded, Vec<Problem>> {
    let path = format!("{name}.yaml");
    let text = std::fs::read_to_string(corpus().join(&path)).expect("a file of the corpus");
    let files = [SourceFile { path, text }];
    let env =
        [("HOME", "/home/me"), ("PWD", DIRECTORY), ("TAG", "1.27"), ("EMPTY", ""), ("GITLAB_HOME", "/srv/gitlab")];
    let env = BTreeMap::from(env.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let sources = Sources { directory: DIRECTORY, ..Sources::new(&files, &env, "shop") };
    let named: NamedFiles = named_files(&sources).into_iter().filter_map(named_file).collect();
    load(&Sources { named: &named, ..sources })
}

fn named_file(path: String) -> Option<(String, Result<String, String>)> {
    let below = Path::new(&path).strip_prefix(DIRECTORY).ok()?;
    let text = std::fs::read_to_string(corpus().join("files").join(below)).ok()?;
    Some((path, Ok(text)))
}

/// What the reader of a file is told, and what comes of it: one line each.
fn said_about(name: &str) -> String {
    let mut said = String::new();
    let prefix = format!("{name}.yaml:");
    match read(name) {
        Ok(loaded) => {
            said += "loads\n";
            for notice in &loaded.notices {
                let _ = writeln!(said, "note {}", notice.to_string().trim_start_matches(&prefix));
            }
            describe(&loaded.spec, &mut said);
        }
        Err(problems) => {
            said += "refused\n";
            for problem in &problems {
                let _ = writeln!(said, "error {}", problem.to_string().trim_start_matches(&prefix));
            }
        }
    }
    said
}

/// Everything of the stack that is not a default.
fn describe(spec: &StackSpec, said: &mut String) {
    for (name, service) in &spec.services {
        let _ = writeln!(said, "service {name}");
        differences(&json(service), &json(&ServiceSpec::default()), said);
    }
    for (name, network) in &spec.networks {
        let _ = writeln!(said, "network {name} {}", compact(&json(network)));
    }
    for (name, volume) in &spec.volumes {
        let _ = writeln!(said, "volume {name}");
        differences(&json(volume), &json(&VolumeSpec::default()), said);
    }
}

fn json(value: &impl serde::Serialize) -> Json {
    serde_json::to_value(value).expect("plain data")
}

fn differences(value: &Json, default: &Json, said: &mut String) {
    for (key, value) in value.as_object().into_iter().flatten().filter(|(key, value)| default[key.as_str()] != **value)
    {
        if key == "engine" {
            differences(value, &default["engine"], said);
            continue;
        }
        let shown = if key == "ports" { ports(value) } else { compact(value).to_string() };
        let _ = writeln!(said, "  {key}: {shown}");
    }
}

/// `8080:80/tcp` each, `host` behind where only one host answers.
fn ports(value: &Json) -> String {
    let ports: Vec<PortSpec> = serde_json::from_value(value.clone()).expect("ports");
    let shown = ports.iter().map(|port| {
        let published = port.published.map_or(String::new(), |published| format!("{published}:"));
        let mode = if port.mode == PublishMode::Host { " host" } else { "" };
        format!("{published}{}/{}{mode}", port.target, port.protocol.name())
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// JSON without what is empty.
fn compact(value: &Json) -> Json {
    let is_empty = |value: &Json| match value {
        Json::Null | Json::Bool(false) => true,
        Json::Number(number) => number.as_i64() == Some(0),
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(_) | Json::Bool(true) => false,
    };
    match value {
        Json::Array(items) => items.iter().map(compact).collect(),
        Json::Object(entries) => {
            let entries = entries.iter().filter(|(_, value)| !is_empty(value));
            Json::Object(entries.map(|(key, value)| (key.clone(), compact(value))).collect())
        }
        other => other.clone(),
    }
}
