//! Balancers: `lb_config`, and before that `links`, to rules. Plain http is balanced as TCP; what needs layer 7 is refused.

use std::collections::BTreeSet;

use remuda_api::names;
use remuda_api::spec::{BalancerRule, BalancerSpec, PortSpec, Protocol, PublishMode, ServiceSpec, StackSpec};

use super::image::{self, Kind};
use super::{keys, refusal};
use crate::context::{Context, Target};
use crate::field::Field;
use crate::keys::{acted, nearest};
use crate::problem::shown;
use crate::report::Report;
use crate::value::{Node, Value};

/// The port on which Rancher's balancer answered about itself.
const CHECK_PORT: u16 = 42;
/// Most rules of one balancer.
const RULES_MAX: usize = 1_000;

/// Reads `lb_config`.
pub(crate) fn read(field: &Field, service: &mut ServiceSpec, context: &mut Context) {
    if !service.image.as_deref().is_some_and(|image| image::kind(image) == Kind::Balancer) {
        let message = format!(
            "`lb_config` counts for nothing here: only a service of image `{}` is a balancer, and what it would say about \
             targets goes with `selector` rules, which are not there yet",
            image::BALANCER
        );
        return context.report.notice(field.key_place(), message);
    }
    let mut rules = Vec::new();
    for entry in acted(field, &keys::LB_CONFIG, &mut context.report) {
        if refusal::tell(&entry, &mut context.report) {
            continue;
        }
        let items = entry.items("a list of rules", &mut context.report);
        if items.len() > RULES_MAX {
            let message = format!("{} rules are too many: at most {RULES_MAX}", items.len());
            entry.problem_at_key(message, &mut context.report);
            continue;
        }
        for item in &items {
            let rule = read_rule(item, context);
            if let Some(message) = rule.as_ref().and_then(|rule| crossing(rule, &rules)) {
                item.problem(message, &mut context.report);
            }
            rules.extend(rule);
        }
    }
    service.balancer = Some(BalancerSpec { rules });
}

/// Why `rule` cannot stand beside those before it.
fn crossing(rule: &BalancerRule, before: &[BalancerRule]) -> Option<String> {
    let (port, protocol) = (rule.source_port, rule.protocol);
    let first = before.iter().find(|first| (first.source_port, first.protocol) == (port, protocol))?;
    let target = first.target_port;
    (target != rule.target_port).then(|| {
        let protocol = protocol.name();
        format!(
            "source port {port}/{protocol} leads to target port {target} already, and one port of a balancer leads to one \
             port of its targets: give this target a `source_port` of its own"
        )
    })
}

fn read_rule(field: &Field, context: &mut Context) -> Option<BalancerRule> {
    let mut rule = BalancerRule::default();
    let entries = acted(field, &keys::PORT_RULE, &mut context.report);
    for entry in &entries {
        read_rule_key(entry, &mut rule, context);
    }
    if !matches!(field.node.value, Value::Map(_)) {
        if matches!(field.node.value, Value::Null) {
            field.expected(keys::PORT_RULE.expected, &mut context.report);
        }
        return None;
    }
    let find = |key: &str| entries.iter().find(|entry| entry.key() == key);
    // Such a rule is refused at that key, and needs no word about what else it lacks.
    let by_other_means = ["selector", "container"].iter().any(|key| find(key).is_some_and(says_something));
    for (key, message) in [
        ("source_port", "has no `source_port:`: say on which port the balancer listens"),
        ("target_port", "has no `target_port:`: say which port of the target's containers is meant"),
        ("service", "has no `service:`: say where the port leads, `SERVICE` or `STACK/SERVICE`"),
    ] {
        if find(key).is_none() && !by_other_means {
            field.problem(message, &mut context.report);
        }
    }
    (rule.source_port != 0 && rule.target_port != 0 && !rule.service.is_empty()).then_some(rule)
}

fn read_rule_key(entry: &Field, rule: &mut BalancerRule, context: &mut Context) {
    let report = &mut context.report;
    match entry.key() {
        "source_port" => rule.source_port = read_source_port(entry, report),
        "target_port" => rule.target_port = read_port(entry, report),
        "service" => read_service(entry, rule, context),
        "protocol" => rule.protocol = read_protocol(entry, report),
        "priority" => rule.priority = read_priority(entry, report),
        key => {
            if let Some(message) = refused(key).filter(|_| says_something(entry)) {
                entry.text("text", report);
                entry.problem_at_key(message, report);
            }
        }
    }
}

