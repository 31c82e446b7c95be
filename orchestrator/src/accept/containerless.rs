//! Services without containers: a balancer's rules lead to services that exist, each of its ports one way; an external
//! service leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use remuda_api::names;
use remuda_api::spec::{
    BalancerRule, BalancerSpec, ExternalSpec, NetworkMode, Protocol, PublishMode, ServiceSpec, StackSpec,
};

use super::service::At;
use super::{Faults, shown};
use crate::state::{Service, State};

/// A bound on what one service can make every host hold.
const RULES_MAX: usize = 1_000;
/// All of them are in one DNS answer.
const ADDRESSES_MAX: usize = 64;
/// Where Rancher's balancer answers the check of its own health.
const RESERVED_SOURCE: u16 = 42;

pub(super) fn check(state: &State, spec: &StackSpec, prune: bool, faults: &mut Faults) {
    let known = Known { state, spec, prune };
    for (name, service) in &spec.services {
        let at = |field: &str| format!("services.{}.{field}", shown(name));
        if service.balancer.is_some() && service.external.is_some() {
            faults.add(at("external"), "and `balancer` are both there: a service is one of the two");
        }
        if let Some(rules) = &service.balancer {
            balancer(rules, service, &known, &at, faults);
        }
        if let Some(leads) = &service.external {
            external(leads, service, &at, faults);
        }
    }
    led_to(&known, faults);
}

/// Targets of balancers that stay as they are, which this change would put out of their reach.
fn led_to(known: &Known, faults: &mut Faults) {
    let Known { state, spec, prune } = known;
    let stays = |lb: &&Arc<Service>| {
        let is_own = lb.stack == spec.name;
        !lb.removing && !(is_own && (*prune || spec.services.contains_key(&lb.name)))
    };
    for lb in state.services.values().filter(stays) {
        let rules = lb.spec.balancer.iter().flat_map(|balancer| &balancer.rules);
        let rules = rules.filter(|rule| rule.stack.as_deref().unwrap_or(&lb.stack) == spec.name);
        let targets: BTreeSet<&String> = rules.map(|rule| &rule.service).collect();
        for (name, target) in targets.into_iter().filter_map(|name| Some((name, spec.services.get(name)?))) {
            let was_led_to = state.service(&spec.name, name).is_none_or(|held| leads_to(&held.spec).is_ok());
            if let (true, Err(why)) = (was_led_to, leads_to(target)) {
                let lb = lb.path();
                let why = format!("balancer `{lb}` leads to it, and {why}; take it out of that balancer first");
                faults.add(format!("services.{}", shown(name)), why);
            }
        }
    }
}

/// Where a rule's target is looked for.
struct Known<'a> {
    state: &'a State,
    spec: &'a StackSpec,
    /// What the spec does not name is about to go.
    prune: bool,
}

impl<'a> Known<'a> {
    /// The target as it will be; an error says what to do.
    fn target(&self, rule: &BalancerRule) -> Result<&'a ServiceSpec, String> {
        let stack = rule.stack.as_deref().unwrap_or(&self.spec.name);
        let is_own = stack == self.spec.name;
        if let Some(service) = self.spec.services.get(&rule.service).filter(|_| is_own) {
            return Ok(service);
        }
        let held = self.state.service(stack, &rule.service).filter(|service| !service.removing);
        match held {
            Some(_) if is_own && self.prune => Err("would be removed by this very change: name another target".into()),
            Some(service) => Ok(&service.spec),
            None if is_own => Err("there is no such service in this stack".into()),
            None => {
                Err(format!("there is no such service in stack `{}`: deploy that stack before this one", shown(stack)))
            }
        }
    }
}

