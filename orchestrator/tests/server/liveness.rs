//! Hosts that fall silent, as people and the other hosts see it.

use std::time::Duration;

use crate::common::{Api, Fleet, Host, Mode, web};
use remuda_api::link::PeerSeen;
use remuda_api::resource::{Event, HostState};
use serde_json::json;

async fn hosts(fleet: &Fleet, count: usize) -> Vec<Host> {
    let mut hosts = Vec::new();
    for n in 1..=count {
        hosts.push(fleet.host(&format!("h{n}")).await);
    }
    fleet.api.until_ready(count).await;
    fleet.api.up("shop", json!({"web": web(count as u32)})).await;
    fleet.api.until_running(count).await;
    hosts
}

async fn until(api: &Api, host: &str, state: HostState) -> Duration {
    let is_so = async |api: &Api| api.hosts().await.iter().any(|seen| seen.name == host && seen.state == state);
    api.until(&format!("{host} {state:?}"), is_so).await
}

async fn reason(api: &Api, host: &str) -> String {
    let found = api.hosts().await.into_iter().find(|seen| seen.name == host);
    found.and_then(|host| host.reason).unwrap_or_default()
}

async fn on(api: &Api, host: &str) -> usize {
    api.containers().await.iter().filter(|container| container.host.as_deref() == Some(host)).count()
}

async fn events(api: &Api, kind: &str) -> Vec<Event> {
    let events: Vec<Event> = api.get("/v1/events").await;
    events.into_iter().filter(|event| event.kind == kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_kernel_answers_is_control_lost_and_keeps_its_containers_until_it_does_not() {
    let fleet = Fleet::start().await;
    let hosts = hosts(&fleet, 3).await;
    let seen = |probe_ms| vec![PeerSeen { node_id: hosts[2].node_id, gossip_ms: None, probe_ms }];
    hosts[0].sees.send_replace(seen(Some(20)));
    hosts[2].mode.send_replace(Mode::Silent);
    let took = until(&fleet.api, "h3", HostState::ControlLost).await;
    assert!((4_000..5_500).contains(&took.as_millis()), "{took:?}");
    let said = reason(&fleet.api, "h3").await;
    assert!(said.ends_with("its kernel answers h1, its agent answers nobody"), "{said}");
    assert_eq!(on(&fleet.api, "h3").await, 1, "nothing moves");
    assert_eq!(events(&fleet.api, "host-suspect").await.len(), 0);
    hosts[0].sees.send_replace(seen(None));
    let took = until(&fleet.api, "h3", HostState::Dead).await;
    assert!((4_000..5_500).contains(&took.as_millis()), "{took:?}");
    let said = reason(&fleet.api, "h3").await;
    assert!(said.ends_with("h1 cannot reach its endpoint; what ran there is placed elsewhere"), "{said}");
    assert_eq!(events(&fleet.api, "host-dead").await.len(), 1);
    fleet.api.until_running(3).await;
    assert_eq!(on(&fleet.api, "h3").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_of_five_hosts_gone_at_once_are_held_with_one_alarm_even_by_a_restarted_server() {
    let mut fleet = Fleet::start().await;
    let hosts = hosts(&fleet, 5).await;
    hosts[2..].iter().for_each(|host| _ = host.mode.send_replace(Mode::Silent));
    for name in ["h3", "h4", "h5"] {
        until(&fleet.api, name, HostState::Dead).await;
        assert_eq!(on(&fleet.api, name).await, 1, "{name}");
    }
    assert!(reason(&fleet.api, "h4").await.ends_with("nothing moves before `remuda host rm --dead h4`"));
    let alarms = events(&fleet.api, "brake").await;
    assert_eq!(alarms.len(), 1);
    assert!(alarms[0].message.starts_with("h3, h4 and h5 are silent"), "{}", alarms[0].message);
    fleet.restart().await;
    until(&fleet.api, "h4", HostState::Dead).await;
    for name in ["h3", "h4", "h5"] {
        assert_eq!(on(&fleet.api, name).await, 1, "{name} after the restart");
    }
    hosts[2].mode.send_replace(Mode::Running);
    until(&fleet.api, "h3", HostState::Ready).await;
    assert_eq!(reason(&fleet.api, "h3").await, "");
    assert_eq!(events(&fleet.api, "brake").await.len(), 1, "still the one");
}
