//! What images need: hosts with an engine, the host of a volume, credentials for registries.

use crate::common::{Fleet, Host, facts};
use crate::session::answer;
use remuda_api::link::*;
use remuda_api::resource::{ContainerState, Problem, Volume};
use serde_json::{Value, json};

async fn host(fleet: &Fleet, n: u8, engine: bool) -> Host {
    let mut facts = HostFacts { name: format!("h{n}"), underlay_ip: format!("192.0.2.{n}"), ..facts() };
    if engine {
        facts.runtimes.push("docker".into());
        facts.engine = "docker 20.10.24".into();
    }
    fleet.host_with(facts).await
}

fn db() -> Value {
    let mount = json!({"kind": "volume", "source": "data", "target": "/data"});
    json!({"db": {"image": "db", "engine": {"mounts": [mount]}}})
}

async fn up_with_volume(fleet: &Fleet, services: Value) -> (u16, Value) {
    let body = json!({"spec": {"name": "shop", "services": services, "volumes": {"data": {}}}});
    fleet.api.send("PUT", "/v1/stacks/shop", Some(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_needs_a_host_with_an_engine_and_says_so_while_there_is_none() {
    let fleet = Fleet::start().await;
    let image = json!({"web": {"image": "nginx"}});
    fleet.api.up("early", image.clone()).await;
    let _bare = host(&fleet, 1, false).await;
    fleet.api.until_ready(1).await;
    let (status, body) = fleet.api.put_stack("late", image).await;
    let problem: Problem = serde_json::from_value(body).expect("a problem");
    assert_eq!((status, problem.errors[0].field.as_str()), (422, "services.web.command"));
    assert!(problem.detail.contains("install docker"), "{problem:?}");
    fleet
        .api
        .until("a reason", async |api| {
            let why = api.containers().await[0].reason.clone();
            why.as_deref() == Some("0/1 hosts: 1 have no docker engine")
        })
        .await;
    let engine = host(&fleet, 2, true).await;
    fleet.api.until_running(1).await;
    let told = engine.assignment().containers;
    assert_eq!((told[0].runtime.as_str(), told[0].image.as_str()), ("docker", "nginx"));
    let explicit = json!({"web": {"image": "nginx", "runtime": "process", "engine": {"privileged": true}}});
    let (status, body) = fleet.api.put_stack("wrong", explicit).await;
    let problem: Problem = serde_json::from_value(body).expect("a problem");
    let fields: Vec<&str> = problem.errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!((status, fields), (422, vec!["services.web.command", "services.web.engine.privileged"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_is_listed_kept_and_removed_on_its_host() {
    let fleet = Fleet::start().await;
    let engine = host(&fleet, 1, true).await;
    fleet.api.until_ready(1).await;
    let missing =
        json!({"db": {"image": "db", "engine": {"mounts": [{"kind": "volume", "source": "no", "target": "/x"}]}}});
    let (status, body) = up_with_volume(&fleet, missing).await;
    assert_eq!((status, body["errors"][0]["field"].as_str()), (422, Some("services.db.engine.mounts[0].source")));
    assert_eq!(up_with_volume(&fleet, db()).await.0, 200);
    fleet.api.until_running(1).await;
    let told = engine.assignment().containers.remove(0).engine.expect("an engine's");
    assert_eq!(told.mounts[0].source, "shop_data");
    let volumes: Vec<Volume> = fleet.api.get("/v1/volumes?stack=shop").await;
    let expected = Volume {
        name: "shop_data".into(),
        stack: Some("shop".into()),
        driver: "local".into(),
        host: Some("h1".into()),
        used_by: vec!["shop-db-1".into()],
    };
    assert_eq!(volumes, [expected]);
    let (status, body) = fleet.api.send("DELETE", "/v1/volumes/shop_data", None).await;
    assert_eq!(status, 409);
    assert!(body["detail"].as_str().is_some_and(|why| why.contains("mounted by shop-db-1")), "{body}");
    fleet.api.send("DELETE", "/v1/stacks/shop", None).await;
    fleet.api.until("gone", async |api| api.containers().await.is_empty()).await;
    let kept: Vec<Volume> = fleet.api.get("/v1/volumes").await;
    assert_eq!(kept.len(), 1, "down keeps it");
    let (status, body) = fleet.api.send("DELETE", "/v1/volumes/shop_data", None).await;
    assert_eq!(status, 503, "its host takes no orders: {body}");
    let asked = answer(&fleet, &engine, vec![FrameKind::Error("volume is in use - [abc]".into())], false).await;
    let (status, body) = fleet.api.send("DELETE", "/v1/volumes/shop_data", None).await;
    assert_eq!(status, 409);
    assert!(body["detail"].as_str().is_some_and(|why| why.contains("in use - [abc]")), "{body}");
    let order = RemoveVolumeOrder { name: "shop_data".into() };
    assert_eq!(asked.await.expect("answered"), OrderKind::RemoveVolume(order));
    let _asked = answer(&fleet, &engine, vec![FrameKind::Exit(0)], false).await;
    assert_eq!(fleet.api.send("DELETE", "/v1/volumes/shop_data", None).await.0, 204);
    assert_eq!(fleet.api.get::<Vec<Volume>>("/v1/volumes").await, []);
    assert_eq!(fleet.api.send("DELETE", "/v1/volumes/shop_data", None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_of_a_volume_is_known_after_a_restart_of_the_server() {
    let mut fleet = Fleet::start().await;
    let _hosts = [host(&fleet, 1, true).await, host(&fleet, 2, true).await];
    fleet.api.until_ready(2).await;
    assert_eq!(up_with_volume(&fleet, db()).await.0, 200);
    fleet.api.until_running(1).await;
    let before: Vec<Volume> = fleet.api.get("/v1/volumes").await;
    fleet.restart().await;
    assert_eq!(fleet.api.get::<Vec<Volume>>("/v1/volumes").await, before);
    fleet.api.scale("shop/db", 4).await;
    fleet.api.until_running(4).await;
    let home = before[0].host.clone();
    assert!(fleet.api.containers().await.iter().all(|c| c.host == home && c.state == ContainerState::Running));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registrys_password_goes_to_hosts_with_an_engine_and_is_shown_nowhere() {
    let fleet = Fleet::start().await;
    let (bare, mut engine) = (host(&fleet, 1, false).await, host(&fleet, 2, true).await);
    fleet.api.until_ready(2).await;
    let login = json!({"username": "ann", "password": "s3cret-word"});
    let (status, body) = fleet.api.send("PUT", "/v1/registries/Registry.Example:5000", Some(login.clone())).await;
    assert_eq!((status, body), (200, json!({"address": "registry.example:5000", "username": "ann"})));
    let knows = |held: &Option<remuda_api::assignment::Assignment>| {
        let environment = held.as_ref().and_then(|held| held.environment.as_ref());
        environment.is_some_and(|environment| environment.registries.len() == 1)
    };
    let held = engine.held.wait_for(knows).await.expect("told").clone().expect("held");
    let told = &held.environment.expect("one").registries[0];
    assert_eq!((told.address.as_str(), told.password.as_str()), ("registry.example:5000", "s3cret-word"));
    // The other one is told of the same generation.
    let is_as_far = |got: &Option<remuda_api::assignment::Assignment>| {
        got.as_ref().is_some_and(|got| got.generation >= held.generation)
    };
    bare.held.clone().wait_for(is_as_far).await.expect("told");
    assert!(!knows(&Some(bare.assignment())), "it cannot pull");
    for path in ["/v1/registries", "/v1/registries/registry.example:5000", "/v1/events", "/openapi.json"] {
        let text = fleet.api.get::<Value>(path).await.to_string();
        assert!(!text.contains("s3cret-word"), "{path}");
    }
    assert_eq!(fleet.api.send("PUT", "/v1/registries/a%20b", Some(login)).await.0, 422);
    assert_eq!(fleet.api.send("DELETE", "/v1/registries/registry.example:5000", None).await.0, 204);
    engine.held.wait_for(|held| held.is_some() && !knows(held)).await.expect("told to forget");
    assert_eq!(fleet.api.send("DELETE", "/v1/registries/registry.example:5000", None).await.0, 404);
}
