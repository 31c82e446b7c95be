//! What runs a service's containers: the host's own files, or an image under a container engine.

use remuda_api::spec::{RuntimeKind, ServiceSpec};

use crate::state::{Node, Service, State};

/// The runtime that new containers of `service` get: what it says, else what it needs, else what those it has run
/// under, else `docker` if any host has an engine.
///
/// A container keeps the one it was placed with: an engine that comes or goes moves nothing.
pub fn of(state: &State, service: &Service) -> RuntimeKind {
    let offered = || if awaits_engine(&service.spec) { RuntimeKind::Docker } else { offered(state) };
    needed(&service.spec).or_else(|| held(state, service)).unwrap_or_else(offered)
}

/// Its image has mounts: accepted while a host with an engine was there or could still come, it waits for one.
pub fn awaits_engine(spec: &ServiceSpec) -> bool {
    spec.runtime.is_none() && spec.image.is_some() && !spec.engine.mounts.is_empty()
}

/// The same for a spec that no service has yet.
pub fn of_spec(state: &State, spec: &ServiceSpec) -> RuntimeKind {
    needed(spec).unwrap_or_else(|| offered(state))
}

/// What the spec leaves no choice about.
fn needed(spec: &ServiceSpec) -> Option<RuntimeKind> {
    match spec.runtime {
        Some(kind) => Some(kind),
        None if spec.image.is_none() => Some(RuntimeKind::Process),
        None if !has_program(spec) => Some(RuntimeKind::Docker),
        None => None,
    }
}

/// It says what to run without an image.
pub fn has_program(spec: &ServiceSpec) -> bool {
    [&spec.command, &spec.entrypoint].into_iter().flatten().any(|words| !words.is_empty())
}

/// Of its containers that run what it now says.
fn held(state: &State, service: &Service) -> Option<RuntimeKind> {
    let is_placed = |c: &crate::state::Container| c.is_wanted() && c.node_id != 0;
    let mut current = state.containers_of(service.id).filter(|c| c.spec_revision == service.spec_revision);
    current.find(|container| is_placed(container)).map(|container| container.runtime)
}

fn offered(state: &State) -> RuntimeKind {
    if hosts_with_engine(state) > 0 { RuntimeKind::Docker } else { RuntimeKind::Process }
}

/// It can run images.
pub fn has_engine(node: &Node) -> bool {
    node.facts.runtimes.iter().any(|name| name == RuntimeKind::Docker.name())
}

/// How many hosts can run images.
pub fn hosts_with_engine(state: &State) -> usize {
    state.nodes.values().filter(|node| has_engine(node)).count()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use remuda_api::link::HostFacts;

    use super::*;
    use crate::state::Container;

    fn fleet(runtimes: &[&str]) -> State {
        let mut state = State::default();
        let facts =
            HostFacts { runtimes: runtimes.iter().map(|name| (*name).to_owned()).collect(), ..HostFacts::default() };
        state.nodes.insert(1, Arc::new(Node { id: 1, facts, ..Node::default() }));
        state
    }

    fn spec(image: bool, command: bool, runtime: Option<RuntimeKind>) -> ServiceSpec {
        let image = image.then(|| "nginx".to_owned());
        ServiceSpec { image, command: command.then(|| vec!["x".into()]), runtime, ..ServiceSpec::default() }
    }

    #[test]
    fn what_is_written_counts_then_what_it_needs_then_what_the_fleet_offers() {
        use RuntimeKind::{Docker, Process};
        let (bare, engine) = (fleet(&["process"]), fleet(&["process", "docker"]));
        for (spec, without, with) in [
            (spec(true, true, None), Process, Docker),
            (spec(false, true, None), Process, Process),
            (spec(true, false, None), Docker, Docker),
            (spec(true, true, Some(Process)), Process, Process),
            (spec(true, true, Some(Docker)), Docker, Docker),
        ] {
            assert_eq!((of_spec(&bare, &spec), of_spec(&engine, &spec)), (without, with), "{spec:?}");
        }
    }

    #[test]
    fn a_service_that_runs_keeps_its_runtime_when_an_engine_comes() {
        let mut state = fleet(&["process", "docker"]);
        let service = Service { id: 7, spec: spec(true, true, None), spec_revision: 3, ..Service::default() };
        let held = Container { service_id: 7, node_id: 1, spec_revision: 3, ..Container::default() };
        state.containers.insert("s-web-1".into(), Arc::new(held));
        assert_eq!(of(&state, &service), RuntimeKind::Process);
        let changed = Service { spec_revision: 4, ..service };
        assert_eq!(of(&state, &changed), RuntimeKind::Docker, "what is replaced anyway takes what is there");
    }
}
