mod balancer;

use remuda_api::assignment::{
    Check as CheckRecord, Container, Endpoint, Environment, Fleet, Node as NodeRecord, Service, ServicePort as Port,
};

use super::*;

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// Two hosts; service web (VIP, port 80 published) with one container on each; this is host 1.
pub(crate) fn two_hosts() -> Assignment {
    let node = |id: u32| NodeRecord {
        id,
        name: format!("h{id}"),
        underlay_ip: format!("172.30.0.{id}"),
        blocks: vec![format!("10.42.{id}.0/26")],
        host_endpoint_id: id,
        frontend_ips: vec![format!("172.30.0.{id}")],
    };
    let endpoint = |n: u32| Endpoint {
        id: 10 + n,
        name: format!("shop-web-{n}"),
        service_id: 5,
        node_id: n,
        ip: format!("10.42.{n}.2"),
        serving: true,
        ..Endpoint::default()
    };
    let port = Port {
        protocol: "tcp".into(),
        published: 8080,
        target: 80,
        mode: "ingress".into(),
        frontend_id: 6,
        ..Port::default()
    };
    Assignment {
        generation: 7,
        node_id: 1,
        fleet: Some(Fleet {
            overlay_pools: words(&["10.42.0.0/16"]),
            vip_pools: words(&["10.43.0.0/16"]),
            dns_ip: "169.254.169.250".into(),
            tunnel_port: 4789,
            endpoint_mtu: 1450,
            wire_version: 1,
            gossip_key: String::new(),
        }),
        environment: Some(Environment { id: 1, name: "default".into(), hash_seed: 9, ..Environment::default() }),
        nodes: vec![node(1), node(2)],
        services: vec![Service {
            id: 5,
            stack: "shop".into(),
            name: "web".into(),
            vip: "10.43.0.1".into(),
            ports: vec![port],
            ..Service::default()
        }],
        endpoints: vec![endpoint(1), endpoint(2)],
        checks: Vec::new(),
        containers: vec![Container {
            name: "shop-web-1".into(),
            stack: "shop".into(),
            service: "web".into(),
            endpoint_id: 11,
            ip: "10.42.1.2".into(),
            network_mode: "managed".into(),
            runtime: "process".into(),
            command: words(&["nginx"]),
            spec_revision: 1,
            ..Container::default()
        }],
    }
}

fn ok(assignment: &Assignment) -> Desired {
    desired(assignment, &words(&["eth0"])).unwrap_or_else(|problems| panic!("refused: {problems:#?}"))
}

fn refusals(assignment: &Assignment) -> Vec<String> {
    desired(assignment, &[]).expect_err("it should be refused").iter().map(ToString::to_string).collect()
}

#[test]
fn the_host_endpoint_takes_the_first_address_of_the_first_block() {
    assert_eq!(ok(&two_hosts()).host.overlay_ip, Ipv4Addr::new(10, 42, 1, 1));
}

#[test]
fn peers_never_hold_this_host_but_routes_hold_every_block() {
    let desired = ok(&two_hosts());
    assert_eq!(desired.nodes.keys().collect::<Vec<_>>(), [&2]);
    for (id, block) in [(1, "10.42.1.0/26"), (2, "10.42.2.0/26")] {
        let route = desired.routes.get(&block.parse().expect("a block"));
        assert_eq!(route, Some(&Route::Block { node_id: id, underlay_ip: Ipv4Addr::new(172, 30, 0, id as u8) }));
    }
}

#[test]
fn a_vip_and_a_published_port_lead_to_every_serving_endpoint() {
    let desired = ok(&two_hosts());
    let vip = &desired.frontends[&FrontendKey::Vip(Ipv4Addr::new(10, 43, 0, 1))];
    assert_eq!((vip.id, vip.target_port, vip.backends.as_slice()), (5, 0, &[11, 12][..]));
    let published = &desired.frontends[&FrontendKey::Published { protocol: 6, port: 8080 }];
    assert_eq!((published.id, published.target_port, published.backends.as_slice()), (6, 80, &[11, 12][..]));
    assert_eq!(desired.host.published, [(6, 8080)]);
}

#[test]
fn a_draining_endpoint_stays_a_backend_but_leaves_every_list() {
    let mut assignment = two_hosts();
    assignment.endpoints[1].serving = false;
    assignment.endpoints[1].draining = true;
    let desired = ok(&assignment);
    assert!(desired.backends[&12].draining);
    assert!(desired.frontends.values().all(|frontend| frontend.backends == [11]));
    // Only what is served from outside remembers it: connections from inside are not balanced packet by packet.
    let drains = |frontend: &Frontend| frontend.draining == if frontend.target_port == 0 { vec![] } else { vec![12] };
    assert!(desired.frontends.values().all(drains));
}

