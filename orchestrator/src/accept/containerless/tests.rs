//! What is refused of services without containers, by field and in words.

use std::collections::BTreeMap;
use std::sync::Arc;

use remuda_api::health::HealthCheck;
use remuda_api::spec::{DependsOn, PortSpec};

use super::*;
use crate::accept;
use crate::state::Service;

fn web() -> ServiceSpec {
    ServiceSpec { command: Some(vec!["x".into()]), ..ServiceSpec::default() }
}

fn rule(source_port: u16, target_port: u16, service: &str) -> BalancerRule {
    BalancerRule { source_port, target_port, service: service.into(), ..BalancerRule::default() }
}

fn leading(rules: &[BalancerRule]) -> ServiceSpec {
    ServiceSpec { balancer: Some(BalancerSpec { rules: rules.to_vec() }), ..ServiceSpec::default() }
}

fn port(published: u16, target: u16) -> PortSpec {
    PortSpec { target, published: Some(published), protocol: Protocol::Tcp, mode: PublishMode::Ingress }
}

fn to(leads: ExternalSpec) -> ServiceSpec {
    ServiceSpec { external: Some(leads), ..ServiceSpec::default() }
}

/// A fleet with service `api` in stack `other`.
fn fleet() -> State {
    let api = Service { id: 9, stack: "other".into(), name: "api".into(), spec: web(), ..Service::default() };
    State { services: BTreeMap::from([(9, Arc::new(api))]), ..State::default() }
}

/// What is wrong with service `lb` of stack `s`, beside `web` and `none` (which nobody can reach).
fn refused(lb: ServiceSpec) -> Vec<(String, String)> {
    let none = ServiceSpec { network_mode: NetworkMode::None, ..web() };
    let services = [("web", web()), ("none", none), ("lb", lb)].map(|(name, spec)| (name.to_owned(), spec));
    let spec = StackSpec { name: "s".into(), services: services.into(), ..StackSpec::default() };
    let faults = accept::stack(&fleet(), "s", &spec, false);
    faults.into_iter().map(|fault| (fault.field.replace("services.lb.", ""), fault.message)).collect()
}

fn fields(lb: ServiceSpec) -> Vec<String> {
    refused(lb).into_iter().map(|(field, _)| field).collect()
}

#[test]
fn a_balancer_needs_no_program_and_its_image_command_and_health_command_mean_nothing() {
    let check = HealthCheck { port: 42, ..HealthCheck::default() };
    let lb = ServiceSpec {
        image: Some("rancher/lb-service-haproxy:v0.4.9".into()),
        ports: vec![port(8080, 80), port(8081, 80)],
        health_check: Some(check),
        ..leading(&[rule(80, 8080, "web"), rule(81, 8080, "web")])
    };
    assert_eq!(fields(lb), [""; 0]);
    let other = BalancerRule { stack: Some("other".into()), ..rule(80, 8080, "api") };
    assert_eq!(fields(leading(&[rule(80, 8080, "web"), other])), [""; 0], "two targets share a port");
}

#[test]
fn a_target_must_exist_and_be_reachable() {
    let elsewhere = |stack: &str, service: &str| BalancerRule { stack: Some(stack.into()), ..rule(80, 80, service) };
    for (wrong, why) in [
        (rule(80, 80, "wep"), "no such service in this stack"),
        (elsewhere("s", "api"), "no such service in this stack"),
        (elsewhere("other", "web"), "no such service in stack `other`: deploy that stack before this one"),
        (rule(80, 80, "lb"), "is a balancer itself"),
        (rule(80, 80, "none"), "network_mode `none`"),
    ] {
        let faults = refused(leading(&[rule(80, 80, "web"), wrong.clone()]));
        assert_eq!(faults.len(), 1, "{wrong:?}: {faults:?}");
        assert_eq!(faults[0].0, "balancer.rules[1].service");
        assert!(faults[0].1.contains(why), "{}", faults[0].1);
    }
}

#[test]
fn one_source_port_leads_to_one_target_port_per_protocol() {
    let udp = BalancerRule { protocol: Protocol::Udp, ..rule(80, 53, "web") };
    assert_eq!(fields(leading(&[rule(80, 8080, "web"), udp])), [""; 0]);
    let faults = refused(leading(&[rule(80, 8080, "web"), rule(80, 8081, "web")]));
    assert_eq!(faults[0].0, "balancer.rules[1].target_port");
    assert!(faults[0].1.contains("source port 80/tcp leads to target port 8080 already"), "{}", faults[0].1);
}

