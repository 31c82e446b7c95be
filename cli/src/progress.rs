//! How far the fleet is from what was asked. Pure: what the API shows goes in, what is missing comes out.

use std::collections::BTreeMap;

use remuda_api::resource::{Container, ContainerState, Health, Host, HostState, Service, ServiceState};

use crate::listing::{first_line, last_lines, word};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Want {
    /// Every container runs (or has done its work).
    Running,
    /// Every container runs and passes its checks; without checks, running is enough.
    Healthy,
    /// Nothing is left.
    Gone,
}

/// Which services of which stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    pub stack: String,
    /// None = all that the stack has, now or later.
    pub services: Option<Vec<String>>,
}

/// What the API shows at one moment.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub services: Vec<Service>,
    pub containers: Vec<Container>,
    pub hosts: Vec<Host>,
}

/// The distance at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub services: Vec<ServiceProgress>,
    /// Ready hosts that have not yet done every step of the change: names, VIPs and published ports are everywhere.
    pub behind: Vec<String>,
    /// Once done it stays so: nobody has to watch whether it holds.
    pub is_final: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceProgress {
    /// `stack/service`.
    pub name: String,
    pub desired: u32,
    /// Containers that are as wanted.
    pub done: u32,
    /// The others, counted by state.
    pub others: BTreeMap<String, u32>,
    /// Why they are not, each reason once, with how many containers give it.
    pub reasons: BTreeMap<String, u32>,
    /// What one that has failed wrote last: its name and the lines.
    pub last_lines: Option<(String, Vec<String>)>,
    /// How often its containers have been started again so far.
    pub restarts: u32,
}

/// Measures what `scope` lacks. `generation`: hosts must have got this far (0 = any).
pub fn measure(scope: &Scope, want: Want, generation: u64, seen: &Seen) -> Progress {
    let services = names(scope, seen).into_iter().map(|name| measure_service(&scope.stack, &name, want, seen));
    let services: Vec<ServiceProgress> = services.collect();
    let behind = if want == Want::Gone { Vec::new() } else { hosts_behind(generation, seen) };
    Progress { services, behind, is_final: want == Want::Gone }
}

impl Progress {
    /// Every container is as wanted, and every host has done its part.
    pub fn is_done(&self) -> bool {
        self.behind.is_empty() && self.has_containers()
    }

    /// Every container is as wanted; some hosts may still have to publish that.
    pub fn has_containers(&self) -> bool {
        self.services.iter().all(ServiceProgress::is_done)
    }

    /// Some container has failed and waits for its next start.
    pub fn has_failed(&self) -> bool {
        self.services.iter().any(|service| service.others.contains_key("failed"))
    }

    pub fn restarts(&self) -> u32 {
        self.services.iter().map(|service| service.restarts).sum()
    }

    /// One line each: `shop/web: 2 x no host has …`, and what one that has failed wrote last.
    pub fn reasons(&self) -> Vec<String> {
        let of = |service: &ServiceProgress| {
            let name = service.name.clone();
            let line = move |(reason, count): (&String, &u32)| format!("{name}: {count} x {reason}");
            service.reasons.iter().map(line).chain(service.last_words()).collect::<Vec<_>>()
        };
        self.services.iter().flat_map(of).collect()
    }

    /// What is missing, in one line.
    pub fn missing(&self) -> String {
        let open = self.services.iter().filter(|service| !service.is_done());
        let mut parts: Vec<String> = open.map(ToString::to_string).collect();
        if !self.behind.is_empty() && parts.is_empty() {
            parts.push(format!("{} still working on the change", self.behind.join(", ")));
        }
        parts.join("; ")
    }
}

impl ServiceProgress {
    /// `shop-web-1, last lines:`, and those below it.
    pub fn last_words(&self) -> Vec<String> {
        let Some((name, lines)) = &self.last_lines else { return Vec::new() };
        [format!("{name}, last lines:")].into_iter().chain(lines.iter().map(|line| format!("  {line}"))).collect()
    }

    pub fn is_done(&self) -> bool {
        self.done == self.desired && self.others.is_empty()
    }
}

