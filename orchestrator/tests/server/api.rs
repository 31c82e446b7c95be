//! The API towards people: keys, problems, everything wrong at once.

use crate::common::{Fleet, facts, web};
use remuda_api::link::HostFacts;
use remuda_api::resource::{Event, Problem};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_or_wrong_key_is_401_with_a_problem_body_and_health_needs_none() {
    let fleet = Fleet::start().await;
    for key in ["", "nonsense", &format!("{}x", fleet.api.key)] {
        let request = fleet.api.client.get(format!("{}/v1/hosts", fleet.api.base));
        let response = if key.is_empty() { request } else { request.bearer_auth(key) }.send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 401);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.json::<Problem>().await.expect("a problem").status, 401);
    }
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        let response = fleet.api.client.get(format!("{}{path}", fleet.api.base)).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_key_is_readable_by_its_owner_only_and_nowhere_in_the_store() {
    use std::os::unix::fs::PermissionsExt;
    let fleet = Fleet::start().await;
    for file in ["admin.key", "ca.key"] {
        let mode = fleet.dir.path().join(file).metadata().expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let store = std::fs::read(fleet.dir.path().join("state.redb")).expect("the store");
    assert!(!store.windows(fleet.api.key.len()).any(|window| window == fleet.api.key.as_bytes()));
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_json_unknown_fields_and_unknown_paths_are_4xx_with_problems() {
    let fleet = Fleet::start().await;
    let api = &fleet.api;
    let put = async |body: &str| {
        let request = api.client.put(format!("{}/v1/stacks/shop", api.base)).bearer_auth(&api.key);
        let response =
            request.header("content-type", "application/json").body(body.to_owned()).send().await.expect("an answer");
        let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
        assert_eq!(kind, "application/problem+json");
        (response.status().as_u16(), response.json::<Problem>().await.expect("a problem"))
    };
    assert_eq!(put("{\"spec\":").await.0, 400);
    let (status, problem) = put(r#"{"spec": {"name": "shop", "services": {"web": {"replica": 3}}}}"#).await;
    assert_eq!(status, 422);
    assert!(problem.errors[0].message.contains("replica"), "{problem:?}");
    assert_eq!(problem.errors[0].field, "services.web.replica");
    let (status, problem) =
        put(r#"{"spec": {"name": "shop", "services": {"web": {"ports": [{"target": 70000}]}}}}"#).await;
    assert_eq!((status, problem.errors[0].field.as_str()), (422, "services.web.ports[0].target"));
    assert_eq!(put(&" ".repeat(5 << 20)).await.0, 413);
    assert_eq!(api.send("GET", "/v1/nothing", None).await.0, 404);
    assert_eq!(api.send("DELETE", "/v1/version", None).await.0, 405);
    assert_eq!(api.send("GET", "/v1/containers?stacks=a", None).await.0, 422);
    assert_eq!(api.send("GET", "/v1/stacks/none", None).await.0, 404);
    assert_eq!(api.send("DELETE", "/v1/stacks/none", None).await.0, 404);
    let stacks: Vec<Value> = api.get("/v1/stacks").await;
    assert_eq!(stacks, Vec::<Value>::new(), "nothing changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_wrong_with_a_stack_is_told_at_once() {
    let fleet = Fleet::start().await;
    let _host = fleet.host_with(HostFacts { listening: vec!["9100/tcp node_exporter".into()], ..facts() }).await;
    fleet.api.until_ready(1).await;
    fleet.api.up("first", json!({"web": {"command": ["x"], "ports": [{"target": 80, "published": 8080}]}})).await;
    fleet.api.up("a-b", json!({"c": {"command": ["x"]}})).await;
    let services = json!({
        "vip": {"command": ["x"]},
        "a": {"image": "nginx"},
        "b": {"command": ["x"], "depends_on": {"c": "service_started", "nobody": "service_started"}},
        "c": {"command": ["x"], "depends_on": {"b": "service_started"}},
        "d": {"command": ["x"], "ports": [{"target": 0}, {"target": 80, "published": 22}, {"target": 80, "published": 61000},
            {"target": 80, "published": 8080}, {"target": 80, "published": 9100}, {"target": 80, "published": 81}]},
        "e": {"command": ["x"], "ports": [{"target": 80, "published": 81}], "networks": {"front": {}}},
        "f": {"command": ["x"], "network_mode": "none", "ports": [{"target": 80, "published": 82}]},
        "g": {"command": ["x"], "mode": {"kind": "replicated", "replicas": 1_000_000_000}},
        "h": {"command": ["x"], "constraints": [{"key": "node.role", "equal": true, "value": "manager"}],
            "resources": {"reserve_memory_bytes": 2, "limit_memory_bytes": 1}},
        "H": {"command": ["x"]},
    });
    let (status, body) = fleet.api.put_stack("shop", services).await;
    assert_eq!(status, 422);
    let problem: Problem = serde_json::from_value(body).expect("a problem");
    let mut fields: Vec<&str> = problem.errors.iter().map(|error| error.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "services.a.command",
            "services.b.depends_on",
            "services.b.depends_on.nobody",
            "services.d.ports[0].target",
            "services.d.ports[1].published",
            "services.d.ports[2].published",
            "services.d.ports[3].published",
            "services.d.ports[4].published",
            "services.e.networks.front",
            "services.e.ports[0].published",
            "services.f.ports",
            "services.g.mode.replicas",
            "services.h",
            "services.h.constraints[0]",
            "services.h.resources",
            "services.vip",
        ]
    );
    let text = serde_json::to_string(&problem).expect("text");
    for words in ["b -> c -> b", "node_exporter on host h1", "service `web` of stack `first`", "reserved for ssh"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let (status, body) = fleet.api.put_stack("a", json!({"b-c": {"command": ["x"]}})).await;
    assert_eq!(status, 422, "its containers would be named like those of a-b/c: {body}");
    let (status, _) = fleet.api.put_stack("FIRST", json!({"x": {"command": ["x"]}})).await;
    assert_eq!(status, 422, "differs in case only");
    let (status, body) =
        fleet.api.send("POST", "/v1/scale", Some(json!({"services": {"first/web": 2, "first/no": 1}}))).await;
    assert_eq!((status, body["errors"].as_array().map(Vec::len)), (422, Some(1)));
    let web: Value = fleet.api.get("/v1/services/first/web").await;
    assert_eq!(web["desired"], 1, "all or nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_published_port_may_be_kept_but_not_taken() {
    let fleet = Fleet::start().await;
    let spec = json!({"web": {"command": ["x"], "ports": [{"target": 80, "published": 8080}]}});
    fleet.api.up("shop", spec.clone()).await;
    assert_eq!(fleet.api.up("shop", spec.clone()).await.changes, [""; 0]);
    assert_eq!(fleet.api.put_stack("other", spec.clone()).await.0, 422);
    let udp = json!({"web": {"command": ["x"], "ports": [{"target": 80, "published": 8080, "protocol": "udp"}]}});
    fleet.api.up("other", udp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_passes_from_a_pruned_service_to_its_successor_and_hosts_see_one_of_them() {
    let fleet = Fleet::start().await;
    let host = fleet.host("h1").await;
    fleet.api.until_ready(1).await;
    let spec = |name: &str| json!({name: {"command": ["x"], "ports": [{"target": 80, "published": 8080}]}});
    fleet.api.up("shop", spec("old")).await;
    fleet.api.until_running(1).await;
    let (status, body) = fleet.api.put_stack("shop", spec("new")).await;
    assert_eq!(status, 422, "old would stay: {body}");
    host.mode.send_replace(crate::common::Mode::Stuck);
    let pruned = json!({"spec": {"name": "shop", "services": spec("new")}, "prune": true});
    let (status, body) = fleet.api.send("PUT", "/v1/stacks/shop", Some(pruned)).await;
    assert_eq!(status, 200, "{body}");
    let mut held = host.held.clone();
    let both = |a: &remuda_api::assignment::Assignment| a.services.len() == 2;
    let seen = held.wait_for(|held| held.as_ref().is_some_and(both)).await.expect("an assignment").clone();
    let published: Vec<_> = seen.expect("held").services.iter().map(|s| (s.name.clone(), s.ports.len())).collect();
    assert_eq!(published, [("old".to_owned(), 0), ("new".to_owned(), 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let fleet = Fleet::start().await;
    let body = json!({"spec": {"name": "shop", "services": {"web": web(2)}}, "dry_run": true});
    let (status, applied) = fleet.api.send("PUT", "/v1/stacks/shop", Some(body)).await;
    assert_eq!((status, &applied["changes"]), (200, &json!(["web: created"])));
    assert_eq!(fleet.api.get::<Vec<Value>>("/v1/stacks").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_follow_what_happens() {
    let fleet = Fleet::start().await;
    let before: Vec<Event> = fleet.api.get("/v1/events").await;
    let last = before.last().map_or(0, |event| event.id);
    let url = format!("{}/v1/events?follow=true&since={last}", fleet.api.base);
    let mut stream = fleet.api.client.get(url).bearer_auth(&fleet.api.key).send().await.expect("an answer");
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    fleet.api.up("shop", json!({"web": web(1)})).await;
    let mut text = String::new();
    while !text.contains("stack-applied") {
        text.push_str(std::str::from_utf8(&stream.chunk().await.expect("a chunk").expect("more")).expect("text"));
    }
    assert!(text.contains(&format!("id: {}", last + 1)), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_names_every_path() {
    let document: Value = serde_json::to_value(remuda_orchestrator::http::document()).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    for path in ["/v1/stacks/{stack}", "/v1/scale", "/v1/containers/{name}/exec", "/v1/hosts/{name}", "/v1/watch"] {
        assert!(paths.contains_key(path), "{path}");
    }
    assert!(document["components"]["schemas"]["StackSpec"].is_object());
}
