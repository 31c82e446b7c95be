//! A balancer from its declaration to what hosts are told and people see.

use std::sync::Arc;

use remuda_api::link::{ContainerStatus, HostFacts, Report};
use remuda_api::resource::{HostState, ServiceState};
use remuda_api::spec::{ExternalSpec, PortSpec, PublishMode, ServiceMode, ServiceSpec, StackSpec};

use super::*;
use crate::state::{FleetRecord, Live};
use crate::{accept, declare, join, publish, reconcile, report, view};

/// A fleet of one host that does what it is told.
fn fleet() -> State {
    let record = FleetRecord {
        overlay_pools: vec!["10.42.0.0/16".parse().expect("a pool")],
        vip_pools: vec!["10.43.0.0/16".parse().expect("a pool")],
        ..FleetRecord::default()
    };
    let mut state = State { revision: 1, fleet: Arc::new(record), ..State::default() };
    let facts = HostFacts {
        name: "h1".into(),
        underlay_ip: "192.0.2.1".into(),
        protocol_version: 1,
        cpu_milli: 4000,
        memory_bytes: 4 << 30,
        ..HostFacts::default()
    };
    let id = join::join(&mut state, &facts, 0).expect("joins");
    state.live.insert(id, Live { state: HostState::Ready, generation: u64::MAX, ..Live::default() });
    state
}

fn web() -> ServiceSpec {
    ServiceSpec { command: Some(vec!["x".into()]), ..ServiceSpec::default() }
}

fn rule(source_port: u16, target_port: u16, service: &str) -> BalancerRule {
    BalancerRule { source_port, target_port, service: service.into(), ..BalancerRule::default() }
}

/// Port 8080 and 8081 lead to port 80 of web and api; port 9000 (at the VIP only) to port 9001 of api.
fn lb() -> ServiceSpec {
    let port = |published| PortSpec {
        target: 80,
        published: Some(published),
        protocol: Protocol::Tcp,
        mode: PublishMode::Ingress,
    };
    let rules = vec![rule(80, 8000, "web"), rule(80, 8000, "api"), rule(9000, 9001, "api")];
    ServiceSpec {
        ports: vec![port(8080), port(8081)],
        balancer: Some(BalancerSpec { rules }),
        ..ServiceSpec::default()
    }
}

fn declare(state: &mut State, services: &[(&str, ServiceSpec)], prune: bool) -> Vec<String> {
    let services = services.iter().map(|(name, spec)| ((*name).to_owned(), spec.clone())).collect();
    let spec = StackSpec { name: "s".into(), services, ..StackSpec::default() };
    assert_eq!(accept::stack(state, "s", &spec, prune), []);
    let changes = declare::stack(state, &spec, prune).expect("room").changes;
    step(state);
    changes
}

fn step(state: &mut State) {
    state.revision += 1;
    reconcile::reconcile(state, 0);
}

/// The host says that everything runs, or has stopped where it should.
fn settle(state: &mut State) {
    for _ in 0..4 {
        let containers = state.containers.values().map(|container| ContainerStatus {
            name: container.name.clone(),
            state: if container.stage == crate::state::Stage::Stopping { "stopped" } else { "running" }.into(),
            spec_revision: container.spec_revision,
            ..ContainerStatus::default()
        });
        let said = Report { generation: u64::MAX, containers: containers.collect(), ..Report::default() };
        let node_id = *state.nodes.keys().next().expect("a host");
        report::apply(state, node_id, &said, 0);
        step(state);
    }
}

fn seen(state: &State, name: &str) -> remuda_api::resource::Service {
    view::service(state, state.service("s", name).expect("a service"))
}

fn told(state: &State, name: &str) -> remuda_api::assignment::Service {
    let assignment = publish::assignment(state, &publish::Shared::of(state), 1);
    assignment.services.into_iter().find(|service| service.name == name).expect("a service")
}

fn id(state: &State, name: &str) -> u32 {
    state.service("s", name).expect("a service").id
}

fn scale(state: &mut State, name: &str, replicas: u32) {
    let id = id(state, name);
    declare::scale(state, id, replicas);
    step(state);
}

fn events(state: &State) -> Vec<(&str, &str)> {
    let all = state.events.iter().filter(|event| event.object == "s/lb");
    all.map(|event| (event.kind.as_str(), event.message.as_str())).collect()
}

