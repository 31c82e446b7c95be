//! What the test files share.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;

use remuda_api::spec::{NetworkMode, RuntimeKind, ServiceMode, ServiceSpec, StackSpec};
use remuda_compose::{Loaded, Problem, SourceFile, Sources, load, print};

pub const STACK: &str = "shop";
/// A Compose file for a Rancher file to lie over.
pub const WEB: &str = "services: {web: {image: nginx}, db: {image: redis}}\n";
/// A Compose file with a balancer `lb` on 80.
pub const BALANCED: &str = "
version: '2'
services:
  web: {image: nginx}
  lb:
    image: rancher/lb-service-haproxy
    ports: ['80:80']
";

pub fn try_load(text: &str) -> Result<Loaded, Vec<Problem>> {
    let env = [("TAG", "1.27"), ("PORT", "8080"), ("SECRET", "s3cret"), ("EMPTY", ""), ("HOME", "/home/me")];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let file = SourceFile { path: "compose.yml".to_owned(), text: text.to_owned() };
    let env = BTreeMap::from(env);
    load(&Sources { directory: "/srv/app", ..Sources::new(&[file], &env, STACK) })
}

pub fn loaded(text: &str) -> Loaded {
    let loaded = try_load(text);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{text}\nis refused: {}", lines(&problems).join("\n")));
    assert_prints_what_it_means(&loaded.spec);
    loaded
}

/// The printed stack reads as the same stack, and prints as the same text.
pub fn assert_prints_what_it_means(spec: &StackSpec) {
    let printed = serde_json::to_string_pretty(&print(spec)).expect("JSON");
    let files = [SourceFile { path: "printed.json".to_owned(), text: printed.clone() }];
    let again = load(&Sources::new(&files, &BTreeMap::new(), &spec.name));
    let again = again.unwrap_or_else(|problems| panic!("{printed}\nis refused: {}", lines(&problems).join("\n"))).spec;
    assert_eq!(serde_json::to_string_pretty(&print(&again)).expect("JSON"), printed);
    assert_eq!(spelt_out(again), spelt_out(spec.clone()), "{printed}");
}

/// The stack with what printing writes out, so that nothing else may differ.
fn spelt_out(mut spec: StackSpec) -> StackSpec {
    for (key, volume) in &mut spec.volumes {
        volume.name.get_or_insert_with(|| format!("{}_{key}", spec.name));
    }
    for service in spec.services.values_mut() {
        if service.mode == (ServiceMode::Replicated { replicas: None }) {
            service.mode = ServiceMode::Replicated { replicas: Some(1) };
        }
        if service.network_mode == NetworkMode::Managed && service.networks.is_empty() {
            service.networks.insert("default".to_owned(), Default::default());
        }
        if service.image.is_none() {
            service.runtime = Some(RuntimeKind::Process);
        }
        for mount in service.engine.mounts.iter_mut().filter(|mount| mount.kind != "volume") {
            // Docker takes it there too, and it means nothing.
            mount.no_copy = false;
        }
        for option in &mut service.engine.security_opt {
            option.retain(|c| !c.is_whitespace());
        }
        if service.balancer.is_some() || service.external.is_some() {
            // Nothing runs that these could say anything about.
            let ServiceSpec { image, labels, ports, networks, health_check, balancer, external, .. } = service.clone();
            *service =
                ServiceSpec { image, labels, ports, networks, health_check, balancer, external, ..Default::default() };
        }
    }
    spec
}

pub fn spec(text: &str) -> StackSpec {
    loaded(text).spec
}

/// Service `web` with an image and these further keys (two blanks in front of each line are added).
pub fn web(keys: &str) -> ServiceSpec {
    spec(&web_file(keys)).services.remove("web").expect("web")
}

pub fn web_file(keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    format!("services:\n  web:\n    image: nginx\n{keys}")
}

/// Every problem as printed, `compose.yml:` cut off.
pub fn problems(text: &str) -> Vec<String> {
    let problems = try_load(text).err().unwrap_or_default();
    for problem in &problems {
        assert!(
            text.get(problem.at.offset_bytes..problem.at.offset_bytes + problem.at.len_bytes).is_some(),
            "{problem:?}"
        );
    }
    lines(&problems)
}

pub fn notices(text: &str) -> Vec<String> {
    let notices = loaded(text).notices;
    notices.iter().map(|notice| notice.to_string().trim_start_matches("compose.yml:").to_owned()).collect()
}

fn lines(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(|problem| problem.to_string().trim_start_matches("compose.yml:").to_owned()).collect()
}

/// `docker-compose.yml` and `rancher-compose.yml`.
pub fn try_both(compose: &str, rancher: &str) -> Result<Loaded, Vec<Problem>> {
    let env = BTreeMap::from([("SCALE".to_owned(), "3".to_owned())]);
    let file = |name: &str, text: &str| SourceFile { path: name.to_owned(), text: text.to_owned() };
    let (files, rancher) = ([file("docker-compose.yml", compose)], file("rancher-compose.yml", rancher));
    load(&Sources { rancher: Some(&rancher), ..Sources::new(&files, &env, STACK) })
}

pub fn both(compose: &str, rancher: &str) -> StackSpec {
    let loaded = try_both(compose, rancher);
    let loaded =
        loaded.unwrap_or_else(|problems| panic!("{compose}{rancher}\nis refused: {}", lines(&problems).join("\n")));
    assert_prints_what_it_means(&loaded.spec);
    loaded.spec
}

/// Every problem as printed, with the name of its file shortened to `docker` or `rancher`.
pub fn both_problems(compose: &str, rancher: &str) -> Vec<String> {
    let problems = try_both(compose, rancher).err().unwrap_or_default();
    for problem in &problems {
        let text = if &*problem.at.file == "docker-compose.yml" { compose } else { rancher };
        let end = problem.at.offset_bytes + problem.at.len_bytes;
        assert!(text.get(problem.at.offset_bytes..end).is_some(), "{problem:?}");
    }
    problems.iter().map(|problem| problem.to_string().replacen("-compose.yml", "", 1)).collect()
}

pub fn both_notices(compose: &str, rancher: &str) -> Vec<String> {
    let loaded = try_both(compose, rancher).unwrap_or_else(|problems| panic!("{}", lines(&problems).join("\n")));
    loaded.notices.iter().map(|notice| notice.to_string().replacen("-compose.yml", "", 1)).collect()
}
