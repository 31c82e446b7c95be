//! Writes an accepted wish into the state: stacks, services, scale. What follows from it is [`crate::reconcile`]'s.

use std::collections::BTreeSet;
use std::sync::Arc;

use remuda_api::assignment::Container;
use remuda_api::health::request_line;
use remuda_api::resource::FieldError;
use remuda_api::spec::{NetworkMode, PublishMode, ServiceMode, ServiceSpec, StackSpec};

use crate::state::{Rest, Service, Stack, State};
use crate::{alloc, publish, runtime, volumes};

/// What a change did, one line each; services that run although the spec does not name them; and what to know of it.
#[derive(Debug, Default, PartialEq)]
pub struct Declared {
    pub changes: Vec<String>,
    pub surplus: Vec<String>,
    /// What is done although the user may not want it, one line each.
    pub warnings: Vec<String>,
}

/// Makes stack `spec.name` what `spec` says. The spec was accepted; errors are exhausted pools.
pub fn stack(state: &mut State, spec: &StackSpec, prune: bool) -> Result<Declared, Vec<FieldError>> {
    let mut declared = Declared::default();
    let before = state.clone();
    sections(state, spec);
    let mut faults = Vec::new();
    for (name, wanted) in &spec.services {
        match service(&before, state, &spec.name, name, wanted) {
            Ok(lines) => declared.changes.extend(lines),
            Err(why) => faults.push(FieldError { field: format!("services.{name}"), message: why }),
        }
    }
    let unnamed = state.services_of(&spec.name).filter(|s| !s.removing && !spec.services.contains_key(&s.name));
    let unnamed: Vec<(u32, String)> = unnamed.map(|s| (s.id, s.name.clone())).collect();
    for (id, name) in unnamed {
        match prune {
            true => declared.changes.extend(remove(state, id)),
            false => declared.surplus.push(name),
        }
    }
    volumes::declare(state, &spec.name);
    if !declared.changes.is_empty()
        && let Some(stack) = state.stacks.get_mut(&spec.name)
    {
        Arc::make_mut(stack).generation = state.revision;
    }
    if faults.is_empty() { Ok(declared) } else { Err(faults) }
}

/// Lets every service of a stack leave. None = there is no such stack.
pub fn remove_stack(state: &mut State, name: &str) -> Option<Declared> {
    state.stacks.get(name)?;
    let ids: Vec<u32> = state.services_of(name).filter(|service| !service.removing).map(|service| service.id).collect();
    Some(Declared { changes: ids.into_iter().filter_map(|id| remove(state, id)).collect(), ..Declared::default() })
}

/// Stops a service, or starts it (None). None = it is so already.
pub fn rest(state: &mut State, id: u32, rest: Option<Rest>) -> Option<String> {
    let revision = state.revision;
    // What was never started and is stopped now, stays so when a file says that it starts.
    let is_same = |service: &Service| service.rest == rest;
    let service = Arc::make_mut(state.services.get_mut(&id).filter(|service| !is_same(service))?);
    (service.rest, service.generation) = (rest, revision);
    let word = if rest.is_some() { "stopped" } else { "started" };
    Some(format!("{}: {word}", service.name))
}

/// A new scale of a replicated service. None = it has that scale already.
pub fn scale(state: &mut State, id: u32, replicas: u32) -> Option<String> {
    let revision = state.revision;
    let held = state.services.get_mut(&id).filter(|service| service.scale != replicas)?;
    let service = Arc::make_mut(held);
    let line = format!("{}: scale {} -> {replicas}", service.name, service.scale);
    (service.scale, service.generation) = (replicas, revision);
    Some(line)
}

fn sections(state: &mut State, spec: &StackSpec) {
    let held = state.stacks.entry(spec.name.clone()).or_default();
    let mut next = Stack { name: spec.name.clone(), ..(**held).clone() };
    // Services that the spec does not name may still use networks and volumes it does not name either.
    next.networks.extend(spec.networks.clone());
    next.volumes.extend(spec.volumes.clone());
    if **held != next {
        next.generation = state.revision;
        *held = Arc::new(next);
    }
}

/// Lets one service leave. None = there is none of this id.
pub fn remove(state: &mut State, id: u32) -> Option<String> {
    let revision = state.revision;
    let service = Arc::make_mut(state.services.get_mut(&id)?);
    (service.removing, service.generation) = (true, revision);
    Some(format!("{}: removed", service.name))
}

