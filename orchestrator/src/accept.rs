//! Whether a stack may be as it is written: nothing wrong, or everything that is wrong at once.
//!
//! Checks see the spec and the state it would join, change nothing, and name the field as a path in the body.

mod containerless;
mod depends;
mod engine;
mod health;
mod ports;
pub mod privileges;
mod program;
pub mod registry;
mod service;
mod volumes;

use std::collections::BTreeMap;
use std::sync::Arc;

use remuda_api::names;
use remuda_api::resource::FieldError;
use remuda_api::spec::{REPLICAS_MAX, ServiceSpec, StackSpec};

use crate::state::{Service, State};
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

/// What somebody without host access may not declare: every use of power over a host. `prune` = services it does not name
/// are to go.
pub fn without_host_access(state: &State, spec: &StackSpec, prune: bool) -> Vec<FieldError> {
    let named = spec.services.iter().flat_map(|(name, service)| privileges::of(state, name, service, spec));
    let kept = if prune { Vec::new() } else { new_powers_of_kept(state, spec) };
    let all = named.chain(privileges::of_volumes(state, spec)).chain(kept);
    let refused = |found: Privilege| FieldError {
        field: found.field,
        message: format!("{}; this API key has no host access", found.words),
    };
    all.map(refused).collect()
}

/// What services that `spec` does not name would be able to do by its volumes and networks, and are not now.
fn new_powers_of_kept(state: &State, spec: &StackSpec) -> Vec<Privilege> {
    let Some(held) = state.stacks.get(&spec.name) else { return Vec::new() };
    let (volumes, networks) = (held.volumes.clone(), held.networks.clone());
    let before = StackSpec { name: spec.name.clone(), volumes, networks, ..StackSpec::default() };
    let mut after = before.clone();
    after.volumes.extend(spec.volumes.clone());
    after.networks.extend(spec.networks.clone());
    let is_kept = |service: &&Arc<Service>| !service.removing && !spec.services.contains_key(&service.name);
    let gained = |service: &Arc<Service>| {
        let of = |stack: &StackSpec| privileges::of(state, &service.name, &service.spec, stack);
        let had = of(&before);
        of(&after).into_iter().filter(|found| !had.contains(found)).collect::<Vec<_>>()
    };
    state.services_of(&spec.name).filter(is_kept).flat_map(gained).collect()
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

#[cfg(test)]
mod tests {
    use remuda_api::engine::{EngineSpec, Mount};
    use remuda_api::spec::VolumeSpec;

    use super::*;
    use crate::declare;

    /// Stack `s` with volume `data` of these options, without services.
    fn with_volume(options: &[(&str, &str)]) -> StackSpec {
        let driver_options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let data = VolumeSpec { driver_options, ..VolumeSpec::default() };
        StackSpec { name: "s".into(), volumes: [("data".to_owned(), data)].into(), ..StackSpec::default() }
    }

    #[test]
    fn a_volume_is_not_changed_into_a_path_of_the_host_under_a_service_that_is_not_named() {
        let mut state = State::default();
        Arc::make_mut(&mut state.fleet).vip_pools = vec!["10.43.0.0/16".parse().expect("a pool")];
        let mount = Mount { kind: "volume".into(), source: "data".into(), target: "/data".into(), ..Mount::default() };
        let engine = EngineSpec { mounts: vec![mount], ..EngineSpec::default() };
        let db = ServiceSpec { image: Some("db".into()), engine, ..ServiceSpec::default() };
        let first = StackSpec { services: [("db".to_owned(), db)].into(), ..with_volume(&[]) };
        declare::stack(&mut state, &first, false).expect("room");
        let fields = |spec: &StackSpec, prune| {
            let faults = without_host_access(&state, spec, prune);
            faults.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
        };
        let sly = with_volume(&[("type", "none"), ("o", "bind"), ("device", "/etc")]);
        assert_eq!(fields(&sly, false), ["volumes.data", "services.db.engine.mounts[0]"]);
        assert_eq!(fields(&sly, true), ["volumes.data"]);
        assert_eq!(fields(&with_volume(&[]), false), [""; 0]);
    }
}