#[test]
fn ports_are_within_range_and_42_is_kept() {
    assert_eq!(fields(leading(&[rule(42, 80, "web")])), ["balancer.rules[0].source_port"]);
    let zero = ["balancer.rules[0].source_port", "balancer.rules[0].target_port"];
    assert_eq!(fields(leading(&[rule(0, 0, "web")])), zero);
    assert_eq!(fields(leading(&[])), ["balancer.rules"]);
}

#[test]
fn a_port_without_a_rule_a_host_port_and_a_check_that_nobody_answers_are_refused() {
    let host = PortSpec { mode: PublishMode::Host, ..port(81, 80) };
    let check = HealthCheck { port: 80, ..HealthCheck::default() };
    let lb =
        ServiceSpec { ports: vec![port(80, 8080), host], health_check: Some(check), ..leading(&[rule(80, 80, "web")]) };
    let faults = refused(lb);
    let fields: Vec<&str> = faults.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["health_check.port", "ports[0].target", "ports[1].mode"]);
    assert!(faults[1].1.starts_with("8080/tcp is the source port of none of the balancer's rules"), "{}", faults[1].1);
}

#[test]
fn an_external_service_leads_to_addresses_or_to_a_name() {
    let addresses = |list: &[&str]| ExternalSpec {
        addresses: list.iter().map(|ip| (*ip).to_owned()).collect(),
        ..ExternalSpec::default()
    };
    let hostname = |name: &str| ExternalSpec { hostname: Some(name.into()), ..ExternalSpec::default() };
    assert_eq!(fields(to(addresses(&["192.0.2.7", "2001:db8::7"]))), [""; 0]);
    assert_eq!(fields(to(hostname("db.example.com."))), [""; 0]);
    assert_eq!(fields(to(ExternalSpec::default())), ["external"]);
    assert_eq!(fields(to(addresses(&["192.0.2.7", "example.com"]))), ["external.addresses[1]"]);
    for bad in ["192.0.2.7", "a..b", "a b", ""] {
        assert_eq!(fields(to(hostname(bad))), ["external.hostname"], "{bad}");
    }
    let both = ExternalSpec { hostname: Some("x".into()), ..addresses(&["192.0.2.7"]) };
    assert_eq!(fields(to(both.clone())), ["external.hostname"]);
    let published = ServiceSpec { ports: vec![port(80, 80)], ..to(addresses(&["192.0.2.7"])) };
    assert_eq!(fields(published), ["ports[0].published"]);
    let balancer_too = ServiceSpec { external: Some(addresses(&["192.0.2.7"])), ..leading(&[rule(80, 80, "web")]) };
    assert_eq!(fields(balancer_too), ["external"]);
}

#[test]
fn who_waits_for_a_balancer_to_be_healthy_is_not_behind_it() {
    let waiting = |condition| ServiceSpec { depends_on: BTreeMap::from([("lb".to_owned(), condition)]), ..web() };
    let of = |condition| {
        let services = BTreeMap::from([
            ("web".to_owned(), waiting(condition)),
            ("lb".to_owned(), leading(&[rule(80, 80, "web")])),
        ]);
        accept::stack(&fleet(), "s", &StackSpec { name: "s".into(), services, ..StackSpec::default() }, false)
    };
    assert_eq!(of(DependsOn::ServiceStarted), []);
    assert_eq!(of(DependsOn::ServiceHealthy)[0].message, "depends on itself: lb -> web -> lb");
    let endless = of(DependsOn::ServiceCompletedSuccessfully);
    assert!(endless[0].message.starts_with("has no containers that could complete"), "{endless:?}");
}

#[test]
fn a_target_of_a_balancer_that_stays_is_not_put_out_of_its_reach() {
    let to_api = BalancerRule { stack: Some("other".into()), ..rule(80, 8080, "api") };
    let lb = Service { id: 10, stack: "s".into(), name: "lb".into(), spec: leading(&[to_api]), ..Service::default() };
    let mut state = fleet();
    state.services.insert(10, Arc::new(lb));
    let fields = |state: &State, api: ServiceSpec| {
        let services = BTreeMap::from([("api".to_owned(), api)]);
        let spec = StackSpec { name: "other".into(), services, ..StackSpec::default() };
        let faults = accept::stack(state, "other", &spec, false);
        faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
    };
    let outside = to(ExternalSpec { addresses: vec!["192.0.2.7".into()], ..ExternalSpec::default() });
    let alone = ServiceSpec { network_mode: NetworkMode::None, ..web() };
    assert_eq!(fields(&state, alone.clone()), ["services.api"]);
    assert_eq!(fields(&state, outside), ["services.api"]);
    assert_eq!(fields(&state, web()), [""; 0]);
    state.services.remove(&10);
    assert_eq!(fields(&state, alone), [""; 0]);
}