impl std::fmt::Display for ServiceProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} of {}", self.name, self.done, self.desired)?;
        let others: Vec<String> = self.others.iter().map(|(state, count)| format!("{count} {state}")).collect();
        if others.is_empty() { Ok(()) } else { write!(f, " ({})", others.join(", ")) }
    }
}

/// Services named in the scope, or every one of the stack that exists or has containers left.
fn names(scope: &Scope, seen: &Seen) -> Vec<String> {
    if let Some(names) = &scope.services {
        return names.clone();
    }
    let services = seen.services.iter().filter(|s| s.stack == scope.stack).map(|s| s.name.clone());
    let containers = seen.containers.iter().filter(|c| c.stack == scope.stack).map(|c| c.service.clone());
    let mut names: Vec<String> = services.chain(containers).collect();
    names.sort();
    names.dedup();
    names
}

fn measure_service(stack: &str, name: &str, want: Want, seen: &Seen) -> ServiceProgress {
    let service = seen.services.iter().find(|s| s.stack == stack && s.name == name);
    let desired = match want {
        Want::Gone => 0,
        // A service that does not show yet has not begun: it counts as one that is missing.
        _ => service.map_or(1, |service| service.desired),
    };
    let mut progress = ServiceProgress { name: format!("{stack}/{name}"), desired, ..ServiceProgress::default() };
    for container in seen.containers.iter().filter(|c| c.stack == stack && c.service == name) {
        progress.count(container, want);
    }
    if let Some(service) = service.filter(|service| want != Want::Gone && is_without_containers(service)) {
        progress.count_whole(service, want);
    }
    let is_updating = service.is_some_and(|service| service.state == ServiceState::Updating);
    if want != Want::Gone && is_updating && progress.is_done() {
        progress.others.insert("updating".into(), 1);
    }
    if want == Want::Gone && service.is_some() && progress.others.is_empty() {
        progress.others.insert("to be removed".into(), 1);
    }
    progress
}

impl ServiceProgress {
    /// Of a service without containers: what it says of itself.
    fn count_whole(&mut self, service: &Service, want: Want) {
        self.done = if want == Want::Running { service.running } else { service.healthy };
        let missing = service.desired.saturating_sub(self.done);
        if missing > 0 {
            let state = if service.running < service.desired { "starting".into() } else { word(&service.health) };
            self.others.insert(state, missing);
            self.reasons.extend(service.reason.as_ref().map(|reason| (first_line(reason), missing)));
        }
    }

    fn count(&mut self, container: &Container, want: Want) {
        self.restarts += container.restarts;
        if is_as_wanted(container, want) {
            self.done += 1;
            return;
        }
        if container.state == ContainerState::Stopped && want != Want::Gone {
            return;
        }
        let state = match container.state {
            ContainerState::Running => word(&container.health),
            state => word(&state),
        };
        *self.others.entry(state).or_default() += 1;
        // Why something that shall go has not come up is of no interest.
        if let (Some(reason), false) = (&container.reason, want == Want::Gone) {
            // The log lines that may follow differ from container to container: those of one are enough.
            let lines = last_lines(reason);
            if self.last_lines.is_none() && !lines.is_empty() {
                self.last_lines = Some((container.name.clone(), lines));
            }
            *self.reasons.entry(first_line(reason)).or_default() += 1;
        }
    }
}

/// Its own state is all there is to see of it.
fn is_without_containers(service: &Service) -> bool {
    ["balancer", "external"].contains(&service.kind.as_str())
}

fn is_as_wanted(container: &Container, want: Want) -> bool {
    match (want, container.state) {
        (Want::Gone, _) => false,
        (_, ContainerState::Complete) => true,
        (Want::Running, ContainerState::Running) => true,
        (Want::Healthy, ContainerState::Running) => container.health == Health::Healthy,
        _ => false,
    }
}

fn hosts_behind(generation: u64, seen: &Seen) -> Vec<String> {
    let is_behind = |host: &&Host| host.state == HostState::Ready && host.generation < generation;
    seen.hosts.iter().filter(is_behind).map(|host| host.name.clone()).collect()
}

#[cfg(test)]
mod tests {
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
}
