//! `rancher-compose.yml` beside a Compose file: what becomes of a stack that Rancher 1.6 ran.

mod common;

use std::path::PathBuf;

use remuda_api::health::{HealthCheck, Strategy};
use remuda_api::spec::{BalancerRule, BalancerSpec, PortSpec, Protocol, PublishMode, ServiceMode, ServiceSpec};
use remuda_compose::{SourceFile, Sources, load};

fn rule(source_port: u16, target_port: u16, service: &str) -> BalancerRule {
    BalancerRule { source_port, target_port, service: service.to_owned(), ..BalancerRule::default() }
}

fn port(published: u16, target: u16) -> PortSpec {
    PortSpec { target, published: Some(published), protocol: Protocol::Tcp, mode: PublishMode::Ingress }
}

#[test]
fn the_stack_of_the_rancher_demo_becomes_a_checked_service_behind_a_balancer() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/hms");
    let read = |name: &str| {
        let text = std::fs::read_to_string(corpus.join(name)).ok()?;
        Some(SourceFile { path: name.to_owned(), text })
    };
    let (Some(compose), Some(rancher)) = (read("docker-compose.yml"), read("rancher-compose.yml")) else {
        eprintln!("skipped: {} is not here", corpus.display());
        return;
    };
    let loaded = load(&Sources { rancher: Some(&rancher), ..Sources::new(&[compose], &Default::default(), "HMS") })
        .expect("it loads unedited");
    let web = &loaded.spec.services["web"];
    assert_eq!(web.mode, ServiceMode::Replicated { replicas: Some(1) });
    let check = HealthCheck {
        port: 8080,
        request_line: Some("GET / HTTP/1.0".to_owned()),
        interval_ms: 2_000,
        response_timeout_ms: 2_000,
        healthy_threshold: 2,
        unhealthy_threshold: 3,
        initializing_timeout_ms: 60_000,
        reinitializing_timeout_ms: 60_000,
        strategy: Strategy::Recreate,
    };
    assert_eq!(web.health_check.as_ref(), Some(&check));
    assert_eq!((web.engine.pull.as_str(), web.start_on_create), ("always", true));
    let lb = &loaded.spec.services["lb"];
    let expected = ServiceSpec {
        mode: ServiceMode::Replicated { replicas: Some(1) },
        image: Some("rancher/lb-service-haproxy:v0.4.9".to_owned()),
        labels: lb.labels.clone(),
        ports: vec![port(8080, 8080)],
        balancer: Some(BalancerSpec { rules: vec![BalancerRule { priority: Some(1), ..rule(8080, 8080, "web") }] }),
        health_check: Some(HealthCheck { port: 42, request_line: None, ..check }),
        ..ServiceSpec::default()
    };
    assert_eq!(*lb, expected);
    let said: Vec<_> = loaded.notices.iter().map(ToString::to_string).collect();
    assert!(said.iter().all(|said| !said.contains("io.rancher") && !said.contains("links")), "{said:#?}");
}