fn balancer(rules: &BalancerSpec, service: &ServiceSpec, known: &Known, at: &At, faults: &mut Faults) {
    if rules.rules.is_empty() || rules.rules.len() > RULES_MAX {
        let count = rules.rules.len();
        faults.add(at("balancer.rules"), format!("{count} rules; a balancer has at least one, at most {RULES_MAX}"));
    }
    let mut ways: BTreeMap<(Protocol, u16), u16> = BTreeMap::new();
    for (index, rule) in rules.rules.iter().enumerate().take(RULES_MAX) {
        let field = |field: &str| at(&format!("balancer.rules[{index}].{field}"));
        for (name, port) in [("source_port", rule.source_port), ("target_port", rule.target_port)] {
            if port == 0 {
                faults.add(field(name), "0 is no port: 1 to 65535");
            }
        }
        if rule.source_port == RESERVED_SOURCE {
            faults.add(field("source_port"), "42 is kept for the check of the balancer's own health: take another");
        }
        let way = *ways.entry((rule.protocol, rule.source_port)).or_insert(rule.target_port);
        if way != rule.target_port {
            let (source, protocol) = (rule.source_port, rule.protocol.name());
            let why = format!(
                "source port {source}/{protocol} leads to target port {way} already: one port of a balancer leads to \
                 one port of its targets, give this target a source port of its own"
            );
            faults.add(field("target_port"), why);
        }
        if let Err(why) = known.target(rule).and_then(leads_to) {
            faults.add(field("service"), format!("`{}`: {why}", shown(&rule.service)));
        }
    }
    published(&ways, service, at, faults);
}

/// Whether connections can be led to this service; if not, why.
fn leads_to(target: &ServiceSpec) -> Result<(), String> {
    let why = match target {
        ServiceSpec { balancer: Some(_), .. } => "it is a balancer itself: name the services behind it",
        ServiceSpec { external: Some(_), .. } => "it lies outside of the fleet: a balancer leads to containers",
        ServiceSpec { network_mode: NetworkMode::None, .. } => {
            "nobody can reach its containers: it has network_mode `none`"
        }
        _ => return Ok(()),
    };
    Err(why.into())
}

fn published(ways: &BTreeMap<(Protocol, u16), u16>, service: &ServiceSpec, at: &At, faults: &mut Faults) {
    for (index, port) in service.ports.iter().enumerate() {
        let field = |field: &str| at(&format!("ports[{index}].{field}"));
        if !ways.contains_key(&(port.protocol, port.target)) {
            let (target, protocol) = (port.target, port.protocol.name());
            let why = format!(
                "{target}/{protocol} is the source port of none of the balancer's rules: add a rule or leave the port out"
            );
            faults.add(field("target"), why);
        }
        if port.mode == PublishMode::Host {
            let why = "`host` means the host a container runs on, and a balancer has none: leave the mode out";
            faults.add(field("mode"), why);
        }
    }
    if service.network_mode == NetworkMode::None {
        faults.add(at("network_mode"), "`none` would leave a balancer without an address: leave it out");
    }
}

fn external(leads: &ExternalSpec, service: &ServiceSpec, at: &At, faults: &mut Faults) {
    match (leads.addresses.len(), &leads.hostname) {
        (0, None) => faults.add(at("external"), "names neither addresses nor a hostname: its name would lead nowhere"),
        (0, Some(hostname)) => {
            if let Err(why) = check_hostname(hostname) {
                faults.add(at("external.hostname"), format!("`{}` {why}", shown(hostname)));
            }
        }
        (_, Some(_)) => {
            faults.add(at("external.hostname"), "and addresses are both there: a name leads to one of the two")
        }
        (count, None) if count > ADDRESSES_MAX => {
            faults.add(at("external.addresses"), format!("{count} addresses; at most {ADDRESSES_MAX}"))
        }
        (_, None) => {}
    }
    for (index, address) in leads.addresses.iter().enumerate().take(ADDRESSES_MAX) {
        if !address.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified()) {
            let why = format!("`{}` is no address: write 192.0.2.7 or 2001:db8::7", shown(address));
            faults.add(at(&format!("external.addresses[{index}]")), why);
        }
    }
    for (index, _) in service.ports.iter().enumerate().filter(|(_, port)| port.published.is_some()) {
        let why = "nothing of an external service is in the fleet that could answer there: leave the port out";
        faults.add(at(&format!("ports[{index}].published")), why);
    }
}

/// One or more labels, in all no longer than DNS takes; a final dot is fine.
fn check_hostname(hostname: &str) -> Result<(), String> {
    let name = hostname.strip_suffix('.').unwrap_or(hostname);
    if name.len() > names::NAME_MAX_BYTES {
        return Err(format!("is {} bytes long; DNS holds at most {}", name.len(), names::NAME_MAX_BYTES));
    }
    if name.parse::<IpAddr>().is_ok() {
        return Err("is an address: write it under `addresses`".into());
    }
    name.split('.').try_for_each(|label| names::check_label(label).map_err(|why| format!("{why}, in each part")))
}

#[cfg(test)]
mod tests;