fn service(
    before: &State,
    state: &mut State,
    stack: &str,
    name: &str,
    spec: &ServiceSpec,
) -> Result<Option<String>, String> {
    let Some(held) = before.service(stack, name).cloned() else {
        return create(state, stack, name, spec).map(Some);
    };
    let scale = match spec.mode {
        ServiceMode::Replicated { replicas } => replicas.unwrap_or(if held.removing { 1 } else { held.scale }),
        ServiceMode::Global => 0,
    };
    let rest = match held.rest {
        _ if held.removing => rest_of(spec),
        // Who writes that it starts wants it started; what somebody stopped by hand stays so.
        Some(Rest::NotStarted) => rest_of(spec),
        rest => rest,
    };
    let mut next = Service { spec: stored(spec), scale, rest, removing: false, ..(*held).clone() };
    let must_restart = next.spec.has_containers() && program(before, &held) != program(state, &next);
    if *held == next && !must_restart {
        return Ok(None);
    }
    next.frontend_ids = frontend_ids(state, &held, spec)?;
    next.vip = vip(state, &held, spec)?;
    if must_restart || claims_differ(&held, &next) {
        next.spec_revision = state.revision;
    }
    next.generation = state.revision;
    let line = describe(&held, &next);
    state.services.insert(next.id, Arc::new(next));
    Ok(Some(line))
}

fn rest_of(spec: &ServiceSpec) -> Option<Rest> {
    (!spec.start_on_create).then_some(Rest::NotStarted)
}

/// What a container runs and under what, without how it is watched: agents take a new health command while it runs.
fn program(state: &State, service: &Service) -> Container {
    let runtime = runtime::of(state, service).name().into();
    Container { health_command: None, runtime, ..publish::body(state, service) }
}

/// The spec as kept: the declared scale lives beside it, so a file that says the same again changes nothing.
fn stored(spec: &ServiceSpec) -> ServiceSpec {
    let mode = match spec.mode {
        ServiceMode::Replicated { .. } => ServiceMode::Replicated { replicas: None },
        ServiceMode::Global => ServiceMode::Global,
    };
    let mut spec = ServiceSpec { mode, ..spec.clone() };
    if let Some(line) = spec.health_check.as_mut().and_then(|check| check.request_line.as_mut())
        && let Ok(normal) = request_line::normal(line)
    {
        *line = normal;
    }
    spec
}

/// Placement depends on these: containers that no longer fit have to move.
fn claims_differ(held: &Service, next: &Service) -> bool {
    let (old, new) = (&held.spec, &next.spec);
    old.resources != new.resources
}

fn describe(held: &Service, next: &Service) -> String {
    if held.removing {
        return format!("{}: created", next.name);
    }
    let scale = (held.scale != next.scale).then(|| format!("scale {} -> {}", held.scale, next.scale));
    let replaced = (held.spec_revision != next.spec_revision).then(|| "containers replaced".to_owned());
    let started = (held.rest.is_some() && next.rest.is_none()).then(|| "started".to_owned());
    let other = (held.spec != next.spec && replaced.is_none()).then(|| "changed in place".to_owned());
    let parts: Vec<String> = scale.into_iter().chain(started).chain(replaced).chain(other).collect();
    format!("{}: {}", next.name, parts.join(", "))
}

fn create(state: &mut State, stack: &str, name: &str, spec: &ServiceSpec) -> Result<String, String> {
    let used = ids_in_use(state);
    let id = next_id(state, &used)?;
    let revision = state.revision;
    let scale = match spec.mode {
        ServiceMode::Replicated { replicas } => replicas.unwrap_or(1),
        ServiceMode::Global => 0,
    };
    let mut service = Service {
        id,
        stack: stack.to_owned(),
        name: name.to_owned(),
        spec: stored(spec),
        scale,
        spec_revision: revision,
        generation: revision,
        released: spec.depends_on.is_empty(),
        rest: rest_of(spec),
        ..Service::default()
    };
    service.frontend_ids = frontend_ids(state, &service, spec)?;
    service.vip = vip(state, &service, spec)?;
    state.services.insert(id, Arc::new(service));
    Ok(format!("{name}: created"))
}

/// Ids of the ingress-published ports of `spec`; a port that was published before keeps its id.
fn frontend_ids(state: &mut State, held: &Service, spec: &ServiceSpec) -> Result<Vec<u32>, String> {
    let mut used = ids_in_use(state);
    used.insert(held.id);
    let mut ids = Vec::with_capacity(spec.ports.len());
    for port in &spec.ports {
        let same = |old: &remuda_api::spec::PortSpec| {
            (old.published, old.protocol, old.mode) == (port.published, port.protocol, port.mode)
        };
        let kept = held.spec.ports.iter().position(same).and_then(|at| held.frontend_ids.get(at)).copied();
        let id = match (port.published, port.mode) {
            (Some(_), PublishMode::Ingress) => match kept.filter(|id| *id != 0) {
                Some(id) => id,
                None => next_id(state, &used)?,
            },
            _ => 0,
        };
        used.insert(id);
        ids.push(id);
    }
    Ok(ids)
}