#[test]
fn a_silent_endpoint_stays_a_backend_and_only_what_is_served_from_outside_hears_of_it() {
    let mut assignment = two_hosts();
    let endpoint = &mut assignment.endpoints[1];
    (endpoint.serving, endpoint.draining, endpoint.silent) = (false, true, true);
    let desired = ok(&assignment);
    let published = &desired.frontends[&FrontendKey::Published { protocol: 6, port: 8080 }];
    assert_eq!((published.draining.as_slice(), published.silent.as_slice()), (&[12][..], &[12][..]));
    assert!(desired.frontends[&FrontendKey::Vip(Ipv4Addr::new(10, 43, 0, 1))].silent.is_empty());
    assignment.endpoints[1].draining = false;
    assert!(ok(&assignment).frontends.values().all(|frontend| frontend.silent.is_empty()), "nobody serves there");
}

#[test]
fn an_endpoint_that_neither_serves_nor_drains_is_no_backend() {
    let mut assignment = two_hosts();
    assignment.endpoints[1].serving = false;
    assert!(!ok(&assignment).backends.contains_key(&12));
}

#[test]
fn a_host_port_leads_to_its_own_container_only() {
    let mut assignment = two_hosts();
    let port = Port {
        protocol: "udp".into(),
        published: 5353,
        target: 53,
        mode: "host".into(),
        frontend_id: 0,
        ..Port::default()
    };
    assignment.containers[0].host_ports.push(port);
    let desired = ok(&assignment);
    let frontend = &desired.frontends[&FrontendKey::HostPort { protocol: 17, port: 5353 }];
    assert_eq!((frontend.target_port, frontend.backends.as_slice()), (53, &[11][..]));
}

/// shop-web-1 as its holder tells it.
pub(crate) fn web_1(state: UnitState, spec_revision: u64) -> BTreeMap<String, Unit> {
    let (name, ip) = ("shop-web-1".to_owned(), Some(Ipv4Addr::new(10, 42, 1, 2)));
    let (restarts, started_ms, exited_ms, can_start, plugged) = (0, 1, 0, true, true);
    let health = crate::observed::Health::default();
    let unit = Unit {
        name: name.clone(),
        spec_revision,
        ip,
        state,
        restarts,
        started_ms,
        exited_ms,
        can_start,
        plugged,
        health,
        image_health: None,
    };
    BTreeMap::from([(name, unit)])
}

#[test]
fn a_local_container_that_does_not_run_is_no_backend_however_the_fleet_lists_it() {
    let desired = ok(&two_hosts());
    for units in [BTreeMap::new(), web_1(UnitState::Created, 1)] {
        let unlisted = desired.unlisted(&units);
        assert_eq!(unlisted, BTreeSet::from([11]));
        let without = desired.without(&unlisted, &units);
        assert_eq!(without.backends.keys().collect::<Vec<_>>(), [&12]);
        assert!(without.frontends.values().all(|frontend| frontend.backends == [12] && frontend.draining.is_empty()));
    }
}

#[test]
fn a_local_container_about_to_be_replaced_leaves_the_lists_and_drains() {
    let desired = ok(&two_hosts());
    for units in [web_1(UnitState::Running { pid: 9 }, 0), web_1(UnitState::Stopping { pid: 9 }, 1)] {
        let without = desired.without(&desired.unlisted(&units), &units);
        assert!(without.backends[&11].draining && !without.backends[&12].draining);
        assert!(without.frontends.values().all(|frontend| frontend.backends == [12]));
        let published = &without.frontends[&FrontendKey::Published { protocol: 6, port: 8080 }];
        assert_eq!(published.draining, [11]);
    }
}

#[test]
fn a_running_local_container_serves() {
    let desired = ok(&two_hosts());
    let units = web_1(UnitState::Running { pid: 9 }, 1);
    assert_eq!(desired.without(&desired.unlisted(&units), &units), desired);
}

#[test]
fn every_problem_is_named_at_once_with_record_and_field() {
    let mut assignment = two_hosts();
    assignment.nodes[1].underlay_ip = "300.1.1.1".into();
    assignment.nodes[1].blocks = words(&["10.42.2.7/26"]);
    assignment.containers[0].restart = "sometimes".into();
    assignment.endpoints[0].id = 1 << 24;
    assignment.services[0].ports[0].published = 70_000;
    let refusals = refusals(&assignment).join("\n");
    for wanted in [
        "node 2 (h2): `underlay_ip` is \"300.1.1.1\"",
        "node 2 (h2): `blocks` is \"10.42.2.7/26\"",
        "container shop-web-1: `restart` is \"sometimes\": allowed are always, on-failure, never",
        "endpoint shop-web-1: `id` is 16777216: allowed are 1 to 16777215",
        "service web.shop: `ports.published` is 70000: allowed are 1 to 65535",
    ] {
        assert!(refusals.contains(wanted), "{wanted}\nis not among\n{refusals}");
    }
}

