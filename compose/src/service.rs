//! One service: [`read`]. Groups of keys have files of their own.

use remuda_api::names;
use remuda_api::spec::{NetworkMode, RestartPolicy, RuntimeKind, ServiceSpec};

use crate::context::Context;
use crate::field::Field;
use crate::format::Format;
use crate::limits::GRACE_MAX_MS;
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;
use crate::{
    command, depends_on, deploy, environment, extension, health_command, keys, networks, ports, quantity, signal,
};

/// Longest image reference, bytes (a registry's name, path, tag and digest fit).
const IMAGE_MAX_BYTES: usize = 512;
/// Longest host name the kernel takes, bytes (`HOST_NAME_MAX`).
const HOSTNAME_MAX_BYTES: usize = 64;
/// Longest path the kernel takes, bytes (`PATH_MAX`).
const PATH_MAX_BYTES: usize = 4096;

const RESTARTS: &[(&str, RestartPolicy)] = &[
    ("always", RestartPolicy::Always),
    ("unless-stopped", RestartPolicy::Always),
    ("on-failure", RestartPolicy::OnFailure),
    ("no", RestartPolicy::Never),
];

/// The service under `field`; problems go to the report.
pub(crate) fn read(field: &Field, format: Format, context: &mut Context) -> ServiceSpec {
    let mut service = ServiceSpec::default();
    if matches!(field.node.value, Value::Null) {
        field.problem_at_key(format!("expected {}, found nothing", keys::SERVICE.expected), &mut context.report);
        return service;
    }
    let table = match format {
        Format::V1 => &keys::SERVICE_V1,
        Format::Sections => &keys::SERVICE,
    };
    let entries = keys::acted(field, table, &mut context.report);
    for entry in &entries {
        read_key(entry, field.key(), &mut service, context);
    }
    for entry in field.members().iter().filter(|entry| entry.key() == "x-remuda") {
        extension::read(entry, &mut service, context);
    }
    // A policy under `deploy` wins over `restart`, in whatever order they are written.
    for entry in entries.iter().filter(|entry| entry.key() == "deploy") {
        deploy::read_restart_policy(entry, &mut service, &mut context.report);
    }
    if matches!(field.node.value, Value::Map(_)) {
        check_whole(field, &entries, &service, &mut context.report);
    }
    service
}

fn read_key(entry: &Field, name: &str, service: &mut ServiceSpec, context: &mut Context) {
    let report = &mut context.report;
    match entry.key() {
        "image" => service.image = read_image(entry, report),
        "command" => service.command = command::read(entry, report),
        "entrypoint" => service.entrypoint = command::read(entry, report),
        "environment" => service.environment = environment::read_environment(entry, context),
        "labels" => service.labels = environment::read_labels(entry, context),
        "ports" => service.ports = ports::read(entry, name, context),
        "networks" => networks::read_attachments(entry, service, context),
        "network_mode" | "net" => service.network_mode = read_network_mode(entry, report).unwrap_or_default(),
        "depends_on" => depends_on::read(entry, name, service, context),
        "deploy" => deploy::read(entry, service, report),
        "scale" => deploy::read_scale(entry, service, report),
        "restart" => service.restart = read_restart(entry, report).unwrap_or_default(),
        "stop_grace_period" => {
            let grace = quantity::duration_ms(entry, 0..=GRACE_MAX_MS, report);
            service.stop_grace_ms = grace.unwrap_or(service.stop_grace_ms);
        }
        "stop_signal" => service.stop_signal = signal::read(entry, report),
        "user" => service.user = entry.line("a user name or id such as `1000:1000`", report).map(str::to_owned),
        "working_dir" => service.working_dir = read_directory(entry, report),
        "hostname" => service.hostname = read_hostname(entry, report),
        "healthcheck" => service.healthcheck = health_command::read(entry, report),
        _ => {}
    }
}

fn read_image(entry: &Field, report: &mut Report) -> Option<String> {
    let expected = "an image such as `nginx:1.27`";
    let image = entry.line(expected, report)?;
    let is_plain = image.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:@+".contains(&b));
    if !is_plain || !image.as_bytes()[0].is_ascii_alphanumeric() || image.len() > IMAGE_MAX_BYTES {
        entry.expected(expected, report);
        return None;
    }
    Some(image.to_owned())
}

