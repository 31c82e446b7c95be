//! `rancher/dns-service`: one more name for the services it links to. No service here, but an alias of each of them.

use remuda_api::spec::{NetworkMode, ServiceSpec, StackSpec};

use crate::context::{Alias, Context};
use crate::field::Field;

/// Notes what `whole` is one more name for.
pub(crate) fn read(whole: &Field, service: &ServiceSpec, context: &mut Context) {
    let mut targets = Vec::new();
    for entry in whole.members() {
        if entry.key() == "external_links" && !entry.items("a list of services", &mut context.report).is_empty() {
            let message = "a name for services of another stack is not there yet: ask for them as `service.stack`";
            entry.problem_at_key(message, &mut context.report);
        }
        if entry.key() != "links" {
            continue;
        }
        for item in entry.items("a list of services such as `- web`", &mut context.report) {
            if let Some(text) = item.line("a service such as `web`", &mut context.report) {
                let target = text.split(':').next().unwrap_or(text);
                targets.push((target.to_owned(), item.place()));
            }
        }
    }
    let is_known_otherwise = whole.node.get("external_links").is_some();
    if targets.is_empty() && !is_known_otherwise {
        let message = "`rancher/dns-service` is one more name for other services: say which under `links:`";
        whole.problem_at_key(message, &mut context.report);
    }
    if !service.ports.is_empty() {
        let message = "publishes ports, and a name has none: remove `ports`";
        whole.problem_at_key(message, &mut context.report);
    }
    let alias = Alias { name: whole.key().to_owned(), targets, place: whole.key_place() };
    context.references.aliases.push(alias);
}

/// Turns the names that [`read`] noted into aliases of their targets; they are no services any longer.
pub(crate) fn resolve(spec: &mut StackSpec, context: &mut Context) {
    let aliases = std::mem::take(&mut context.references.aliases);
    for alias in &aliases {
        spec.services.remove(&alias.name);
        for service in spec.services.values_mut() {
            service.depends_on.remove(&alias.name);
        }
    }
    for alias in aliases {
        let message = "`rancher/dns-service` is no service here: its name is one more of those it links to, seen by \
                       services on their networks";
        context.report.notice(alias.place, message.to_owned());
        for (target, place) in alias.targets {
            let message = match spec.services.get_mut(&target) {
                Some(service) if service.network_mode == NetworkMode::Managed => {
                    add(&alias.name, service);
                    continue;
                }
                Some(_) => "is on no network of the fleet, and can have no further name there".to_owned(),
                None => super::unknown_service(&target, spec),
            };
            context.report.problem(place, message);
        }
    }
}

/// Gives `service` one more name on each of its networks.
pub(crate) fn add(name: &str, service: &mut ServiceSpec) {
    if service.networks.is_empty() {
        service.networks.insert("default".to_owned(), Default::default());
    }
    for attachment in service.networks.values_mut().filter(|how| !how.aliases.iter().any(|alias| alias == name)) {
        attachment.aliases.push(name.to_owned());
    }
}