#[test]
fn records_with_one_key_are_refused() {
    let mut assignment = two_hosts();
    assignment.endpoints[1].ip = "10.42.1.2".into();
    assignment.containers.push(assignment.containers[0].clone());
    let refusals = refusals(&assignment);
    assert!(refusals.contains(&"endpoints: `ip` 10.42.1.2 occurs twice".to_owned()), "{refusals:?}");
    assert!(refusals.contains(&"containers: `name` shop-web-1 occurs twice".to_owned()), "{refusals:?}");
}

#[test]
fn two_frontends_of_one_port_or_one_id_are_refused() {
    let mut assignment = two_hosts();
    let mut other = assignment.services[0].clone();
    (other.id, other.name, other.vip) = (8, "api".into(), String::new());
    assignment.services.push(other);
    let refusals = refusals(&assignment);
    assert_eq!(refusals.len(), 2, "{refusals:?}");
}

#[test]
fn an_empty_assignment_is_refused_in_words() {
    let refusals = refusals(&Assignment::default());
    assert!(refusals.contains(&"assignment: `fleet` is missing".to_owned()), "{refusals:?}");
}

#[test]
fn checks_without_time_port_or_count_are_refused_by_field() {
    let mut assignment = two_hosts();
    let check = |endpoint_id: u32| CheckRecord {
        endpoint_id,
        container: "shop-web-2".into(),
        ip: "10.42.2.2".into(),
        port: 80,
        interval_ms: 2000,
        timeout_ms: 2000,
        rise: 2,
        fall: 3,
        ..CheckRecord::default()
    };
    assignment.checks = vec![check(12)];
    assert_eq!(ok(&assignment).checks[&12].target.to_string(), "10.42.2.2:80");
    let bad = CheckRecord { port: 0, interval_ms: 0, timeout_ms: 0, rise: 0, fall: 0, ..check(12) };
    assignment.checks = vec![CheckRecord { request_line: "GET / HTTP/1.0\r\nX: y".into(), ..bad }, check(12)];
    let expected = [
        "checks: `endpoint_id` 12 occurs twice",
        "check of shop-web-2: `request_line` holds a control character: it must be one line",
        "check of shop-web-2: `port` is 0: allowed are 1 to 65535",
        "check of shop-web-2: `interval_ms` is 0: write milliseconds, at least 1",
        "check of shop-web-2: `timeout_ms` is 0: write milliseconds, at least 1",
        "check of shop-web-2: `rise` is 0: allowed are 1 to 4294967295",
        "check of shop-web-2: `fall` is 0: allowed are 1 to 4294967295",
    ];
    assert_eq!(refusals(&assignment), expected);
}

#[test]
fn a_health_command_that_runs_nothing_or_never_ends_is_refused_by_field() {
    let mut assignment = two_hosts();
    assignment.containers[0].health_command =
        Some(HealthCommand { timeout_ms: 0, retries: 0, ..HealthCommand::new(vec![]) });
    let expected = [
        "container shop-web-1: `health_command.argv` is empty: name the program to run",
        "container shop-web-1: `health_command.timeout_ms` is 0: write milliseconds, at least 1",
        "container shop-web-1: `health_command.retries` is 0: allowed are 1 to 4294967295",
    ];
    assert_eq!(refusals(&assignment), expected);
}

#[test]
fn a_unit_whose_health_command_does_not_pass_takes_no_new_flows() {
    let mut assignment = two_hosts();
    assignment.containers[0].health_command = Some(HealthCommand::new(words(&["true"])));
    let desired = ok(&assignment);
    let with = |verdict: Verdict| {
        let unit = Unit {
            name: "shop-web-1".into(),
            spec_revision: 1,
            ip: Some(Ipv4Addr::new(10, 42, 1, 2)),
            state: UnitState::Running { pid: 9 },
            restarts: 0,
            started_ms: 1,
            exited_ms: 0,
            can_start: true,
            plugged: true,
            health: crate::observed::Health { verdict, reason: String::new() },
            image_health: None,
        };
        desired.unlisted(&BTreeMap::from([(unit.name.clone(), unit)]))
    };
    assert_eq!(with(Verdict::Initializing), BTreeSet::from([11]));
    assert_eq!(with(Verdict::Unhealthy), BTreeSet::from([11]));
    assert_eq!(with(Verdict::Healthy), BTreeSet::new());
}

#[test]
fn a_unit_whose_image_checks_itself_takes_no_new_flows_until_it_passes() {
    let desired = ok(&two_hosts());
    let mut units = web_1(UnitState::Running { pid: 9 }, 1);
    assert_eq!(desired.unlisted(&units), BTreeSet::new(), "nothing looks at it");
    let unit = units.get_mut("shop-web-1").expect("it");
    unit.image_health = Some(crate::observed::Health::default());
    assert_eq!(desired.unlisted(&units), BTreeSet::from([11]));
}
