//! A fleet from joining to restarting, as users of the API and hosts see it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{Api, Fleet, Mode, facts, web};
use remuda_api::link::HostFacts;
use remuda_api::resource::{ContainerState, HostState, Service, ServiceState};
use serde_json::{Value, json};

async fn three_hosts() -> (Fleet, [crate::common::Host; 3]) {
    let fleet = Fleet::start().await;
    let hosts = [fleet.host("h1").await, fleet.host("h2").await, fleet.host("h3").await];
    fleet.api.until_ready(3).await;
    (fleet, hosts)
}

async fn per_host(api: &Api) -> Vec<usize> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for container in api.containers().await {
        *counts.entry(container.host.expect("placed")).or_default() += 1;
    }
    counts.into_values().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn six_replicas_run_and_scale_to_thirty_evenly_and_back() {
    let (fleet, hosts) = three_hosts().await;
    let api = &fleet.api;
    api.up("shop", json!({"web": web(6)})).await;
    let took = api.until_running(6).await;
    println!("E6: 6 running after {took:?}");
    assert!(took < Duration::from_millis(1500), "E6: {took:?}");
    assert_eq!(per_host(api).await, [2, 2, 2]);
    api.scale("shop/web", 30).await;
    let took = api.until_running(30).await;
    println!("E7: 30 running after {took:?}");
    assert!(took < Duration::from_secs(3), "E7: {took:?}");
    assert_eq!(per_host(api).await, [10, 10, 10]);
    api.scale("shop/web", 4).await;
    api.until_running(4).await;
    let mut counts = per_host(api).await;
    counts.sort_unstable();
    assert_eq!(counts, [1, 1, 2]);
    let (full, deltas) = *hosts[0].updates.borrow();
    assert_eq!(full, 1, "the full set once");
    assert!(deltas > 3, "then deltas: {deltas}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_host_learns_addresses_vips_and_who_serves() {
    let (fleet, hosts) = three_hosts().await;
    fleet
        .api
        .up(
            "shop",
            json!({"web": {"command": ["x"], "ports": [{"target": 80, "published": 8080}],
        "mode": {"kind": "replicated", "replicas": 3}}}),
        )
        .await;
    fleet.api.until_running(3).await;
    for host in &hosts {
        let mut held = host.held.clone();
        let all_serve = |a: &remuda_api::assignment::Assignment| {
            a.endpoints.len() == 3 && a.endpoints.iter().all(|endpoint| endpoint.serving)
        };
        let waited = held.wait_for(|held| held.as_ref().is_some_and(all_serve));
        tokio::time::timeout(Duration::from_secs(5), waited).await.expect("in time").expect("the host lives");
        let assignment = host.assignment();
        assert_eq!(assignment.nodes.len(), 3);
        assert_eq!(assignment.containers.len(), 1);
        let service = &assignment.services[0];
        assert_eq!((service.vip.as_str(), service.ports[0].published), ("10.43.0.1", 8080));
        assert_ne!(service.id, service.ports[0].frontend_id, "they share one space");
        let own = assignment.own_node().expect("its own record");
        assert_eq!(own.blocks.len(), 1);
        let container = &assignment.containers[0];
        let block: ipnetwork::Ipv4Network = own.blocks[0].parse().expect("a block");
        assert!(block.contains(container.ip.parse().expect("an address")));
        assert_eq!(container.networks, ["shop_default"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_leaves_names_first_then_stops_then_is_forgotten() {
    let (fleet, hosts) = three_hosts().await;
    fleet.api.up("shop", json!({"web": web(3)})).await;
    fleet.api.until_running(3).await;
    // A host that confirms nothing holds the stop up, not the draining.
    hosts[2].mode.send_replace(Mode::Stuck);
    let stuck = tokio::time::Instant::now();
    let (status, _) = fleet.api.send("DELETE", "/v1/stacks/shop", None).await;
    assert_eq!(status, 200);
    let mut held = hosts[0].held.clone();
    let draining = |a: &remuda_api::assignment::Assignment| {
        a.endpoints.iter().all(|e| e.draining && !e.serving) && a.containers.iter().all(|c| !c.stop)
    };
    held.wait_for(|held| held.as_ref().is_some_and(draining)).await.expect("draining first");
    let stopping =
        |a: &remuda_api::assignment::Assignment| a.containers.is_empty() || a.containers.iter().all(|c| c.stop);
    held.wait_for(|held| held.as_ref().is_some_and(stopping)).await.expect("then stopping");
    assert!(stuck.elapsed() > Duration::from_millis(1500), "it waited for the stuck host: {:?}", stuck.elapsed());
    hosts[2].mode.send_replace(Mode::Running);
    fleet
        .api
        .until("the stack is gone", async |api: &Api| {
            api.get::<Vec<Value>>("/v1/stacks").await.is_empty() && api.containers().await.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_placed_says_why_and_is_placed_within_a_second_of_the_cure() {
    let (fleet, _hosts) = three_hosts().await;
    let api = &fleet.api;
    let rule = json!([{"key": "node.labels.zone", "equal": true, "value": "b"}]);
    api.up("shop", json!({"web": {"command": ["x"], "constraints": rule}})).await;
    let pending = &api.containers().await[0];
    assert_eq!(pending.state, ContainerState::Pending);
    assert_eq!(pending.reason.as_deref(), Some("0/3 hosts: 3 lack label zone=b"));
    assert_eq!((&pending.host, &pending.ip, pending.pid), (&None, &None, None));
    let (status, body) = api.send("PATCH", "/v1/hosts/h2", Some(json!({"labels": {"zone": "b"}}))).await;
    assert_eq!((status, &body["labels"]), (200, &json!({"zone": "b"})));
    let took = api.until_running(1).await;
    assert!(took < Duration::from_secs(1), "E24: {took:?}");
    assert_eq!(api.containers().await[0].host.as_deref(), Some("h2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_host_ports_are_never_given_twice() {
    let (fleet, _hosts) = three_hosts().await;
    let api = &fleet.api;
    let services = json!({
        "big": {"command": ["x"], "resources": {"reserve_memory_bytes": 4_u64 << 30}, "mode": {"kind": "replicated", "replicas": 7}},
        "edge": {"command": ["x"], "ports": [{"target": 80, "published": 8080, "mode": "host"}], "mode": {"kind": "replicated", "replicas": 4}},
    });
    api.up("shop", services).await;
    api.until("9 running", async |api: &Api| {
        api.containers().await.iter().filter(|c| c.state == ContainerState::Running).count() == 9
    })
    .await;
    let pending: Vec<_> = api.containers().await.into_iter().filter(|c| c.state == ContainerState::Pending).collect();
    let reasons: Vec<_> = pending.iter().map(|c| (c.service.as_str(), c.reason.as_deref().unwrap_or(""))).collect();
    let memory = "memory: needs 4 GiB, best host has 0 free";
    assert_eq!(reasons[0], ("big", memory));
    let (edge, why) = reasons[1];
    assert!(edge == "edge" && why.starts_with("0/3 hosts: 3 port 8080/tcp held by shop-edge-"), "{why}");
    assert!(["on h1", "on h2", "on h3"].iter().all(|host| why.contains(host)), "{why}");
    // Room appears: the waiting one takes it.
    api.scale("shop/edge", 3).await;
    api.scale("shop/big", 6).await;
    api.until_running(9).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_global_service_follows_hosts_and_labels() {
    let fleet = Fleet::start().await;
    let _h1 = fleet.host("h1").await;
    fleet.api.until_ready(1).await;
    fleet.api.up("mon", json!({"node": {"command": ["x"], "mode": {"kind": "global"}}})).await;
    fleet.api.until_running(1).await;
    let _h2 = fleet.host("h2").await;
    fleet.api.until_running(2).await;
    assert_eq!(per_host(&fleet.api).await, [1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn depends_on_holds_placement_until_the_other_service_runs() {
    let fleet = Fleet::start().await;
    let services = json!({
        "api": {"command": ["x"], "depends_on": {"db": "service_started"}},
        "db": {"command": ["x"], "constraints": [{"key": "node.labels.disk", "equal": true, "value": "ssd"}]},
    });
    let _h1 = fleet.host("h1").await;
    fleet.api.until_ready(1).await;
    fleet.api.up("shop", services).await;
    let api_container: remuda_api::resource::Container = fleet.api.get("/v1/containers/shop-api-1").await;
    assert_eq!(api_container.reason.as_deref(), Some("waits for db to start"));
    fleet.api.send("PATCH", "/v1/hosts/h1", Some(json!({"labels": {"disk": "ssd"}}))).await;
    fleet.api.until_running(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_is_suspect_then_dead_keeps_its_containers_and_comes_back() {
    let fleet = Fleet::start().await;
    let h1 = fleet.host("h1").await;
    fleet.api.until_ready(1).await;
    fleet.api.up("shop", json!({"web": web(1)})).await;
    fleet.api.until_running(1).await;
    h1.mode.send_replace(Mode::Silent);
    let state_is = |wanted: HostState| async move |api: &Api| api.hosts().await[0].state == wanted;
    let suspect = fleet.api.until("suspect", state_is(HostState::Suspect)).await;
    assert!((1500..3000).contains(&(suspect.as_millis() as u64)), "{suspect:?}");
    fleet.api.until("dead", state_is(HostState::Dead)).await;
    assert_eq!(fleet.api.containers().await[0].host.as_deref(), Some("h1"), "nothing moves");
    h1.mode.send_replace(Mode::Running);
    fleet.api.until("ready", state_is(HostState::Ready)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_knows_everything_and_no_container_is_taken_out_of_service() {
    let (mut fleet, hosts) = three_hosts().await;
    fleet.api.up("shop", json!({"web": web(6)})).await;
    fleet.api.until_running(6).await;
    let before = fleet.api.containers().await;
    fleet.restart().await;
    let first = fleet.api.containers().await;
    assert_eq!(first, before, "from the first answer on");
    let took = fleet.api.until_ready(3).await;
    assert!(took < Duration::from_secs(5), "E11: {took:?}");
    for host in &hosts {
        let assignment = host.assignment();
        assert!(assignment.endpoints.iter().all(|endpoint| endpoint.serving));
        assert_eq!(host.updates.borrow().0, 2, "a full set for each connection");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_replicas_keeps_the_scale_and_the_same_file_changes_nothing() {
    let (fleet, _hosts) = three_hosts().await;
    let file = json!({"web": {"command": ["x"]}, "old": {"command": ["x"]}});
    let first = fleet.api.up("shop", file.clone()).await;
    assert_eq!(first.changes, ["old: created", "web: created"]);
    fleet.api.scale("shop/web", 3).await;
    fleet.api.until_running(4).await;
    let again = fleet.api.up("shop", file).await;
    assert_eq!(again.changes, [""; 0]);
    let service: Service = fleet.api.get("/v1/services/shop/web").await;
    assert_eq!((service.desired, service.running, service.state), (3, 3, ServiceState::Active));
    let smaller = json!({"spec": {"name": "shop", "services": {"web": {"command": ["y"]}}}});
    let (_, applied) = fleet.api.send("PUT", "/v1/stacks/shop", Some(smaller.clone())).await;
    assert_eq!((&applied["changes"], &applied["surplus"]), (&json!(["web: containers replaced"]), &json!(["old"])));
    let mut pruned = smaller;
    pruned["prune"] = json!(true);
    let (_, applied) = fleet.api.send("PUT", "/v1/stacks/shop", Some(pruned)).await;
    assert_eq!(applied["changes"], json!(["old: removed"]));
    fleet.api.until_running(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_host_is_locked_out_and_its_containers_move() {
    let (fleet, hosts) = three_hosts().await;
    fleet.api.up("shop", json!({"web": web(3)})).await;
    fleet.api.until_running(3).await;
    let (status, _) = fleet.api.send("DELETE", "/v1/hosts/h3", None).await;
    assert_eq!(status, 204);
    fleet.api.until_running(3).await;
    assert_eq!(per_host(&fleet.api).await.len(), 2);
    let mut client = fleet.client(&hosts[2].identity).await;
    let request = remuda_api::link::AssignRequest::default();
    let refused = crate::common::server_stream::<_, remuda_api::link::Update>(&mut client, "Assign", request).await;
    assert_eq!(refused.expect_err("it is out").code(), tonic::Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_takes_a_second_block_when_the_first_is_full() {
    let fleet = Fleet::start().await;
    let h1 = fleet.host_with(HostFacts { labels: vec!["zone=a".into()], ..facts() }).await;
    fleet.api.until_ready(1).await;
    fleet.api.up("shop", json!({"web": web(100)})).await;
    fleet.api.until_running(100).await;
    let assignment = h1.assignment();
    assert_eq!(assignment.own_node().expect("own").blocks, ["10.42.0.0/26", "10.42.0.64/26"]);
    let ips: std::collections::BTreeSet<_> = assignment.containers.iter().map(|c| c.ip.clone()).collect();
    assert_eq!(ips.len(), 100);
    assert_eq!(fleet.api.hosts().await[0].labels["zone"], "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_an_older_store_tells_a_host_nothing_however_far_it_counts_on() {
    let fleet = Fleet::start().await;
    let identity = fleet.join(&fleet.token(), facts()).await.expect("joins");
    let ask = async |held_generation| {
        let mut client = fleet.client(&identity).await;
        let request = remuda_api::link::AssignRequest { held_generation, facts: None };
        crate::common::server_stream::<_, remuda_api::link::Update>(&mut client, "Assign", request).await
    };
    for held in [1_000, 0] {
        let refused = ask(held).await.expect_err("refused");
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
        assert!(refused.message().contains("older than the one held, generation 1000"), "{}", refused.message());
    }
    let events = fleet.api.get::<Vec<remuda_api::resource::Event>>("/v1/events").await;
    assert_eq!(events.iter().filter(|event| event.kind == "store-rolled-back").count(), 1, "said once");
    fleet.api.up("shop", json!({"web": web(1)})).await;
    assert_eq!(fleet.api.containers().await[0].state, ContainerState::Pending, "nothing is placed there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_brings_a_listener_for_a_published_port_is_named_with_it() {
    let fleet = Fleet::start().await;
    let _h1 = fleet.host("h1").await;
    fleet.api.until_ready(1).await;
    let port = json!([{"target": 80, "published": 8080}]);
    fleet.api.up("shop", json!({"web": {"command": ["x"], "ports": port}})).await;
    fleet.api.until_running(1).await;
    let taken = HostFacts {
        name: "h2".into(),
        underlay_ip: "192.0.2.2".into(),
        listening: vec!["8080/tcp nginx".into()],
        ..facts()
    };
    let _h2 = fleet.host_with(taken).await;
    fleet.api.until_ready(2).await;
    let web: Service = fleet.api.get("/v1/services/shop/web").await;
    let expected = "port 8080/tcp is also held by nginx on h2: from outside it leads here";
    assert_eq!(web.reason.as_deref(), Some(expected));
    let (status, body) = fleet
        .api
        .put_stack("blog", json!({"web": {"command": ["x"], "ports": [{"target": 80, "published": 8080}]}}))
        .await;
    assert_eq!(status, 422, "{body}");
}
