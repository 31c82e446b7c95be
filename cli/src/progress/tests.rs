//! How far a fleet is from what was asked.

use super::*;
use remuda_api::resource::Availability;

fn service(name: &str, desired: u32) -> Service {
    Service {
        name: name.into(),
        stack: "shop".into(),
        kind: "replicated".into(),
        vip: None,
        ports: Vec::new(),
        desired,
        running: 0,
        healthy: 0,
        state: ServiceState::Active,
        image: None,
        generation: 7,
        health: remuda_api::resource::Health::Initializing,
        reason: None,
    }
}

fn container(service: &str, n: u32, state: ContainerState, reason: Option<&str>) -> Container {
    Container {
        name: format!("shop-{service}-{n}"),
        stack: "shop".into(),
        service: service.into(),
        host: Some("h1".into()),
        ip: None,
        state,
        health: if state == ContainerState::Running { Health::Healthy } else { Health::Initializing },
        reason: reason.map(Into::into),
        pid: None,
        restarts: 0,
        created: String::new(),
    }
}

fn host(generation: u64) -> Host {
    Host {
        name: "h1".into(),
        node_id: 1,
        underlay_ip: String::new(),
        cidrs: Vec::new(),
        state: HostState::Ready,
        availability: Availability::Active,
        labels: BTreeMap::new(),
        cpu: 2.0,
        memory: 1,
        containers: 1,
        generation,
        version: String::new(),
        reason: None,
        problems: Vec::new(),
    }
}

fn scope() -> Scope {
    Scope { stack: "shop".into(), services: None }
}

const UP: ContainerState = ContainerState::Running;

#[test]
fn a_stack_is_done_when_every_container_is_healthy() {
    let seen = Seen {
        services: vec![service("web", 2)],
        containers: vec![container("web", 1, UP, None), container("web", 2, UP, None)],
        hosts: vec![host(7)],
    };
    assert!(measure(&scope(), Want::Healthy, 7, &seen).is_done());
}

#[test]
fn a_host_that_has_not_done_every_step_keeps_a_change_open() {
    let seen = Seen {
        services: vec![service("web", 1)],
        containers: vec![container("web", 1, UP, None)],
        hosts: vec![host(6)],
    };
    let progress = measure(&scope(), Want::Healthy, 7, &seen);
    assert!(!progress.is_done());
    assert_eq!(progress.missing(), "h1 still working on the change");
}

#[test]
fn a_service_whose_containers_are_being_replaced_is_not_done() {
    let mut web = service("web", 1);
    web.state = ServiceState::Updating;
    let seen = Seen { services: vec![web], containers: vec![container("web", 1, UP, None)], hosts: vec![] };
    assert_eq!(measure(&scope(), Want::Healthy, 0, &seen).missing(), "shop/web: 1 of 1 (1 updating)");
}

#[test]
fn pending_containers_give_each_reason_once() {
    let why = Some("no host has 4 cores free");
    let seen = Seen {
        services: vec![service("web", 3)],
        containers: vec![
            container("web", 1, UP, None),
            container("web", 2, ContainerState::Pending, why),
            container("web", 3, ContainerState::Pending, why),
        ],
        hosts: vec![],
    };
    let progress = measure(&scope(), Want::Healthy, 0, &seen);
    assert_eq!(progress.missing(), "shop/web: 1 of 3 (2 pending)");
    assert_eq!(progress.reasons(), ["shop/web: 2 x no host has 4 cores free"]);
}

#[test]
fn running_without_being_healthy_is_enough_for_running_only() {
    let mut starting = container("web", 1, UP, None);
    starting.health = Health::Initializing;
    let seen = Seen { services: vec![service("web", 1)], containers: vec![starting], hosts: vec![] };
    assert!(measure(&scope(), Want::Running, 0, &seen).is_done());
    assert_eq!(measure(&scope(), Want::Healthy, 0, &seen).missing(), "shop/web: 0 of 1 (1 initializing)");
}

#[test]
fn a_scale_down_waits_for_what_is_leaving() {
    let seen = Seen {
        services: vec![service("web", 1)],
        containers: vec![container("web", 1, UP, None), container("web", 2, ContainerState::Draining, None)],
        hosts: vec![],
    };
    assert_eq!(measure(&scope(), Want::Healthy, 0, &seen).missing(), "shop/web: 1 of 1 (1 draining)");
}

#[test]
fn work_that_is_complete_counts_as_done() {
    let seen = Seen {
        services: vec![service("migrate", 1)],
        containers: vec![container("migrate", 1, ContainerState::Complete, None)],
        hosts: vec![],
    };
    assert!(measure(&scope(), Want::Healthy, 0, &seen).is_done());
}

#[test]
fn failures_and_restarts_are_seen() {
    let mut again = container("web", 1, UP, None);
    again.restarts = 2;
    let failed = container("web", 2, ContainerState::Failed, Some("exited with code 3"));
    let seen = Seen { services: vec![service("web", 2)], containers: vec![again, failed], hosts: vec![] };
    let progress = measure(&scope(), Want::Healthy, 0, &seen);
    assert_eq!((progress.has_failed(), progress.restarts()), (true, 2));
    assert!(measure(&scope(), Want::Gone, 0, &seen).reasons().is_empty());
}

#[test]
fn gone_means_neither_service_nor_container() {
    let mut seen = Seen { services: vec![service("web", 1)], ..Seen::default() };
    assert!(!measure(&scope(), Want::Gone, 0, &seen).is_done());
    seen.services.clear();
    seen.containers.push(container("web", 1, ContainerState::Stopping, None));
    assert_eq!(measure(&scope(), Want::Gone, 0, &seen).missing(), "shop/web: 0 of 0 (1 stopping)");
    seen.containers.clear();
    assert!(measure(&scope(), Want::Gone, 0, &seen).is_done());
}

#[test]
fn a_balancer_counts_by_what_it_says_of_itself() {
    let mut lb = Service { kind: "balancer".into(), ..service("lb", 2) };
    let of = |lb: &Service, want| {
        let seen = Seen { services: vec![lb.clone()], ..Seen::default() };
        measure(&scope(), want, 0, &seen)
    };
    assert_eq!(of(&lb, Want::Running).missing(), "shop/lb: 0 of 2 (2 starting)");
    lb.running = 2;
    assert!(of(&lb, Want::Running).is_done());
    (lb.health, lb.reason) = (Health::Unhealthy, Some("no healthy target: web".into()));
    assert_eq!(of(&lb, Want::Healthy).missing(), "shop/lb: 0 of 2 (2 unhealthy)");
    assert_eq!(of(&lb, Want::Healthy).reasons(), ["shop/lb: 2 x no healthy target: web"]);
    (lb.health, lb.healthy) = (Health::Healthy, 2);
    assert!(of(&lb, Want::Healthy).is_done());
    assert_eq!(of(&lb, Want::Gone).missing(), "shop/lb: 0 of 0 (1 to be removed)");
}

#[test]
fn a_service_that_does_not_show_yet_is_not_done() {
    let scope = Scope { stack: "shop".into(), services: Some(vec!["web".into()]) };
    assert!(!measure(&scope, Want::Healthy, 0, &Seen::default()).is_done());
}
