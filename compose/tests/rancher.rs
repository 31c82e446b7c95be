//! `rancher-compose.yml` beside a Compose file: what becomes of a stack that Rancher 1.6 ran.

mod common;

use std::path::PathBuf;

use common::{BALANCED, WEB, both, both_notices};
use remuda_api::health::{HealthCheck, Strategy};
use remuda_api::spec::{
    BalancerRule, BalancerSpec, ExternalSpec, PortSpec, Protocol, PublishMode, ServiceMode, ServiceSpec,
    UpgradeStrategy,
};
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

fn web(keys: &str) -> ServiceSpec {
    let keys: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    both(WEB, &format!("version: '2'\nservices:\n  web:\n{keys}")).services.remove("web").expect("web")
}

#[test]
fn every_field_of_a_service_is_taken_over() {
    let service = web("\
scale: ${SCALE}
start_on_create: false
retain_ip: true
drain_timeout_ms: 5000
milli_cpu_reservation: 250
hostname: front
metadata:
  name: Shop
  count: 3
  share: 0.5
  on: true
  none: ~
  version: '3'
  zip: 00123
  list: [1, a, {b: c}]
upgrade_strategy: {batch_size: 2, interval_millis: 1000, start_first: true}
health_check: {port: 80}
");
    let metadata = serde_json::json!({
        "name": "Shop", "count": 3, "share": 0.5, "on": true, "none": null, "version": "3", "zip": "00123",
        "list": [1, "a", {"b": "c"}]
    });
    let expected = ServiceSpec {
        image: Some("nginx".to_owned()),
        mode: ServiceMode::Replicated { replicas: Some(3) },
        start_on_create: false,
        retain_ip: true,
        drain_timeout_ms: 5_000,
        hostname: Some("front".to_owned()),
        metadata: serde_json::from_value(metadata).expect("a map"),
        upgrade_strategy: Some(UpgradeStrategy { batch_size: Some(2), interval_ms: Some(1_000), start_first: true }),
        health_check: Some(HealthCheck { port: 80, ..HealthCheck::default() }),
        resources: remuda_api::spec::Resources { reserve_cpu_milli: 250, ..Default::default() },
        ..ServiceSpec::default()
    };
    assert_eq!(service, expected);
}

#[test]
fn the_first_format_has_its_services_at_the_top() {
    let spec = both("web: {image: nginx}\n", ".catalog: {name: shop, questions: []}\nweb: {scale: 2}\n");
    assert_eq!(spec.services["web"].mode, ServiceMode::Replicated { replicas: Some(2) });
    for empty in ["", "version: '2'\n", "version: '2'\nservices:\n", "version: '2'\nservices: {web: }\n", "{}\n"] {
        assert_eq!(both(WEB, empty).services["web"].image.as_deref(), Some("nginx"), "{empty}");
    }
}

#[test]
fn keys_of_compose_are_laid_over_those_of_the_compose_file() {
    let compose = "services: {web: {image: nginx, environment: {A: '1', B: '1'}, ports: ['80'], command: [a, b]}}\n";
    let rancher =
        "services: {web: {image: 'nginx:2', environment: {B: '2'}, ports: ['80', '81'], command: [c], user: me}}\n";
    let web = both(compose, rancher).services.remove("web").expect("web");
    assert_eq!((web.image.as_deref(), web.user.as_deref()), (Some("nginx:2"), Some("me")));
    assert_eq!(web.environment.into_iter().map(|(k, v)| k + &v).collect::<Vec<_>>(), ["A1", "B2"]);
    assert_eq!(web.ports.iter().map(|port| port.target).collect::<Vec<_>>(), [80, 81]);
    assert_eq!(web.command, Some(vec!["c".to_owned()]));
    let lonely = both("services: {web: }\n", "services: {web: {image: nginx}}\n");
    assert_eq!(lonely.services["web"].image.as_deref(), Some("nginx"));
}

#[test]
fn the_rancher_file_wins_over_x_remuda_and_says_so() {
    let compose = "services: {web: {image: nginx, x-remuda: {drain_timeout_ms: 1, retain_ip: true}}}\n";
    let rancher = "services: {web: {drain_timeout_ms: 2}}\n";
    let web = both(compose, rancher).services.remove("web").expect("web");
    assert_eq!((web.drain_timeout_ms, web.retain_ip), (2, true));
    let notices = both_notices(compose, rancher);
    assert_eq!(
        notices,
        [
            "rancher:1:18: services.web.drain_timeout_ms: `drain_timeout_ms` of the Compose file's `x-remuda` gives way to this"
        ]
    );
}

#[test]
fn what_rancher_says_can_stand_under_x_remuda_too() {
    let spec = common::spec(
        "services:
  web: {image: nginx, x-remuda: {retain_ip: true, metadata: {a: 1}}}
  lb: {ports: ['80:80'], x-remuda: {lb_config: {port_rules: [{source_port: 80, target_port: 8080, service: web}]}}}
  db: {x-remuda: {external_ips: [192.0.2.7]}}
",
    );
    assert!(spec.services["web"].retain_ip);
    assert_eq!(spec.services["lb"].balancer, Some(BalancerSpec { rules: vec![rule(80, 8080, "web")] }));
    assert_eq!(spec.services["db"].external.as_ref().map(|leads| leads.addresses.len()), Some(1));
}

fn balanced(rules: &str) -> ServiceSpec {
    let rancher = format!("services: {{lb: {{lb_config: {{certs: [], default_cert: '', port_rules: {rules}}}}}}}\n");
    both(BALANCED, &rancher).services.remove("lb").expect("lb")
}

#[test]
fn rules_of_a_balancer_lead_to_services_of_this_stack_and_of_others() {
    let lb = balanced(
        "[{source_port: 80, target_port: 8080, service: shop/web}, \
         {source_port: 80, target_port: 8080, service: blog/web, priority: -3, protocol: http, hostname: '', path: ''}, \
         {source_port: 53, target_port: 5353, service: web, protocol: udp}]",
    );
    let rules = vec![
        rule(80, 8080, "web"),
        BalancerRule { stack: Some("blog".to_owned()), priority: Some(-3), ..rule(80, 8080, "web") },
        BalancerRule { protocol: Protocol::Udp, ..rule(53, 5353, "web") },
    ];
    assert_eq!(lb.balancer, Some(BalancerSpec { rules }));
    let inner = PortSpec { published: None, protocol: Protocol::Udp, ..port(0, 53) };
    assert_eq!(lb.ports, [port(80, 80), inner], "a rule's port that is not published is there inside of the fleet");
}

#[test]
fn a_balancer_without_rules_leads_to_what_it_links_to() {
    let compose = "
web: {image: nginx}
api: {image: nginx}
lb:
  image: rancher/load-balancer-service
  ports: ['80:8080', '53/udp']
  links: ['web:web', api]
  stdin_open: true
  environment: {A: b}
  command: /x
";
    let lb = both(compose, "lb: {scale: 2, load_balancer_config: {haproxy_config: {}}}\n")
        .services
        .remove("lb")
        .expect("lb");
    let udp = |service| BalancerRule { protocol: Protocol::Udp, ..rule(53, 53, service) };
    let rules = vec![rule(8080, 8080, "web"), udp("web"), rule(8080, 8080, "api"), udp("api")];
    assert_eq!(lb.balancer, Some(BalancerSpec { rules }));
    assert_eq!(
        (lb.command, lb.environment.len(), lb.engine.stdin_open),
        (None, 0, false),
        "there is no container for these"
    );
}

#[test]
fn a_port_of_a_balancer_that_no_rule_names_is_left_out_and_named() {
    let rancher = "services: {lb: {lb_config: {port_rules: [{source_port: 81, target_port: 80, service: web}]}}}\n";
    assert!(
        both_notices(BALANCED, rancher)[0]
            .starts_with("docker:7:5: services.lb.ports: port 80/tcp of the balancer has no rule")
    );
    assert_eq!(both(BALANCED, rancher).services["lb"].ports.len(), 1);
}

#[test]
fn a_service_outside_of_the_fleet_has_addresses_or_a_name() {
    let compose = "services: {db: {image: rancher/external-service}}\n";
    let external = |rancher: &str| both(compose, rancher).services.remove("db").and_then(|db| db.external);
    let addresses = vec!["192.0.2.7".to_owned(), "2001:db8::7".to_owned()];
    assert_eq!(
        external("services: {db: {external_ips: [192.0.2.7, '2001:DB8:0::7']}}\n"),
        Some(ExternalSpec { addresses, hostname: None })
    );
    assert_eq!(
        external("services: {db: {hostname: db.example.com.}}\n"),
        Some(ExternalSpec { addresses: Vec::new(), hostname: Some("db.example.com".to_owned()) })
    );
}

#[test]
fn a_service_of_the_image_dns_service_is_one_more_name_for_others() {
    let compose = "
services:
  blue: {image: nginx, networks: [back, {front: ~}]}
  green: {image: nginx}
  app: {image: rancher/dns-service, links: [blue, 'green:g']}
  user: {image: nginx, depends_on: [app]}
networks: {back: , front: }
"
    .replace("[back, {front: ~}]", "{back: ~, front: ~}");
    let spec = both(&compose, "");
    assert_eq!(spec.services.keys().collect::<Vec<_>>(), ["blue", "green", "user"]);
    assert!(spec.services["blue"].networks.values().all(|how| how.aliases == ["app"]));
    assert_eq!(spec.services["green"].networks["default"].aliases, ["app"]);
    assert!(spec.services["user"].depends_on.is_empty());
}

#[test]
fn scheduling_labels_become_what_they_ask_for() {
    let compose = "services:
  web:
    image: nginx
    labels:
      io.rancher.scheduler.affinity:host_label: zone=a, disk=ssd
      io.rancher.scheduler.affinity:host_label_ne: old=yes
      io.rancher.scheduler.affinity:container_label_ne: io.rancher.stack_service.name=$${stack_name}/$${service_name}
      note: of $${stack_name}
  agent:
    image: nginx
    labels: ['io.rancher.scheduler.global=true', 'io.rancher.container.pull_image=always']
";
    let spec = both(compose, "services: {agent: {scale: 1}}\n");
    let web = &spec.services["web"];
    let constraints: Vec<_> =
        web.constraints.iter().map(|c| format!("{}{}{}", c.key, if c.equal { "==" } else { "!=" }, c.value)).collect();
    assert_eq!(constraints, ["node.labels.zone==a", "node.labels.disk==ssd", "node.labels.old!=yes"]);
    assert_eq!((web.max_replicas_per_node, web.labels["note"].as_str()), (1, "of shop"));
    let agent = &spec.services["agent"];
    assert_eq!((agent.mode, agent.engine.pull.as_str()), (ServiceMode::Global, "always"));
    assert!(both_notices(compose, "services: {agent: {scale: 1}}\n").is_empty());
}

#[test]
fn what_is_understood_and_not_done_is_said_once_with_what_it_means() {
    let compose = "services:
  web:
    image: nginx
    labels:
      io.rancher.sidekicks: db
      io.rancher.container.start_once: 'true'
      io.rancher.scheduler.affinity:container_soft: x
  db: {image: redis, labels: {io.rancher.container.start_once: 'true'}}
";
    let rancher = "catalog: {name: x}
services:
  web:
    scale_policy: {min: 1}
    type: service
    lb_config: {port_rules: []}
";
    let said = both_notices(compose, rancher);
    let parts = [
        ("docker:5:7: services.web.labels.io.rancher.sidekicks", "placed like any other service"),
        ("docker:6:7:", "run once (2 places)"),
        ("docker:7:7:", "`io.rancher.scheduler.affinity:container_soft` is understood, not acted on"),
        ("rancher:1:1: catalog", "describes an entry of a catalog"),
        ("rancher:4:5: services.web.scale_policy", "not between `min` and `max`"),
        ("rancher:5:5:", "follows from its image"),
        ("rancher:6:5: services.web.lb_config", "only a service of image `rancher/lb-service-haproxy`"),
    ];
    assert_eq!(said.len(), parts.len(), "{said:#?}");
    for (said, (start, part)) in said.iter().zip(parts) {
        assert!(said.starts_with(start) && said.contains(part), "{said}");
    }
}
