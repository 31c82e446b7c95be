//! What `remuda config` shows of Compose files.

mod common;

use common::{Folder, remuda, remuda_with};

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
