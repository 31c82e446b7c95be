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
mod tests;
