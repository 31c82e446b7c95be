//! One service: [`read`]. Groups of keys have files of their own.

use remuda_api::engine::EngineSpec;
use remuda_api::names;
use remuda_api::spec::{NetworkMode, RestartPolicy, RuntimeKind, ServiceSpec};

use crate::context::Context;
use crate::field::Field;
use crate::format::Format;
use crate::limits::{ATTEMPTS_MAX, GRACE_MAX_MS};
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;
use crate::{
    command, depends_on, deploy, engine, env_file, environment, extension, health_command, keys, links, networks, path,
    ports, quantity, resources, signal, volumes, volumes_from,
};

/// Longest image reference, bytes (a registry's name, path, tag and digest fit).
const IMAGE_MAX_BYTES: usize = 512;
/// Longest host name the kernel takes, bytes (`HOST_NAME_MAX`).
const HOSTNAME_MAX_BYTES: usize = 64;

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
    context.mounted.clear();
    let volumes_before = context.references.volumes.len();
    for entry in &entries {
        read_key(entry, field.key(), &mut service, context);
    }
    for entry in field.members().iter().filter(|entry| entry.key() == "x-remuda") {
        extension::read(entry, &mut service, context);
    }
    read_together(field, &entries, &mut service, context);
    if let Some(entry) = entries.iter().find(|entry| entry.key() == "volume_driver") {
        let driver = volumes::read_driver(entry, &mut context.report);
        for volume in &mut context.references.volumes[volumes_before..] {
            volume.driver.clone_from(&driver);
        }
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
        "restart" => read_restart(entry, service, report),
        "stop_grace_period" => {
            let grace = quantity::duration_ms(entry, 0..=GRACE_MAX_MS, report);
            service.stop_grace_ms = grace.unwrap_or(service.stop_grace_ms);
        }
        "stop_signal" => service.stop_signal = signal::read(entry, report),
        "user" => service.user = entry.line("a user name or id such as `1000:1000`", report).map(str::to_owned),
        "working_dir" => service.working_dir = read_directory(entry, report),
        "hostname" => service.hostname = read_hostname(entry, report),
        "healthcheck" => service.healthcheck = health_command::read(entry, &mut service.engine, report),
        "links" => links::read(entry, context),
        "volumes_from" => volumes_from::read(entry, name, context),
        "external_links" => links::read_external(entry, report),
        "expose" => links::read_expose(entry, report),
        _ => engine::read(entry, &mut service.engine, context),
    }
}

/// Keys whose meaning depends on others, in whatever order they are written.
fn read_together(field: &Field, entries: &[Field], service: &mut ServiceSpec, context: &mut Context) {
    for entry in entries {
        match entry.key() {
            // A policy under `deploy` wins over `restart`, what is written in the file over what it names.
            "deploy" => deploy::read_restart_policy(entry, service, &mut context.report),
            "env_file" => {
                for (name, value) in env_file::read(entry, context) {
                    service.environment.entry(name).or_insert(value);
                }
            }
            "label_file" => {
                for (name, value) in env_file::read_labels(entry, context) {
                    service.labels.entry(name).or_insert(value);
                }
            }
            _ => {}
        }
    }
    resources::read(entries, service, &mut context.report);
    let is_empty = |words: &Option<Vec<String>>| words.as_ref().is_some_and(Vec::is_empty);
    service.engine.clear_entrypoint = is_empty(&service.entrypoint);
    service.engine.clear_command = is_empty(&service.command);
    if runs_as_process(field, entries, service) {
        leave_no_engine(entries, service, context);
    }
}

/// Runs as a process of the host whatever the fleet offers: it says so, or has no image.
fn runs_as_process(field: &Field, entries: &[Field], service: &ServiceSpec) -> bool {
    let has = |key: &str| entries.iter().any(|entry| entry.key() == key);
    match service.runtime {
        Some(RuntimeKind::Docker) => false,
        Some(RuntimeKind::Process) => true,
        None => !has("image") && field.node.get("build").is_none() && (has("command") || has("entrypoint")),
    }
}

/// Refuses keys that need an engine; what merely says what an engine would leave out means nothing.
fn leave_no_engine(entries: &[Field], service: &mut ServiceSpec, context: &mut Context) {
    for entry in entries {
        let mut alone = EngineSpec::default();
        let mounted = std::mem::take(&mut context.mounted);
        engine::read(entry, &mut alone, context);
        context.mounted = mounted;
        if alone != EngineSpec::default() {
            engine::report_lack(entry, &mut context.report);
        }
    }
    service.engine = EngineSpec::default();
}

fn read_image(entry: &Field, report: &mut Report) -> Option<String> {
    let expected = "an image such as `nginx:1.27`";
    let image = entry.line(expected, report)?;
    if image.ends_with([':', '@', '/']) {
        let message = format!(
            "{} ends where a name, tag or digest must follow: write it, or give its variable a default (`${{TAG:-latest}}`)",
            shown(image)
        );
        entry.problem(message, report);
        return None;
    }
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

/// One of four words; `on-failure:3` tries three times, `on-failure:0` without end.
fn read_restart(entry: &Field, service: &mut ServiceSpec, report: &mut Report) {
    if let Value::Text { text, .. } = &entry.node.value
        && let Some(count) = text.strip_prefix("on-failure:")
        && let Ok(attempts) = count.parse::<u32>()
        && attempts <= ATTEMPTS_MAX
    {
        service.restart = RestartPolicy::OnFailure;
        service.restart_limits.max_attempts = (attempts > 0).then_some(attempts);
        return;
    }
    service.restart = entry.choice(RESTARTS, report).unwrap_or_default();
}

fn read_directory(entry: &Field, report: &mut Report) -> Option<String> {
    let expected = "an absolute path such as `/srv`";
    let text = entry.line(expected, report)?;
    if !text.starts_with('/') || text.len() > path::PATH_MAX_BYTES {
        entry.expected(expected, report);
        return None;
    }
    Some(text.to_owned())
}

pub(crate) fn read_hostname(entry: &Field, report: &mut Report) -> Option<String> {
    let name = entry.line("a host name", report)?;
    if name.contains("{{") {
        let message =
            format!("{} is a template of Swarm's, which is not filled in here: write a name, or none", shown(name));
        entry.problem(message, report);
        return None;
    }
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
            Some(RuntimeKind::Process) if has_program => "",
            // A command for an image that is to be built is none for a program of the host.
            None if has_program && field.node.get("build").is_none() => "",
            // That has been refused, and the image may be there.
            _ if field.node.get("extends").is_some() => "",
            _ if field.node.get("build").is_some() => {
                "has no `image:`, and `build:` is not run here: build and push the image, and name it with `image:`"
            }
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
