//! How far a host that is drained is from being empty. Pure: what the API shows goes in, what is left comes out.

use std::collections::BTreeSet;

use remuda_api::resource::Container;

use crate::listing::{first_line, word};
use crate::progress::{Progress, Seen, ServiceProgress};

/// A host on its way to be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emptying {
    pub host: String,
    /// How many containers it had at the beginning.
    pub before: u32,
    /// Whose they were, `stack/service`: what of these waits for a place is told.
    pub services: BTreeSet<String>,
}

impl Emptying {
    /// Begins with what is on `host` now.
    pub fn of(host: &str, seen: &Seen) -> Self {
        let here: Vec<&Container> = on(host, seen).collect();
        let services = here.iter().map(|container| service_of(container)).collect();
        Self { host: host.to_owned(), before: here.len() as u32, services }
    }

    /// The distance, as of one service that shall have none left.
    pub fn measure(&self, seen: &Seen) -> Progress {
        let mut left = ServiceProgress { name: format!("{} emptied", self.host), ..ServiceProgress::default() };
        for container in on(&self.host, seen) {
            *left.others.entry(word(&container.state)).or_default() += 1;
        }
        let count: u32 = left.others.values().sum();
        left.desired = self.before.max(count);
        left.done = left.desired - count;
        for (reason, count) in self.waiting(seen) {
            left.reasons.insert(reason, count);
        }
        Progress { services: vec![left], behind: Vec::new(), is_final: true }
    }

    /// Containers of its services that found no other place: `shop/web waits: no host has …`, and how many say so.
    pub fn waiting(&self, seen: &Seen) -> Vec<(String, u32)> {
        let mut reasons = std::collections::BTreeMap::new();
        for container in seen.containers.iter().filter(|c| c.host.is_none() && self.services.contains(&service_of(c))) {
            let why = container.reason.as_deref().map(first_line).unwrap_or_else(|| "for a host".into());
            *reasons.entry(format!("{} waits: {why}", service_of(container))).or_default() += 1;
        }
        reasons.into_iter().collect()
    }
}

fn on<'a>(host: &'a str, seen: &'a Seen) -> impl Iterator<Item = &'a Container> {
    seen.containers.iter().filter(move |container| container.host.as_deref() == Some(host))
}

fn service_of(container: &Container) -> String {
    format!("{}/{}", container.stack, container.service)
}

#[cfg(test)]
mod tests {
    use remuda_api::resource::{ContainerState, Health};

    use super::*;

    fn container(n: u32, host: Option<&str>, state: ContainerState) -> Container {
        Container {
            name: format!("shop-web-{n}"),
            stack: "shop".into(),
            service: "web".into(),
            host: host.map(Into::into),
            ip: None,
            state,
            health: Health::Healthy,
            reason: host.is_none().then(|| "no host has 4 cores free".into()),
            pid: None,
            restarts: 0,
            created: String::new(),
        }
    }

    fn seen(containers: &[(u32, Option<&str>, ContainerState)]) -> Seen {
        let containers = containers.iter().map(|(n, host, state)| container(*n, *host, *state)).collect();
        Seen { containers, ..Seen::default() }
    }

    use ContainerState::{Draining, Pending, Running};

    #[test]
    fn what_is_left_is_counted_by_state_until_nothing_is() {
        let emptying =
            Emptying::of("h1", &seen(&[(1, Some("h1"), Running), (2, Some("h1"), Running), (3, Some("h2"), Running)]));
        assert_eq!(emptying.before, 2);
        let half = emptying.measure(&seen(&[(1, Some("h1"), Draining), (4, Some("h2"), Running)]));
        assert_eq!(half.missing(), "h1 emptied: 1 of 2 (1 draining)");
        assert!(!half.is_done());
        assert!(emptying.measure(&seen(&[(4, Some("h2"), Running)])).is_done());
    }

    #[test]
    fn an_empty_host_is_done_at_once() {
        let nothing = seen(&[(1, Some("h2"), Running)]);
        assert!(Emptying::of("h1", &nothing).measure(&nothing).is_done());
    }

    #[test]
    fn what_fits_nowhere_else_is_told_and_does_not_hold_the_host() {
        let emptying = Emptying::of("h1", &seen(&[(1, Some("h1"), Running)]));
        let after = seen(&[(2, None, Pending), (3, None, Pending)]);
        assert!(emptying.measure(&after).is_done());
        assert_eq!(emptying.waiting(&after), [("shop/web waits: no host has 4 cores free".to_owned(), 2)]);
    }

    #[test]
    fn services_that_were_not_there_are_of_no_interest() {
        let emptying = Emptying::of("h1", &seen(&[]));
        assert!(emptying.waiting(&seen(&[(2, None, Pending)])).is_empty());
    }
}