/// `selector:` alone and `selector: ''` stand in many an exported file, and mean nothing.
fn says_something(entry: &Field) -> bool {
    match &entry.node.value {
        Value::Null => false,
        Value::Text { text, .. } => !text.is_empty(),
        _ => true,
    }
}

/// Why a rule with this key is refused, unless it is empty; None = it means nothing here.
fn refused(key: &str) -> Option<String> {
    let needs = match key {
        "hostname" | "path" => {
            return Some(format!(
                "http rules with `{key}` need a layer-7 proxy, which this release does not have: give each service a \
                 `source_port` of its own, or run a proxy as a service and let the balancer lead to it"
            ));
        }
        "selector" => "targets chosen by `selector`",
        "container" => "single containers as targets",
        "environment" | "region" => "targets in other environments",
        _ => return None,
    };
    Some(format!(
        "{needs} are not there yet: name the target with `service: SERVICE` or `STACK/SERVICE`, a rule for each"
    ))
}

fn read_port(entry: &Field, report: &mut Report) -> u16 {
    let port = entry.number("a port, a whole number", 1..=65_535, report);
    port.and_then(|port| u16::try_from(port).ok()).unwrap_or(0)
}

fn read_source_port(entry: &Field, report: &mut Report) -> u16 {
    let port = read_port(entry, report);
    if port == CHECK_PORT {
        entry.problem("port 42 is where a balancer answers about itself: take another one", report);
    }
    port
}

fn read_priority(entry: &Field, report: &mut Report) -> Option<i64> {
    let expected = "a whole number, the lowest is the first";
    let text = entry.text(expected, report)?;
    let priority = text.trim().parse().ok();
    if priority.is_none() {
        entry.expected(expected, report);
    }
    priority
}

fn read_protocol(entry: &Field, report: &mut Report) -> Protocol {
    let Some(text) = entry.text("`http`, `tcp` or `udp`", report) else {
        return Protocol::Tcp;
    };
    let message = match text.to_ascii_lowercase().as_str() {
        "http" | "tcp" => return Protocol::Tcp,
        "udp" => return Protocol::Udp,
        "https" | "tls" => {
            "ends TLS in the balancer, which this release does not: write `tcp` and let the service end TLS itself"
        }
        "sni" => {
            "chooses the target by the name in TLS, which this release does not: write `tcp`, with a port for each target"
        }
        _ => {
            entry.expected("`http`, `tcp` or `udp`", report);
            return Protocol::Tcp;
        }
    };
    entry.problem(format!("{} {message}", shown(text)), report);
    Protocol::Tcp
}

fn read_service(entry: &Field, rule: &mut BalancerRule, context: &mut Context) {
    let Some(text) = entry.line("`SERVICE` or `STACK/SERVICE`", &mut context.report) else {
        return;
    };
    let (stack, service) = match text.split_once('/') {
        Some((stack, service)) => (Some(stack).filter(|stack| *stack != context.stack), service),
        None => (None, text),
    };
    for name in stack.into_iter().chain([service]) {
        if let Err(error) = names::check_label(name) {
            return entry.problem(format!("{} {error}", shown(text)), &mut context.report);
        }
    }
    (rule.stack, rule.service) = (stack.map(str::to_owned), service.to_owned());
    if stack.is_none() {
        context.references.targets.push(Target { service: service.to_owned(), place: entry.place() });
    }
}

/// What must hold for a balancer, once everything about it is read.
pub(crate) fn complete(whole: &Field, overlay: Option<&Field>, service: &mut ServiceSpec, context: &mut Context) {
    let has_rules = service.balancer.as_ref().is_some_and(|balancer| !balancer.rules.is_empty());
    let is_told = [overlay.map(|overlay| overlay.node), whole.node.get("x-remuda")].into_iter().flatten().any(|node| {
        node.get("lb_config").and_then(|config| config.get("port_rules")).is_some_and(|rules| match &rules.value {
            Value::List(rules) => !rules.is_empty(),
            Value::Null => false,
            _ => true,
        })
    });
    if !has_rules && !is_told {
        let rules = rules_of_links(whole, service, context);
        if rules.is_empty() {
            let message = "is a balancer and has no rule where its ports lead: write `lb_config: {port_rules: \
                           [{source_port: 80, target_port: 80, service: web}]}` in rancher-compose.yml, or under `x-remuda:`";
            whole.problem_at_key(message, &mut context.report);
        }
        service.balancer = Some(BalancerSpec { rules });
    }
    let check = overlay.map(|overlay| overlay.node).and_then(|node| node.get("health_check"));
    check_itself(whole, check, service, &mut context.report);
    match_ports(whole, service, &mut context.report);
}