fn read_network_mode(entry: &Field, report: &mut Report) -> Option<NetworkMode> {
    let expected = "`bridge` (an address on the overlay, the default), `host` or `none`";
    let mode = entry.text(expected, report)?;
    match mode {
        "bridge" | "default" | "managed" => Some(NetworkMode::Managed),
        "host" => Some(NetworkMode::Host),
        "none" => Some(NetworkMode::None),
        _ if mode.starts_with("service:") || mode.starts_with("container:") => {
            let message = format!(
                "{} shares another container's network, and containers of two services may run on different hosts: \
                 give the service its own network, or put both programs into one service",
                shown(mode)
            );
            entry.problem(message, report);
            None
        }
        _ => {
            entry.expected(expected, report);
            None
        }
    }
}

fn read_restart(entry: &Field, report: &mut Report) -> Option<RestartPolicy> {
    if let Value::Text { text, .. } = &entry.node.value
        && let Some(count) = text.strip_prefix("on-failure:")
        && count.parse::<u32>().is_ok()
    {
        let message = "the number of attempts is understood, not acted on yet: restarts go on".to_owned();
        report.notice(entry.place(), message);
        return Some(RestartPolicy::OnFailure);
    }
    entry.choice(RESTARTS, report)
}

fn read_directory(entry: &Field, report: &mut Report) -> Option<String> {
    let expected = "an absolute path such as `/srv`";
    let path = entry.line(expected, report)?;
    if !path.starts_with('/') || path.len() > PATH_MAX_BYTES {
        entry.expected(expected, report);
        return None;
    }
    Some(path.to_owned())
}

pub(crate) fn read_hostname(entry: &Field, report: &mut Report) -> Option<String> {
    let name = entry.line("a host name", report)?;
    if name.len() > HOSTNAME_MAX_BYTES {
        let message =
            format!("host name {} is {} bytes long; the kernel takes {HOSTNAME_MAX_BYTES}", shown(name), name.len());
        entry.problem(message, report);
        return None;
    }
    if let Some(error) = name.split('.').find_map(|label| names::check_label(label).err()) {
        entry.problem(format!("host name {} {error}", shown(name)), report);
        return None;
    }
    Some(name.to_owned())
}

/// What must hold between the keys of one service.
fn check_whole(field: &Field, entries: &[Field], service: &ServiceSpec, report: &mut Report) {
    let find = |key: &str| entries.iter().find(|entry| entry.key() == key);
    let has_program = find("command").is_some() || find("entrypoint").is_some();
    if find("image").is_none() {
        let message = match service.runtime {
            Some(RuntimeKind::Docker) => "has no `image:`, and runtime `docker` needs one: add it",
            Some(RuntimeKind::Process) | None if has_program => "",
            _ => "has no `image:`: add one, or a `command:` to run under the runtime `process`",
        };
        if !message.is_empty() {
            field.problem_at_key(message, report);
        }
    } else if service.runtime == Some(RuntimeKind::Process) && !has_program {
        let message = "has no `command:`, and runtime `process` starts no image: say which program of the host to run";
        field.problem_at_key(message, report);
    }
    if service.network_mode != NetworkMode::Managed
        && let Some(networks) = find("networks").filter(|networks| !matches!(networks.node.value, Value::Null))
    {
        networks.problem_at_key("cannot stand beside this `network_mode`: keep one of them", report);
    }
    if service.network_mode == NetworkMode::None
        && let Some(ports) = find("ports").filter(|_| !service.ports.is_empty())
    {
        ports.problem_at_key("`network_mode: none` leaves no way to reach a port: remove one of them", report);
    }
    check_replicas(find("scale"), find("deploy"), report);
    for extension in field.members().iter().filter(|entry| entry.key() == "x-remuda") {
        extension::check(extension, service, report);
    }
}

fn check_replicas(scale: Option<&Field>, deploy: Option<&Field>, report: &mut Report) {
    let (Some(scale), Some(deploy)) = (scale, deploy) else {
        return;
    };
    let text = |node: &crate::value::Node| match &node.value {
        Value::Text { text, .. } => Some(text.clone()),
        _ => None,
    };
    if let Some(replicas) = deploy.node.get("replicas").and_then(text)
        && text(scale.node).is_some_and(|scale| scale != replicas)
    {
        scale.problem("`scale` and `deploy.replicas` differ: keep one of them", report);
    }
    if deploy.node.get("mode").and_then(text).is_some_and(|mode| &*mode == "global") {
        scale.problem_at_key("a global service runs once on every host: remove `scale`", report);
    }
}
