//! The file as a whole: sections, services, networks, and what must hold between services. Begin at [`read`].

use std::collections::{BTreeMap, HashMap};

use remuda_api::names;
use remuda_api::spec::{Protocol, StackSpec};

use crate::context::{Context, Dependency};
use crate::field::Field;
use crate::format::{self, Format};
use crate::limits::FILE_MAX_BYTES;
use crate::problem::shown;
use crate::report::Place;
use crate::value::{Node, Span};
use crate::{SourceFile, depends_on, keys, links, networks, parse, profiles, rancher, service, volumes, volumes_from};

/// The stack the files describe; what is wrong goes to the report, and the result then means nothing.
pub(crate) fn read(context: &mut Context) -> StackSpec {
    let (files, rancher) = (context.sources.files, context.sources.rancher);
    check_files(files, rancher, context);
    if let Err(error) = names::check_label(context.stack) {
        let message = format!("stack name {} {error}", shown(context.stack));
        context.report.problem(start_of(0), message);
    }
    let mut spec = StackSpec { name: context.stack.to_owned(), ..StackSpec::default() };
    let Some(file) = files.first().filter(|file| file.text.len() <= FILE_MAX_BYTES) else {
        return spec;
    };
    let root = parse::parse(0, &file.text, context);
    let rancher = rancher.filter(|rancher| rancher.text.len() <= FILE_MAX_BYTES);
    let rancher = rancher.and_then(|rancher| parse::parse(files.len() as u32, &rancher.text, context));
    if let Some(root) = root {
        read_root(&root, rancher.as_deref(), &mut spec, context);
    }
    spec
}

fn check_files(files: &[SourceFile], rancher: Option<&SourceFile>, context: &mut Context) {
    if files.is_empty() {
        context.report.problem(start_of(0), "no file: give one with `-f FILE`");
    }
    for (index, file) in (0u32..).zip(files.iter().chain(rancher)) {
        if file.text.len() > FILE_MAX_BYTES {
            context.report.problem(start_of(index), crate::Problem::too_large(&file.path).message);
        }
        if index == 1 && files.len() > 1 {
            context.report.problem(start_of(index), "several files are not merged yet: give one file");
        }
    }
}

fn start_of(file: u32) -> Place {
    Place { span: Span { file, line: 1, column: 1, ..Span::default() }, field: String::new() }
}

fn read_root(root: &Node, rancher: Option<&Node>, spec: &mut StackSpec, context: &mut Context) {
    let root = Field::root(root);
    let rancher = rancher.map(Field::root);
    let section = rancher.as_ref().and_then(|rancher| rancher::section(rancher, &mut context.report));
    let overlays = section.as_ref().map(|section| rancher::services(section, &mut context.report)).unwrap_or_default();
    let known_before = context.report.has_problems();
    let format = format::detect(&root, &mut context.report);
    if format == Format::V1 {
        read_services(&root, format, &overlays, spec, context);
    } else {
        for section in keys::acted(&root, &keys::FILE, &mut context.report) {
            match section.key() {
                "services" => read_services(&section, format, &overlays, spec, context),
                "networks" => networks::read_all(&section, &mut spec.networks, context),
                "volumes" => volumes::read_all(&section, &mut spec.volumes, context),
                "name" => check_name(&section, context),
                _ => {}
            }
        }
    }
    if spec.services.is_empty() && !known_before && !context.report.has_problems() {
        let message = match context.left_out.is_empty() {
            true => "no services: expected `services:` with at least one service, such as `web: {image: nginx}`",
            false => "no services: all have `profiles`, and none is active: name one in COMPOSE_PROFILES",
        };
        root.problem(message, &mut context.report);
    }
    if !spec.services.is_empty() {
        let names = spec.services.keys().chain(&context.left_out).map(String::as_str);
        rancher::check_names(&overlays, names, &mut context.report);
    }
    rancher::balancer::check_targets(spec, context);
    check_networks(spec, context);
    volumes::check_uses(spec, format, context);
    links::check(spec, context);
    volumes_from::resolve(spec, context);
    check_published(context);
    check_dependencies(spec, context);
    rancher::alias::resolve(spec, context);
}