/// Service ids and frontend ids are one space.
fn ids_in_use(state: &State) -> BTreeSet<u32> {
    let services = state.services.values();
    services.flat_map(|service| service.frontend_ids.iter().copied().chain([service.id])).collect()
}

fn next_id(state: &mut State, used: &BTreeSet<u32>) -> Result<u32, String> {
    let cursor = &mut Arc::make_mut(&mut state.fleet).cursors.frontend_id;
    let id = alloc::next_id(cursor, alloc::FRONTEND_ID_MAX, |id| used.contains(&id));
    id.ok_or_else(|| format!("ids: all {} of services and published ports are in use", alloc::FRONTEND_ID_MAX))
}

fn vip(state: &mut State, held: &Service, spec: &ServiceSpec) -> Result<Option<std::net::Ipv4Addr>, String> {
    if spec.network_mode == NetworkMode::None || spec.external.is_some() {
        return Ok(None);
    }
    if held.vip.is_some() {
        return Ok(held.vip);
    }
    let used = state.services.values().filter_map(|service| service.vip).collect();
    let fleet = Arc::make_mut(&mut state.fleet);
    let vip = alloc::next_vip(&fleet.vip_pools, &mut fleet.cursors.vip, &used);
    vip.map(Some).ok_or_else(|| "VIPs: every address of the VIP pools is in use".into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use remuda_api::health::{HealthCheck, HealthCommand, Strategy};

    use super::*;

    fn web() -> ServiceSpec {
        ServiceSpec { command: Some(vec!["x".into()]), ..ServiceSpec::default() }
    }

    /// Declares `spec` as service `web` in the next revision; what it did.
    fn declare(state: &mut State, spec: ServiceSpec) -> Vec<String> {
        state.revision += 1;
        let services = BTreeMap::from([("web".to_owned(), spec)]);
        let stack = StackSpec { name: "s".into(), services, ..StackSpec::default() };
        super::stack(state, &stack, false).expect("room").changes
    }

    fn fleet() -> State {
        let mut state = State::default();
        Arc::make_mut(&mut state.fleet).vip_pools = vec!["10.43.0.0/16".parse().expect("a pool")];
        declare(&mut state, web());
        state
    }

    fn spec_revision(state: &State) -> u64 {
        state.service("s", "web").expect("web").spec_revision
    }

    #[test]
    fn how_a_service_is_watched_and_drained_changes_without_a_restart() {
        let command = HealthCommand::new(vec!["true".into()]);
        let check = HealthCheck { port: 80, ..HealthCheck::default() };
        let patient = HealthCheck { strategy: Strategy::None, ..check.clone() };
        let mut state = fleet();
        let first = spec_revision(&state);
        for spec in [
            ServiceSpec { health_check: Some(check), ..web() },
            ServiceSpec { health_check: Some(patient), ..web() },
            ServiceSpec { healthcheck: Some(command.clone()), ..web() },
            ServiceSpec { healthcheck: Some(HealthCommand { retries: 9, ..command }), ..web() },
            ServiceSpec { drain_timeout_ms: 0, ..web() },
            web(),
        ] {
            assert_eq!(declare(&mut state, spec), ["web: changed in place"]);
            assert_eq!(spec_revision(&state), first);
            assert_eq!(state.service("s", "web").expect("web").generation, state.revision);
        }
        assert_eq!(
            declare(&mut state, ServiceSpec { user: Some("app".into()), ..web() }),
            ["web: containers replaced"]
        );
        assert_eq!(spec_revision(&state), state.revision);
    }

    #[test]
    fn what_was_never_started_can_be_stopped_and_no_file_starts_it_then() {
        let mut state = fleet();
        let id = state.service("s", "web").expect("web").id;
        Arc::make_mut(state.services.get_mut(&id).expect("web")).rest = Some(Rest::NotStarted);
        assert_eq!(rest(&mut state, id, Some(Rest::Stopped)).as_deref(), Some("web: stopped"));
        assert_eq!(rest(&mut state, id, Some(Rest::Stopped)), None);
        declare(&mut state, web());
        assert_eq!(state.services[&id].rest, Some(Rest::Stopped));
    }

    #[test]
    fn a_request_line_is_kept_as_it_is_sent() {
        let with = |line: &str| {
            let check = HealthCheck { port: 80, request_line: Some(line.into()), ..HealthCheck::default() };
            ServiceSpec { health_check: Some(check), ..web() }
        };
        let mut state = fleet();
        declare(&mut state, with(r#"GET "/ping" "HTTP/1.0""#));
        let kept = state.service("s", "web").and_then(|service| service.spec.health_check.clone()).expect("a check");
        assert_eq!(kept.request_line.as_deref(), Some("GET /ping HTTP/1.0"));
        assert!(declare(&mut state, with("GET /ping")).is_empty(), "the same in other words");
    }
}
