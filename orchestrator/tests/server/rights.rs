//! Keys: made, revoked, and what those without host access may not do. Services stopped and started.

use crate::common::{Api, Fleet, web};
use remuda_api::resource::{ApiKey, Event, KeyCreated, Problem, Service, ServiceState};
use serde_json::{Value, json};

async fn new_key(fleet: &Fleet, name: &str, host_access: bool) -> Api {
    let body = json!({"name": name, "host_access": host_access});
    let (status, body) = fleet.api.send("POST", "/v1/keys", Some(body)).await;
    assert_eq!(status, 200, "{body}");
    let created: KeyCreated = serde_json::from_value(body).expect("a key");
    Api { key: created.key, ..fleet.api.clone() }
}

fn portainer() -> Value {
    let socket = json!({"kind": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock"});
    json!({"portainer": {"image": "portainer", "engine": {"mounts": [socket], "cap_add": ["SYS_ADMIN"]}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn power_over_a_host_is_warned_of_and_refused_to_keys_without_the_right() {
    let fleet = Fleet::start().await;
    let applied = fleet.api.up("app", portainer()).await;
    let socket = "service portainer mounts /var/run/docker.sock: who controls it is root on its host";
    assert_eq!((applied.warnings.len(), applied.warnings[0].as_str()), (2, socket));
    let events: Vec<Event> = fleet.api.get("/v1/events").await;
    let told: Vec<_> = events.iter().filter(|event| event.kind == "host-access").collect();
    assert_eq!((told.len(), told[0].object.as_str()), (2, "app/portainer"));
    assert!(told[0].message.ends_with("declared with key admin"), "{}", told[0].message);
    let limited = new_key(&fleet, "ci", false).await;
    let (status, body) = limited.put_stack("app", portainer()).await;
    let problem: Problem = serde_json::from_value(body).expect("a problem");
    let fields: Vec<&str> = problem.errors.iter().map(|error| error.field.as_str()).collect();
    let mount = "services.portainer.engine.mounts[0]";
    assert_eq!((status, fields), (422, vec![mount, "services.portainer.engine.cap_add[0]"]));
    let (status, body) = limited.put_stack("sly", json!({"web": web(1)})).await;
    assert_eq!((status, body["errors"][0]["field"].as_str()), (422, Some("services.web.runtime")), "{body}");
    assert_eq!(limited.up("fine", json!({"web": {"image": "nginx"}})).await.warnings, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_without_host_access_gets_no_more_by_other_ways() {
    let fleet = Fleet::start().await;
    let limited = new_key(&fleet, "ci", false).await;
    let more = json!({"name": "more", "host_access": true});
    assert_eq!(limited.send("POST", "/v1/keys", Some(more)).await.0, 403);
    assert_eq!(limited.send("DELETE", "/v1/keys/admin", None).await.0, 403);
    assert_eq!(limited.send("POST", "/v1/tokens", Some(json!({}))).await.0, 403);
    let _host = fleet.host("h1").await;
    fleet.api.until_ready(1).await;
    fleet.api.up("shop", json!({"web": web(1)})).await;
    fleet.api.until_running(1).await;
    let url = format!("{}/v1/containers/shop-web-1/exec?argv=id", limited.base);
    let upgrade = limited.client.get(url).bearer_auth(&limited.key);
    let upgrade =
        upgrade.header("connection", "upgrade").header("upgrade", "websocket").header("sec-websocket-version", "13");
    let answer = upgrade.header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==").send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 403, "a program of the host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_opens_nothing_and_the_last_one_with_host_access_stays() {
    let mut fleet = Fleet::start().await;
    assert_eq!(fleet.api.send("DELETE", "/v1/keys/admin", None).await.0, 409);
    let ann = new_key(&fleet, "ann", true).await;
    assert_eq!(fleet.api.send("POST", "/v1/keys", Some(json!({"name": "ann"}))).await.0, 422, "a name is one key's");
    assert_eq!(ann.send("DELETE", "/v1/keys/admin", None).await.0, 204);
    assert_eq!(fleet.api.send("GET", "/v1/hosts", None).await.0, 401, "at once");
    fleet.restart().await;
    let keys: Vec<ApiKey> = ann.get("/v1/keys").await;
    assert_eq!(keys.iter().map(|key| (key.name.as_str(), key.host_access)).collect::<Vec<_>>(), [("ann", true)]);
    assert!(!ann.get::<Value>("/v1/events").await.to_string().contains(&ann.key));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_service_keeps_its_declaration_and_scale_and_is_not_started_by_its_file() {
    let fleet = Fleet::start().await;
    let host = fleet.host("h1").await;
    fleet.api.until_ready(1).await;
    let file = json!({"web": web(2)});
    fleet.api.up("shop", file.clone()).await;
    fleet.api.scale("shop/web", 3).await;
    fleet.api.until_running(3).await;
    let (status, body) = fleet.api.send("POST", "/v1/services/shop/web/stop", None).await;
    assert_eq!((status, &body["changes"]), (200, &json!(["web: stopped"])));
    fleet.api.until("stopped", async |api| api.containers().await.is_empty()).await;
    let web: Service = fleet.api.get("/v1/services/shop/web").await;
    assert_eq!((web.state, web.desired, web.running), (ServiceState::Inactive, 0, 0));
    assert!(web.reason.as_deref().is_some_and(|why| why.contains("remuda start shop/web")), "{web:?}");
    let mut held = host.held.clone();
    let is_empty = |a: &Option<remuda_api::assignment::Assignment>| a.as_ref().is_some_and(|a| a.containers.is_empty());
    held.wait_for(is_empty).await.expect("told");
    let again = fleet.api.up("shop", json!({"web": {"command": ["sleep", "inf"]}})).await;
    assert!(again.warnings[0].contains("stopped by hand"), "{again:?}");
    assert!(fleet.api.containers().await.is_empty());
    let started = fleet.api.send("POST", "/v1/services/shop/web/start", None).await;
    assert_eq!(started.1["changes"], json!(["web: started"]));
    assert_eq!(fleet.api.send("POST", "/v1/services/shop/web/start", None).await.1["changes"], json!([]));
    fleet.api.until_running(3).await;
    assert_eq!(fleet.api.send("POST", "/v1/services/shop/no/stop", None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_start_on_creation_waits_to_be_started() {
    let fleet = Fleet::start().await;
    let _host = fleet.host("h1").await;
    fleet.api.until_ready(1).await;
    let file = |on_create: bool| json!({"web": {"command": ["sleep", "inf"], "start_on_create": on_create}});
    let applied = fleet.api.up("shop", file(false)).await;
    assert!(applied.warnings[0].contains("start_on_create"), "{applied:?}");
    let web: Service = fleet.api.get("/v1/services/shop/web").await;
    assert_eq!((web.state, fleet.api.containers().await.len()), (ServiceState::Inactive, 0));
    assert_eq!(fleet.api.up("shop", file(true)).await.changes.len(), 1, "who writes that it starts wants it started");
    fleet.api.until_running(1).await;
}