#[test]
fn a_balancer_has_ports_and_a_vip_and_no_container_whatever_its_scale() {
    let mut state = fleet();
    let scaled = ServiceSpec { mode: ServiceMode::Replicated { replicas: Some(3) }, ..lb() };
    declare(&mut state, &[("web", web()), ("api", web()), ("lb", scaled)], false);
    assert_eq!(state.containers.keys().collect::<Vec<_>>(), ["s-api-1", "s-web-1"]);
    let (web, api) = (id(&state, "web"), id(&state, "api"));
    let told = told(&state, "lb");
    assert_eq!((told.kind.as_str(), told.endpoint_mode.as_str(), told.vip.is_empty()), ("balancer", "vip", false));
    let ports: Vec<_> = told.ports.iter().map(|p| (p.published, p.source, p.target, &p.backend_services[..])).collect();
    let both = [web.min(api), web.max(api)];
    assert_eq!(ports, [(8080, 80, 8000, &both[..]), (8081, 0, 8000, &both), (0, 9000, 9001, &[api])]);
    assert!(told.ports[0].frontend_id != 0 && told.ports[1].frontend_id != 0 && told.ports[2].frontend_id == 0);
}

#[test]
fn it_is_healthy_while_one_target_is_and_says_why_it_is_not() {
    let mut state = fleet();
    let scaled = ServiceSpec { mode: ServiceMode::Replicated { replicas: Some(3) }, ..lb() };
    declare(&mut state, &[("web", web()), ("api", web()), ("lb", scaled)], false);
    let before = seen(&state, "lb");
    assert_eq!((before.kind.as_str(), before.desired, before.running, before.healthy), ("balancer", 3, 3, 0));
    assert_eq!((before.health, before.reason.as_deref()), (Health::Initializing, Some("no healthy target: api, web")));
    settle(&mut state);
    let well = seen(&state, "lb");
    assert_eq!((well.healthy, well.health, well.reason), (3, Health::Healthy, None));
    scale(&mut state, "web", 0);
    settle(&mut state);
    assert_eq!(seen(&state, "lb").health, Health::Healthy, "api still serves");
    scale(&mut state, "api", 0);
    settle(&mut state);
    let left = seen(&state, "lb");
    assert_eq!((left.running, left.healthy, left.health), (3, 0, Health::Unhealthy));
    let said = [("service-healthy", "a target serves behind it"), ("service-unhealthy", "no healthy target: api, web")];
    assert_eq!(events(&state), said);
}

#[test]
fn its_check_on_port_42_is_listed_as_answered() {
    let mut state = fleet();
    let check = remuda_api::health::HealthCheck { port: 42, ..Default::default() };
    let checked = ServiceSpec { health_check: Some(check), ..lb() };
    declare(&mut state, &[("web", web()), ("api", web()), ("lb", checked)], false);
    settle(&mut state);
    assert_eq!(seen(&state, "lb").reason.as_deref(), Some("its check on port 42 is answered by the dataplane"));
}

#[test]
fn scaled_to_nothing_it_leads_nowhere_and_back() {
    let mut state = fleet();
    declare(&mut state, &[("web", web()), ("api", web()), ("lb", lb())], false);
    settle(&mut state);
    scale(&mut state, "lb", 0);
    assert!(told(&state, "lb").ports.iter().all(|port| port.backend_services.is_empty()));
    assert_eq!((seen(&state, "lb").desired, seen(&state, "lb").healthy), (0, 0));
    scale(&mut state, "lb", 1);
    assert_eq!(seen(&state, "lb").health, Health::Healthy);
}

#[test]
fn one_that_is_stopped_by_hand_leads_nowhere_until_it_is_started() {
    let mut state = fleet();
    declare(&mut state, &[("web", web()), ("api", web()), ("lb", lb())], false);
    settle(&mut state);
    let id = id(&state, "lb");
    declare::rest(&mut state, id, Some(crate::state::Rest::Stopped));
    step(&mut state);
    assert!(told(&state, "lb").ports.iter().all(|port| port.backend_services.is_empty()));
    let stopped = seen(&state, "lb");
    assert_eq!((stopped.state, stopped.desired, stopped.healthy), (ServiceState::Inactive, 0, 0));
    assert!(stopped.reason.is_some_and(|why| why.starts_with("stopped by hand")));
    declare::rest(&mut state, id, None);
    step(&mut state);
    assert_eq!((seen(&state, "lb").state, seen(&state, "lb").health), (ServiceState::Active, Health::Healthy));
}

