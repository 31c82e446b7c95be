//! Ports without containers of their own: whom they lead to, from outside and at their VIP.

use super::*;

/// The two hosts with a balancer: port 8088 leads to port 8000 of service 5, and so does port 80 at its VIP.
fn with_balancer() -> Assignment {
    let mut assignment = two_hosts();
    let port = Port {
        protocol: "tcp".into(),
        published: 8088,
        target: 8000,
        mode: "ingress".into(),
        frontend_id: 9,
        backend_services: vec![5, 77],
        source: 80,
    };
    let inside = Port { published: 0, frontend_id: 0, source: 81, target: 8001, ..port.clone() };
    assignment.services.push(remuda_api::assignment::Service {
        id: 8,
        stack: "shop".into(),
        name: "lb".into(),
        vip: "10.43.0.2".into(),
        endpoint_mode: "vip".into(),
        ports: vec![port, inside],
        kind: "balancer".into(),
        ..Default::default()
    });
    assignment
}

#[test]
fn a_balancers_ports_lead_to_the_endpoints_of_its_targets_and_its_vip_to_nobody_but_by_port() {
    let desired = ok(&with_balancer());
    let ip = Ipv4Addr::new(10, 43, 0, 2);
    let lead = |key| {
        let frontend: &Frontend = &desired.frontends[&key];
        (frontend.id, frontend.target_port, frontend.backends.as_slice())
    };
    assert_eq!(lead(FrontendKey::Published { protocol: 6, port: 8088 }), (9, 8000, &[11, 12][..]));
    assert_eq!(lead(FrontendKey::VipPort { ip, protocol: 6, port: 80 }), (8, 8000, &[11, 12][..]));
    assert_eq!(lead(FrontendKey::VipPort { ip, protocol: 6, port: 81 }), (8, 8001, &[11, 12][..]));
    assert_eq!(lead(FrontendKey::Vip(ip)), (8, 0, &[][..]));
    assert!(desired.frontends[&FrontendKey::Vip(ip)].by_port);
    assert!(!desired.frontends[&FrontendKey::Vip(Ipv4Addr::new(10, 43, 0, 1))].by_port, "no second look-up");
    assert_eq!(desired.host.published, [(6, 8080), (6, 8088)]);
}

#[test]
fn targets_of_a_balancer_drain_and_fall_silent_there_as_at_home() {
    let mut assignment = with_balancer();
    let endpoint = &mut assignment.endpoints[1];
    (endpoint.serving, endpoint.draining, endpoint.silent) = (false, true, true);
    let desired = ok(&assignment);
    let published = &desired.frontends[&FrontendKey::Published { protocol: 6, port: 8088 }];
    assert_eq!(
        (&published.backends[..], &published.draining[..], &published.silent[..]),
        (&[11][..], &[12][..], &[12][..])
    );
    let (ip, units) = (Ipv4Addr::new(10, 43, 0, 2), web_1(UnitState::Running { pid: 9 }, 0));
    let without = desired.without(&desired.unlisted(&units), &units);
    let published = &without.frontends[&FrontendKey::Published { protocol: 6, port: 8088 }];
    assert_eq!((&published.backends[..], &published.draining[..]), (&[][..], &[11, 12][..]));
    let at_vip = &without.frontends[&FrontendKey::VipPort { ip, protocol: 6, port: 80 }];
    assert!(at_vip.backends.is_empty() && at_vip.draining.is_empty());
}

#[test]
fn a_balancers_port_twice_at_its_vip_is_refused() {
    let mut assignment = with_balancer();
    let lb = assignment.services.last_mut().expect("the balancer");
    lb.ports[1].source = 80;
    assert_eq!(
        refusals(&assignment),
        ["service lb.shop: `ports` 10.43.0.2:80/tcp is taken by another service or container"]
    );
}
