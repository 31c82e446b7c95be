//! Whether a service has something to run: an image where an engine is, or files of the host.

use remuda_api::engine::EngineSpec;
use remuda_api::spec::{RuntimeKind, ServiceSpec};

use super::{Faults, shown};
use crate::runtime;
use crate::state::State;

pub(super) fn check(state: &State, name: &str, service: &ServiceSpec, faults: &mut Faults) {
    if !service.has_containers() {
        return;
    }
    let at = |field: &str| format!("services.{}.{field}", shown(name));
    match runtime::of_spec(state, service) {
        RuntimeKind::Docker if service.image.is_none() => {
            faults.add(at("image"), "runtime `docker` runs images: add `image:`, or leave out the runtime");
        }
        RuntimeKind::Docker if service.runtime.is_none() && !runtime::has_program(service) && has_no_engine(state) => {
            let why = "no host of this fleet has a container engine to run the image: install docker on one (its agent \
                       finds /var/run/docker.sock, or is told with `--docker SOCKET`), or add `command:` to run files \
                       of the hosts instead";
            faults.add(at("command"), why);
        }
        RuntimeKind::Docker => {}
        RuntimeKind::Process => {
            if !runtime::has_program(service) {
                let why = "runtime `process` runs files of the host and needs `command:` or `entrypoint:` (an image is only recorded)";
                faults.add(at("command"), why);
            }
            // Hosts that are still to join may have an engine: until one has, nothing of it is placed.
            if !state.nodes.is_empty() || !runtime::awaits_engine(service) {
                without_engine(service, &at, faults);
            }
        }
    }
}

/// Hosts are known, and none has one. A fleet that no host has joined may get one that has.
fn has_no_engine(state: &State) -> bool {
    !state.nodes.is_empty() && runtime::hosts_with_engine(state) == 0
}

/// What only an engine can give, where there is none: refused when `process` was asked for by name, and always when data
/// would be missing. What is left is told as a warning ([`unused`]).
fn without_engine(service: &ServiceSpec, at: &dyn Fn(&str) -> String, faults: &mut Faults) {
    let is_asked_for = service.runtime == Some(RuntimeKind::Process);
    for field in engine_fields(&service.engine).into_iter().filter(|field| is_asked_for || field == "mounts") {
        let cure =
            if service.image.is_some() { "use runtime `docker`" } else { "add `image:` and use runtime `docker`" };
        faults.add(at(&format!("engine.{field}")), format!("only a container engine can do this: {cure}"));
    }
}

/// One line for what a service asks of an engine and will not get, as no host has one.
pub(super) fn unused(state: &State, name: &str, service: &ServiceSpec) -> Option<String> {
    let fields = engine_fields(&service.engine);
    let is_process = service.has_containers() && runtime::of_spec(state, service) == RuntimeKind::Process;
    (is_process && !fields.is_empty()).then(|| {
        format!(
            "service {name} runs files of the hosts, without a container engine: {} has no effect",
            fields.join(", ")
        )
    })
}

/// Fields of `spec` that are set, by name.
fn engine_fields(spec: &EngineSpec) -> Vec<String> {
    let fields = |spec: &EngineSpec| match serde_json::to_value(spec) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let unset = fields(&EngineSpec::default());
    fields(spec).into_iter().filter(|(name, value)| unset.get(name) != Some(value)).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use remuda_api::engine::Mount;

    use super::*;
    use crate::state::{Node, Service};

    #[test]
    fn an_image_with_mounts_is_refused_where_hosts_have_no_engine_and_waits_where_no_host_has_joined() {
        let mount = Mount { kind: "tmpfs".into(), target: "/x".into(), ..Mount::default() };
        let spec = ServiceSpec {
            image: Some("nginx".into()),
            command: Some(vec!["nginx".into()]),
            engine: EngineSpec { mounts: vec![mount], ..EngineSpec::default() },
            ..ServiceSpec::default()
        };
        let fields = |state: &State, spec: &ServiceSpec| {
            let mut faults = Faults::default();
            check(state, "web", spec, &mut faults);
            faults.list.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
        };
        let mut state = State::default();
        assert_eq!(fields(&state, &spec), [""; 0]);
        let asked = ServiceSpec { runtime: Some(RuntimeKind::Process), ..spec.clone() };
        assert_eq!(fields(&state, &asked), ["services.web.engine.mounts"]);
        state.nodes.insert(1, Arc::new(Node { id: 1, ..Node::default() }));
        assert_eq!(fields(&state, &spec), ["services.web.engine.mounts"]);
        let service = Service { spec, ..Service::default() };
        assert_eq!(runtime::of(&state, &service), RuntimeKind::Docker, "never begun without its mounts");
    }
}
