//! One service: [`print`].

use remuda_api::health::HealthCommand;
use remuda_api::spec::{DependsOn, NetworkMode, PortSpec, PublishMode, ServiceSpec};
use serde_json::{Map, Value, json};

use super::words::{Object, duration, pairs};
use super::{deploy, engine, extension};

/// The service's keys, those most looked for first.
pub(super) fn print(service: &ServiceSpec) -> Value {
    let has_containers = service.balancer.is_none() && service.external.is_none();
    let mut printed = Object::default();
    if let Some(image) = &service.image {
        printed.put("image", image.as_str());
    }
    if has_containers {
        print_program(service, &mut printed);
    }
    printed.put_some("labels", pairs(&service.labels));
    printed.put_some("ports", service.ports.iter().map(port).collect::<Vec<_>>());
    print_networks(service, &mut printed);
    if has_containers {
        let waits = service.depends_on.iter().map(|(name, how)| (name.clone(), json!({"condition": condition(*how)})));
        printed.put_some("depends_on", waits.collect::<Map<_, _>>());
        printed.put("deploy", deploy::print(service));
        printed.put("stop_grace_period", duration(service.stop_grace_ms));
        printed.put_some("stop_signal", service.stop_signal.clone());
        match &service.healthcheck {
            Some(command) => printed.put("healthcheck", health(command)),
            None if service.engine.no_healthcheck => printed.put("healthcheck", json!({"disable": true})),
            None => {}
        }
        engine::print(&service.engine, &mut printed);
    } else {
        deploy::print_global(service, &mut printed);
    }
    printed.put_some("x-remuda", extension::print(service));
    printed.into()
}

fn print_program(service: &ServiceSpec, printed: &mut Object) {
    for (key, words) in [("entrypoint", &service.entrypoint), ("command", &service.command)] {
        if let Some(words) = words {
            printed.put(key, words.clone());
        }
    }
    printed.put_some("environment", pairs(&service.environment));
    printed.put_some("user", service.user.clone());
    printed.put_some("working_dir", service.working_dir.clone());
    printed.put_some("hostname", service.hostname.clone());
}

fn port(port: &PortSpec) -> Value {
    let mut printed = Object::default();
    printed.put("target", port.target);
    printed.put_some("published", port.published);
    printed.put("protocol", port.protocol.name());
    let mode = match port.mode {
        PublishMode::Ingress => "ingress",
        PublishMode::Host => "host",
    };
    printed.put("mode", mode);
    printed.into()
}

fn print_networks(service: &ServiceSpec, printed: &mut Object) {
    match service.network_mode {
        NetworkMode::Managed if service.networks.is_empty() => printed.put("networks", json!({"default": null})),
        NetworkMode::Managed => {}
        NetworkMode::Host => printed.put("network_mode", "host"),
        NetworkMode::None => printed.put("network_mode", "none"),
    }
    let joined = service.networks.iter().map(|(name, how)| {
        let aliases = (!how.aliases.is_empty()).then(|| json!({"aliases": how.aliases}));
        (name.clone(), aliases.unwrap_or(Value::Null))
    });
    printed.put_some("networks", joined.collect::<Map<_, _>>());
}

fn condition(how: DependsOn) -> &'static str {
    match how {
        DependsOn::ServiceStarted => "service_started",
        DependsOn::ServiceHealthy => "service_healthy",
        DependsOn::ServiceCompletedSuccessfully => "service_completed_successfully",
    }
}

fn health(command: &HealthCommand) -> Value {
    let test = match &command.argv[..] {
        [shell, flag, line] if shell == "/bin/sh" && flag == "-c" && !line.trim().is_empty() => {
            vec!["CMD-SHELL".to_owned(), line.clone()]
        }
        argv => [&["CMD".to_owned()], argv].concat(),
    };
    json!({
        "test": test,
        "interval": duration(command.interval_ms),
        "timeout": duration(command.timeout_ms),
        "retries": command.retries,
        "start_period": duration(command.start_period_ms),
        "start_interval": duration(command.start_interval_ms),
    })
}
