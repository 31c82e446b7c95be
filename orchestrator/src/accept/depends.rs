//! What depends on what: known services, no circles.

use std::collections::{BTreeMap, BTreeSet};

use remuda_api::spec::{DependsOn, ServiceSpec, StackSpec};

use super::Faults;

pub(super) fn check(spec: &StackSpec, faults: &mut Faults) {
    for (name, service) in &spec.services {
        for dependency in service.depends_on.keys().filter(|wanted| !spec.services.contains_key(*wanted)) {
            faults.add(format!("services.{name}.depends_on.{dependency}"), "there is no such service in this stack");
        }
        let endless = |(wanted, condition): &(&String, &DependsOn)| {
            **condition == DependsOn::ServiceCompletedSuccessfully
                && spec.services.get(*wanted).is_some_and(|service| !service.has_containers())
        };
        for (dependency, _) in service.depends_on.iter().filter(endless) {
            let why = "has no containers that could complete: wait for `service_started` or `service_healthy`";
            faults.add(format!("services.{name}.depends_on.{dependency}"), why);
        }
    }
    if let Some(circle) = circle(spec) {
        let words = circle.join(" -> ");
        faults.add(format!("services.{}.depends_on", circle[0]), format!("depends on itself: {words}"));
    }
}

/// One circle, first and last name equal. Services are taken away while they depend on nothing that is left;
/// following any dependency from what remains must then come back to where it was before.
fn circle(spec: &StackSpec) -> Option<Vec<&str>> {
    let mut left: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, service) in &spec.services {
        let needs = service.depends_on.keys().chain(targets(spec, name, service));
        left.insert(name, needs.filter(|needed| spec.services.contains_key(*needed)).map(String::as_str).collect());
    }
    while let Some(free) = left.iter().find(|(_, needs)| needs.is_empty()).map(|(name, _)| *name) {
        left.remove(free);
        for needs in left.values_mut() {
            needs.remove(free);
        }
    }
    let mut path = vec![*left.keys().next()?];
    loop {
        let next = *left.get(path.last()?)?.first()?;
        if let Some(start) = path.iter().position(|seen| *seen == next) {
            path.push(next);
            return Some(path.split_off(start));
        }
        path.push(next);
    }
}

/// What a balancer that somebody waits for to be healthy waits for itself: services behind it.
fn targets<'a>(spec: &'a StackSpec, name: &str, service: &'a ServiceSpec) -> impl Iterator<Item = &'a String> {
    let waits = |other: &ServiceSpec| other.depends_on.get(name) == Some(&DependsOn::ServiceHealthy);
    let rules =
        service.balancer.iter().filter(|_| spec.services.values().any(waits)).flat_map(|balancer| &balancer.rules);
    let own = |stack: &Option<String>| stack.as_deref().is_none_or(|stack| stack == spec.name);
    rules.filter(move |rule| own(&rule.stack)).map(|rule| &rule.service).collect::<Vec<_>>().into_iter()
}
