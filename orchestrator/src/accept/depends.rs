//! What depends on what: known services, no circles.

use std::collections::{BTreeMap, BTreeSet};

use remuda_api::spec::StackSpec;

use super::Faults;

pub(super) fn check(spec: &StackSpec, faults: &mut Faults) {
    for (name, service) in &spec.services {
        for dependency in service.depends_on.keys().filter(|wanted| !spec.services.contains_key(*wanted)) {
            faults.add(format!("services.{name}.depends_on.{dependency}"), "there is no such service in this stack");
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
        let known = service.depends_on.keys().filter(|dependency| spec.services.contains_key(*dependency));
        left.insert(name, known.map(String::as_str).collect());
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