/// The name of a project in the file; one command may run it under many.
fn check_name(field: &Field, context: &mut Context) {
    let name = field.text("the name of the stack", &mut context.report);
    if name.is_some_and(|name| name != context.stack) {
        let message = "the stack has the name given with `-s`";
        keys::not_yet(field.key_place(), "name", message, &mut context.report);
    }
}

fn read_services(
    section: &Field,
    format: Format,
    overlays: &BTreeMap<&str, Field>,
    spec: &mut StackSpec,
    context: &mut Context,
) {
    let mut names_lower = HashMap::new();
    for entry in section.entries("a map from service names to services", &mut context.report) {
        let name = entry.key();
        if format == Format::V1 && (name == "version" || name.starts_with("x-")) {
            continue;
        }
        if let Err(error) = names::check_service(context.stack, name) {
            entry.problem_at_key(format!("service name {} {error}", shown(name)), &mut context.report);
        }
        if let Some(line) = names_lower.insert(name.to_ascii_lowercase(), entry.key_span.line) {
            let message = format!(
                "service {} differs only in case from the one at line {line}: names are compared in lower case, rename one",
                shown(name)
            );
            entry.problem_at_key(message, &mut context.report);
        }
        if format == Format::Sections && !profiles::is_active(&entry, context) {
            continue;
        }
        let overlay = overlays.get(name);
        let merged = rancher::merge(&entry, overlay, format, &mut context.report);
        let mut service = service::read(&entry.over(&merged.read), format, context);
        rancher::complete(&entry, &merged, overlay, &mut service, context);
        spec.services.insert(name.to_owned(), service);
    }
}

/// Networks that services name exist.
fn check_networks(spec: &StackSpec, context: &mut Context) {
    for (name, place) in std::mem::take(&mut context.references.networks) {
        if name == "default" || spec.networks.contains_key(&name) || context.report.is_full() {
            continue;
        }
        let advice = match keys::nearest(&name, spec.networks.keys().map(String::as_str)) {
            Some(near) => format!("did you mean {}?", shown(near)),
            None => "add it under the top-level `networks:`".to_owned(),
        };
        context.report.problem(place, format!("unknown network {}: {advice}", shown(&name)));
    }
}

/// No port is published twice.
fn check_published(context: &mut Context) {
    let mut published = std::mem::take(&mut context.references.published);
    published.sort_by(|one, other| one.place.cmp(&other.place));
    let mut first_by_port: HashMap<(u16, Protocol), usize> = HashMap::new();
    for (index, port) in published.iter().enumerate() {
        let first = *first_by_port.entry((port.port, port.protocol)).or_insert(index);
        if first == index {
            continue;
        }
        let first = &published[first];
        let message = format!(
            "port {}/{} is already published by service {} at line {}: publish another port",
            port.port,
            port.protocol.name(),
            shown(&first.service),
            first.place.span.line,
        );
        context.report.problem(port.place.clone(), message);
    }
}

/// Services that others depend on exist, and no service waits for itself.
fn check_dependencies(spec: &mut StackSpec, context: &mut Context) {
    let dependencies = std::mem::take(&mut context.references.depends_on);
    let mut edges: BTreeMap<&str, Vec<&Dependency>> = BTreeMap::new();
    for dependency in &dependencies {
        if spec.services.contains_key(&dependency.to) {
            edges.entry(&dependency.from).or_default().push(dependency);
        } else if !context.report.is_full() {
            depends_on::report_unknown(dependency, spec, &context.left_out, &mut context.report);
        }
    }
    for (dependency, circle) in depends_on::circles(&edges) {
        context.report.problem(
            dependency.place.clone(),
            format!("services wait for each other: {circle}: remove one of these `depends_on`"),
        );
    }
    for dependency in dependencies.iter().filter(|dependency| !dependency.is_required) {
        if !spec.services.contains_key(&dependency.to)
            && let Some(service) = spec.services.get_mut(&dependency.from)
        {
            service.depends_on.remove(&dependency.to);
        }
    }
}
