//! `io.rancher.…` labels: what they ask for is done, or said not to be.

use remuda_api::spec::{Constraint, RuntimeKind, ServiceMode, ServiceSpec};

use super::image::{self, Kind};
use crate::context::Context;
use crate::field::Field;
use crate::problem::{plain_shown, shown};
use crate::value::Value;

const PREFIX: &str = "io.rancher.";
const OF_CONTAINERS: &str = "io.rancher.container.";
const AFFINITY: &str = "io.rancher.scheduler.affinity:";
/// A container label every container of a service has in Rancher, with `STACK/SERVICE` as its value.
const OF_SERVICE: &str = "io.rancher.stack_service.name";
/// Longest label key or value of a host, bytes.
const LABEL_MAX_BYTES: usize = 255;

/// Acts on the labels of the service whose Compose keys are `whole`; they stay labels of its containers.
pub(crate) fn read(whole: &Field, service: &mut ServiceSpec, context: &mut Context) {
    let name = whole.key().to_owned();
    for value in service.labels.values_mut().filter(|value| value.contains("${")) {
        *value = value.replace("${stack_name}", context.stack).replace("${service_name}", &name);
    }
    if !service.labels.keys().any(|label| label.starts_with(PREFIX)) {
        return;
    }
    for labels in whole.members().iter().filter(|entry| entry.key() == "labels") {
        // Both forms, and what is wrong with them, have been read: here only the places count.
        for entry in labels.members() {
            act(entry.key(), &entry, (&name, service), context);
        }
        if let Value::List(_) = labels.node.value {
            for item in labels.items("", &mut context.report) {
                if let Value::Text { text, .. } = &item.node.value {
                    act(text.split('=').next().unwrap_or(text), &item, (&name, service), context);
                }
            }
        }
    }
}

fn act(label: &str, field: &Field, (name, service): (&str, &mut ServiceSpec), context: &mut Context) {
    let Some(value) = service.labels.get(label).filter(|_| label.starts_with(PREFIX)).cloned() else {
        return;
    };
    let is_true = value.eq_ignore_ascii_case("true");
    let has_containers = service.image.as_deref().is_none_or(|image| image::kind(image) == Kind::Containers);
    match label {
        "io.rancher.scheduler.global" if is_true => service.mode = ServiceMode::Global,
        "io.rancher.container.pull_image" if value == "always" => {
            if service.engine.pull.is_empty() && service.runtime != Some(RuntimeKind::Process) {
                service.engine.pull = "always".to_owned();
            }
        }
        _ => {
            if let Some(rule) = label.strip_prefix(AFFINITY) {
                affinity(rule, &value, field, (name, service), context);
            } else if let Some(meaning) =
                meaning(label, &value).filter(|_| has_containers || !label.starts_with(OF_CONTAINERS))
            {
                let message = format!("label `{label}` is understood, not acted on: {meaning}");
                context.report.notice(field.key_place(), message);
            }
        }
    }
}

/// A scheduling rule: hard ones about hosts are constraints, one of a service on each host is that.
fn affinity(rule: &str, value: &str, field: &Field, (name, service): (&str, &mut ServiceSpec), context: &mut Context) {
    let is_own = |pair: (&str, &str)| pair == (OF_SERVICE, &*format!("{}/{name}", context.stack));
    let pairs: Vec<&str> = value.split(',').map(str::trim).filter(|pair| !pair.is_empty()).collect();
    let own = pairs.iter().filter_map(|pair| pair.split_once('=')).any(is_own);
    match rule {
        "host_label" | "host_label_ne" => {
            for pair in pairs {
                match constraint(pair, rule == "host_label") {
                    // What `print` wrote says it twice.
                    Some(constraint) if service.constraints.contains(&constraint) => {}
                    Some(constraint) => service.constraints.push(constraint),
                    None => {
                        let message = format!("{} is no `label=value` of a host", shown(pair));
                        field.problem(message, &mut context.report);
                    }
                }
            }
        }
        "container_label_ne" if own && pairs.len() == 1 => service.max_replicas_per_node = 1,
        // Containers of a service are spread anyway.
        "container_label_soft_ne" if own && pairs.len() == 1 => {}
        "container_label" if own => {
            let message = "asks for a host that runs this service already, and so the first container fits nowhere: remove \
                           this label";
            field.problem(message, &mut context.report);
        }
        _ => {
            let rule = plain_shown(rule);
            let message =
                format!("label `{AFFINITY}{rule}` is understood, not acted on: hosts are chosen without this rule");
            context.report.notice(field.key_place(), message);
        }
    }
}

fn constraint(pair: &str, equal: bool) -> Option<Constraint> {
    let (label, value) = pair.split_once('=')?;
    let (label, value) = (label.trim(), value.trim());
    let fits =
        !label.is_empty() && !value.is_empty() && label.len() <= LABEL_MAX_BYTES && value.len() <= LABEL_MAX_BYTES;
    fits.then(|| Constraint { key: format!("node.labels.{label}"), equal, value: value.to_owned() })
}

/// What not acting on `label` means; None = nothing, or it is not Rancher's to act on.
fn meaning(label: &str, value: &str) -> Option<&'static str> {
    let is_true = value.eq_ignore_ascii_case("true");
    Some(match label {
        "io.rancher.sidekicks" => "sidekicks are placed like any other service, not beside this one (they come later)",
        "io.rancher.container.start_once" if is_true => {
            "containers that end are started again; write `restart: \"no\"` to have them run once"
        }
        "io.rancher.container.hostname_override" => "the host name is the container's own, or `hostname:`",
        "io.rancher.container.requested_ip" => "addresses are given out by the fleet; `retain_ip: true` keeps one",
        "io.rancher.container.dns" if !is_true => "fleet names resolve in every container on the overlay",
        "io.rancher.container.create_agent" if is_true => "containers get no key to the API",
        "io.rancher.container.agent.role" => "containers get no key to the API",
        "io.rancher.lb_service.target" if value != "any" => "a balancer leads to healthy containers on every host",
        "io.rancher.service.selector.link" | "io.rancher.service.selector.container" => {
            "services are not chosen by selectors yet; name them"
        }
        _ if label.starts_with("io.rancher.loadbalancer.") => {
            "these are of balancers before Rancher 1.2; write `lb_config:` with `port_rules:`"
        }
        _ if label.starts_with("io.rancher.scheduler.") && !matches!(label, "io.rancher.scheduler.global") => {
            "hosts are chosen without this rule"
        }
        _ => return None,
    })
}
