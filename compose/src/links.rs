//! `links`, `external_links` and `expose`: of a time when containers were introduced to each other one by one. Today
//! services of a stack find each other by name.

use std::collections::{BTreeMap, BTreeSet};

use remuda_api::names;
use remuda_api::spec::{NetworkMode, StackSpec};

use crate::context::{Context, Link};
use crate::field::Field;
use crate::problem::shown;
use crate::report::Report;
use crate::{keys, ports, rancher};

/// Most names that links may give one service.
const ALIASES_MAX: usize = 256;

/// Notes `service[:alias]` for [`check`].
pub(crate) fn read(field: &Field, context: &mut Context) {
    for item in field.items("a list of services such as `- db` or `- db:database`", &mut context.report) {
        let Some(text) = item.line("a service such as `db`, or `db:alias`", &mut context.report) else {
            continue;
        };
        let (service, alias) = text.split_once(':').unwrap_or((text, text));
        let link = Link { service: service.to_owned(), alias: alias.to_owned(), place: item.place() };
        context.references.links.push(link);
    }
}

/// Checks `container[:alias]`, as Rancher has it `stack/service[:alias]`.
pub(crate) fn read_external(field: &Field, report: &mut Report) {
    for item in field.items("a list such as `- other/db` or `- other/db:database`", report) {
        if item.line("something such as `other/db`", report).is_some() {
            let message = "`external_links` is understood, not acted on yet: a service of another stack is reached as \
                           `service.stack`";
            report.notice(field.key_place(), message.to_owned());
        }
    }
}

/// Checks ports that are open to other services; all are, so there is nothing to do.
pub(crate) fn read_expose(field: &Field, report: &mut Report) {
    for item in field.items("a list of ports such as `- \"80\"`", report) {
        if let Some(text) = item.text("a port such as `80`, or `53/udp`", report)
            && let Err(message) = ports::check_exposed(text)
        {
            item.problem(format!("{} {message}", shown(text)), report);
        }
    }
}

/// Services that links lead to exist. Under its own name each is found anyway; another name becomes an alias of it, which
/// every service on its networks sees.
pub(crate) fn check(spec: &mut StackSpec, context: &mut Context) {
    let links = std::mem::take(&mut context.references.links);
    let mut targets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for link in &links {
        targets.entry(&link.alias).or_default().insert(&link.service);
    }
    let mut alias_counts: BTreeMap<&str, usize> = BTreeMap::new();
    for link in &links {
        if context.report.is_full() {
            return;
        }
        let is_only = targets.get(link.alias.as_str()).is_some_and(|targets| targets.len() == 1);
        let is_free = is_only && !spec.services.contains_key(&link.alias) && names::check_label(&link.alias).is_ok();
        match spec.services.get_mut(&link.service) {
            None => report_unknown(link, spec, &mut context.report),
            Some(_) if link.alias == link.service => {}
            Some(target) if is_free && target.network_mode == NetworkMode::Managed => {
                let count = alias_counts.entry(&link.service).or_default();
                *count += 1;
                if *count > ALIASES_MAX {
                    let message =
                        format!("more than {ALIASES_MAX} aliases of links lead to one service: use its own name");
                    context.report.problem(link.place.clone(), message);
                    continue;
                }
                rancher::alias::add(&link.alias, target);
                let message = "an alias of a link is known to every service on the networks of its target, not to this one \
                               alone";
                context.report.notice(link.place.clone(), message.to_owned());
            }
            Some(_) => {
                let message = format!(
                    "the alias of a link is understood, not acted on yet: {} does not lead to {}; use the service's own \
                     name",
                    shown(&link.alias),
                    shown(&link.service)
                );
                context.report.notice(link.place.clone(), message);
            }
        }
    }
}

fn report_unknown(link: &Link, spec: &StackSpec, report: &mut Report) {
    let advice = match keys::nearest(&link.service, spec.services.keys().map(String::as_str)) {
        Some(near) => format!("did you mean {}?", shown(near)),
        None => "add it, or remove the link".to_owned(),
    };
    report.problem(link.place.clone(), format!("unknown service {}: {advice}", shown(&link.service)));
}