/// Nothing of a balancer runs that could be asked, but the dataplane answers for it where Rancher's balancer did.
fn check_itself(whole: &Field, check: Option<&Node>, service: &ServiceSpec, report: &mut Report) {
    let port = service.health_check.as_ref().map_or(CHECK_PORT, |check| check.port);
    if port != CHECK_PORT {
        let mut place = whole.key_place();
        if let Some(check) = check {
            place.span = check.get("port").unwrap_or(check).span;
        }
        let message = format!(
            "port {port} is no port of a balancer's own, only its check on port 42 is answered: put the `health_check` \
             at the services behind it"
        );
        report.problem(place, message);
    }
}

/// Before `lb_config`, each linked service was a target on every port of the balancer.
fn rules_of_links(whole: &Field, service: &ServiceSpec, context: &mut Context) -> Vec<BalancerRule> {
    let members = whole.members();
    let mut rules = Vec::new();
    for links in members.iter().filter(|entry| entry.key() == "links") {
        for item in links.items("a list of services such as `- web`", &mut context.report) {
            let Some(text) = item.line("a service such as `web` or `web:alias`", &mut context.report) else {
                continue;
            };
            let target = text.split(':').next().unwrap_or(text);
            context.references.targets.push(Target { service: target.to_owned(), place: item.place() });
            for port in service.ports.iter().take(RULES_MAX - rules.len().min(RULES_MAX)) {
                let (source_port, protocol) = (port.target, port.protocol);
                let service = target.to_owned();
                rules.push(BalancerRule {
                    source_port,
                    target_port: source_port,
                    protocol,
                    service,
                    ..BalancerRule::default()
                });
            }
        }
    }
    rules
}

/// A rule's port that `ports` does not name is there inside of the fleet; a port without a rule leads nowhere.
fn match_ports(whole: &Field, service: &mut ServiceSpec, report: &mut Report) {
    let rules = service.balancer.as_ref().map_or(&[][..], |balancer| &balancer.rules);
    let listening: BTreeSet<(u16, Protocol)> = rules.iter().map(|rule| (rule.source_port, rule.protocol)).collect();
    if listening.is_empty() {
        return;
    }
    let members = whole.members();
    let place = members.iter().find(|entry| entry.key() == "ports").unwrap_or(whole).key_place();
    if service.ports.iter().any(|port| port.mode == PublishMode::Host) {
        let message = "`mode: host` means the host a container runs on, and a balancer has none: leave the mode out";
        report.problem(place.clone(), message);
    }
    for port in service.ports.iter().filter(|port| !listening.contains(&(port.target, port.protocol))) {
        let name = port.protocol.name();
        let message = format!(
            "port {}/{name} of the balancer has no rule with this `source_port`: nothing answers there",
            port.target
        );
        report.notice(place.clone(), message);
    }
    service.ports.retain(|port| listening.contains(&(port.target, port.protocol)));
    for (target, protocol) in listening {
        if !service.ports.iter().any(|port| (port.target, port.protocol) == (target, protocol)) {
            service.ports.push(PortSpec { target, published: None, protocol, mode: PublishMode::default() });
        }
    }
}

/// Services that balancers lead to are there and have containers.
pub(crate) fn check_targets(spec: &StackSpec, context: &mut Context) {
    for target in std::mem::take(&mut context.references.targets) {
        if context.report.is_full() {
            return;
        }
        let name = shown(&target.service);
        let message = match spec.services.get(&target.service) {
            Some(service) if service.balancer.is_some() => {
                format!("{name} is a balancer itself: lead to the service behind it")
            }
            Some(service) if service.external.is_some() => {
                format!("{name} is outside of the fleet and has no containers a balancer could lead to")
            }
            Some(ServiceSpec { image: Some(image), .. }) if image::kind(image) == Kind::Alias => {
                format!("{name} is one more name for others: lead to each of those")
            }
            Some(_) => continue,
            None => match nearest(&target.service, spec.services.keys().map(String::as_str)) {
                Some(near) => format!("unknown service {name}: did you mean {}?", shown(near)),
                None => format!("unknown service {name}: add it, or write `STACK/SERVICE` for another stack's"),
            },
        };
        context.report.problem(target.place, message);
    }
}
