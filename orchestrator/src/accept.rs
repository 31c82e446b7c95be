//! Whether a stack may be as it is written: nothing wrong, or everything that is wrong at once.
//!
//! Checks see the spec and the state it would join, change nothing, and name the field as a path in the body.

mod containerless;
mod depends;
mod health;
mod ports;
pub mod privileges;
mod program;
pub mod registry;
mod service;
mod volumes;

use std::collections::BTreeMap;

use remuda_api::names;
use remuda_api::resource::FieldError;
use remuda_api::spec::{REPLICAS_MAX, ServiceSpec, StackSpec};

use crate::state::State;
use privileges::Privilege;

/// Most services of one stack: a bound on what one request can make us do.
pub const SERVICES_MAX: usize = 1_000;

/// Everything wrong with `spec` as the new content of stack `name`; empty = accepted. `prune` = services it does not name
/// are to go.
pub fn stack(state: &State, name: &str, spec: &StackSpec, prune: bool) -> Vec<FieldError> {
    let mut faults = Faults::default();
    stack_name(state, name, spec, &mut faults);
    if spec.services.is_empty() {
        faults.add("services", "is empty: a stack has at least one service");
    }
    if spec.services.len() > SERVICES_MAX {
        faults.add("services", format!("{} services; a stack holds at most {SERVICES_MAX}", spec.services.len()));
        return faults.list;
    }
    service_names(state, name, spec, &mut faults);
    networks(spec, &mut faults);
    volumes::check(spec, &mut faults);
    for (service_name, service) in &spec.services {
        service::check(service_name, service, spec, &mut faults);
        program::check(state, service_name, service, &mut faults);
    }
    containerless::check(state, spec, prune, &mut faults);
    depends::check(spec, &mut faults);
    ports::check(state, name, spec, prune, &mut faults);
    faults.list
}

/// What a user should know of an accepted `spec`, one line each.
pub fn warnings(state: &State, spec: &StackSpec) -> Vec<String> {
    let powers = powers(state, spec).into_iter().map(|(service, use_)| format!("service {service} {}", use_.words));
    let unused = spec.services.iter().filter_map(|(name, service)| program::unused(state, name, service));
    powers.chain(unused).collect()
}

/// Uses of power over hosts that are worth a line, by service.
pub fn powers(state: &State, spec: &StackSpec) -> Vec<(String, Privilege)> {
    let of = |(name, service): (&String, &ServiceSpec)| {
        let all = privileges::of(state, name, service, spec).into_iter().filter(|found| found.is_notable);
        all.map(|found| (shown(name), found)).collect::<Vec<_>>()
    };
    spec.services.iter().flat_map(of).collect()
}

/// What somebody without host access may not declare: every use of power over a host.
pub fn without_host_access(state: &State, spec: &StackSpec) -> Vec<FieldError> {
    let all = spec.services.iter().flat_map(|(name, service)| privileges::of(state, name, service, spec));
    let refused = |found: Privilege| FieldError {
        field: found.field,
        message: format!("{}; this API key has no host access", found.words),
    };
    all.map(refused).collect()
}

/// A new scale for `stack/service` keys: everything wrong with it.
pub fn scale(state: &State, wanted: &BTreeMap<String, u32>) -> Vec<FieldError> {
    let mut faults = Faults::default();
    if wanted.is_empty() {
        faults.add("services", "is empty: name at least one as \"stack/service\": N");
    }
    for (path, replicas) in wanted {
        let field = format!("services.{path}");
        let found = path.split_once('/').and_then(|(stack, name)| state.service(stack, name));
        match found {
            None => faults.add(field, "there is no such service; `remuda services` lists them as stack/service"),
            Some(service) if service.removing => faults.add(field, "is being removed"),
            Some(service) if service.spec.external.is_some() => {
                faults.add(field, "is external: it has no containers to count")
            }
            Some(service) if service.is_global() => {
                faults.add(field, "is global: it runs once on every host that fits")
            }
            Some(_) if *replicas > REPLICAS_MAX => faults.add(field, too_many(*replicas)),
            Some(_) => {}
        }
    }
    faults.list
}

fn too_many(replicas: u32) -> String {
    format!("{replicas} is too many: at most {REPLICAS_MAX} replicas")
}

/// Faults found so far.
#[derive(Default)]
struct Faults {
    list: Vec<FieldError>,
}

impl Faults {
    fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.list.push(FieldError { field: field.into(), message: message.into() });
    }
}

fn stack_name(state: &State, name: &str, spec: &StackSpec, faults: &mut Faults) {
    if spec.name != name {
        faults.add("spec.name", format!("`{}` differs from the path's `{name}`", spec.name));
    }
    if let Err(why) = names::check_label(name) {
        faults.add("name", format!("`{}` {why}", shown(name)));
    }
    if let Some(twin) = state.stacks.keys().find(|held| *held != name && held.eq_ignore_ascii_case(name)) {
        faults.add("name", format!("`{name}` differs from stack `{twin}` in upper and lower case only, DNS does not"));
    }
}

fn service_names(state: &State, stack: &str, spec: &StackSpec, faults: &mut Faults) {
    let environment = &state.fleet.environment;
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for name in spec.services.keys() {
        let field = format!("services.{}", shown(name));
        if let Err(why) = names::check_service(stack, name) {
            faults.add(&field, format!("`{}` {why}", shown(name)));
        }
        let full = names::service_fqdn(environment, stack, name).len() + "tasks.".len();
        if full > names::NAME_MAX_BYTES {
            faults.add(&field, format!("`{}` {}", shown(name), names::NameError::FullNameTooLong(full)));
        }
        if let Some(twin) = seen.insert(name.to_ascii_lowercase(), name) {
            faults.add(&field, format!("`{name}` differs from `{twin}` in upper and lower case only, DNS does not"));
        }
        let here = (stack, name.as_str());
        let others = state.services.values().map(|other| (other.stack.as_str(), other.name.as_str()));
        let colliding = |other: &(&str, &str)| other.0 != stack && names::containers_could_collide(here, *other);
        for (other_stack, other_name) in others.filter(colliding) {
            let theirs = format!("service `{other_name}` of stack `{other_stack}`");
            faults.add(&field, format!("its containers would have the names of those of {theirs}: rename one"));
        }
    }
}

fn networks(spec: &StackSpec, faults: &mut Faults) {
    for (name, network) in &spec.networks {
        let field = format!("networks.{}", shown(name));
        if let Err(why) = names::check_label(name) {
            faults.add(&field, format!("`{}` {why}", shown(name)));
        }
        if let Some(Err(why)) = network.external.as_deref().map(names::check_label) {
            faults.add(format!("{field}.external"), why.to_string());
        }
    }
}

/// A name safe to print: without control characters, at most a label long.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(names::LABEL_MAX_BYTES).collect()
}