#[test]
fn a_target_that_goes_and_comes_back_is_found_by_its_name() {
    let mut state = fleet();
    declare(&mut state, &[("web", web()), ("api", web()), ("lb", lb())], false);
    settle(&mut state);
    let before = id(&state, "web");
    let only_api = rule(80, 8000, "api");
    let narrow = ServiceSpec { balancer: Some(BalancerSpec { rules: vec![only_api] }), ..lb() };
    declare(&mut state, &[("api", web()), ("lb", narrow)], true);
    settle(&mut state);
    assert!(state.service("s", "web").is_none());
    declare(&mut state, &[("web", web()), ("api", web()), ("lb", lb())], false);
    settle(&mut state);
    assert_ne!(id(&state, "web"), before);
    assert!(told(&state, "lb").ports[0].backend_services.contains(&id(&state, "web")));
}

#[test]
fn a_removed_target_of_another_stack_serves_nobody_and_the_port_stays() {
    let mut state = fleet();
    let other = StackSpec { name: "o".into(), services: [("api".to_owned(), web())].into(), ..StackSpec::default() };
    declare::stack(&mut state, &other, false).expect("room");
    let rules = vec![BalancerRule { stack: Some("o".into()), ..rule(80, 80, "api") }];
    declare(&mut state, &[("lb", ServiceSpec { balancer: Some(BalancerSpec { rules }), ..lb() })], false);
    settle(&mut state);
    assert_eq!(seen(&state, "lb").health, Health::Healthy);
    declare::remove_stack(&mut state, "o").expect("a stack");
    settle(&mut state);
    let told = told(&state, "lb");
    assert!(told.ports.len() == 2 && told.ports.iter().all(|port| port.backend_services.is_empty()), "{told:?}");
    assert_eq!(seen(&state, "lb").reason.as_deref(), Some("no healthy target: o/api"));
}

#[test]
fn a_stack_that_is_removed_keeps_its_balancer_until_those_behind_it_have_drained() {
    let mut state = fleet();
    declare(&mut state, &[("web", web()), ("api", web()), ("lb", lb())], false);
    settle(&mut state);
    declare::remove_stack(&mut state, "s").expect("a stack");
    step(&mut state);
    assert_eq!(seen(&state, "lb").state, ServiceState::Removing);
    assert_eq!(told(&state, "lb").ports.len(), 3, "flows through it go on");
    settle(&mut state);
    assert!(state.services.is_empty() && state.stacks.is_empty());
}

#[test]
fn a_service_that_becomes_a_balancer_loses_its_containers_and_gets_them_back() {
    let mut state = fleet();
    declare(&mut state, &[("web", web()), ("api", web()), ("lb", web())], false);
    settle(&mut state);
    assert!(state.containers.contains_key("s-lb-1"));
    assert_eq!(declare(&mut state, &[("web", web()), ("api", web()), ("lb", lb())], false), ["lb: changed in place"]);
    settle(&mut state);
    assert!(!state.containers.contains_key("s-lb-1"));
    declare(&mut state, &[("web", web()), ("api", web()), ("lb", web())], false);
    settle(&mut state);
    assert_eq!(seen(&state, "lb").healthy, 1);
}

#[test]
fn an_external_service_is_told_with_what_it_leads_to_and_is_as_healthy_as_declared() {
    let mut state = fleet();
    let leads = ExternalSpec { addresses: vec!["192.0.2.7".into()], hostname: None };
    declare(&mut state, &[("db", ServiceSpec { external: Some(leads), ..ServiceSpec::default() })], false);
    let told = told(&state, "db");
    assert_eq!(
        (told.kind.as_str(), told.vip.as_str(), &told.addresses[..]),
        ("external", "", &["192.0.2.7".into()][..])
    );
    let seen = seen(&state, "db");
    assert_eq!((seen.kind.as_str(), seen.desired, seen.healthy, seen.health), ("external", 1, 1, Health::Healthy));
    assert!(state.containers.is_empty());
}
