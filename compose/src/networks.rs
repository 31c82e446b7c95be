//! Networks: the top-level section, and which of them a service joins under which further names.

use std::collections::BTreeMap;

use remuda_api::names;
use remuda_api::spec::{AttachmentSpec, NetworkSpec, ServiceSpec};

use crate::context::Context;
use crate::field::Field;
use crate::keys;
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;

/// Reads the top-level `networks:`.
pub(crate) fn read_all(section: &Field, networks: &mut BTreeMap<String, NetworkSpec>, context: &mut Context) {
    let report = &mut context.report;
    for entry in section.entries("a map from network names to networks", report) {
        if let Err(error) = names::check_label(entry.key()) {
            entry.problem_at_key(format!("network name {} {error}", shown(entry.key())), report);
        }
        networks.insert(entry.key().to_owned(), read_network(&entry, report));
    }
}

/// A name of its own makes a network shared, as `external` does: others reach it under that name.
fn read_network(field: &Field, report: &mut Report) -> NetworkSpec {
    let (mut name, mut is_external, mut internal) = (None, false, None);
    for entry in keys::acted(field, &keys::NETWORK, report) {
        match entry.key() {
            "name" => name = read_name(&entry, report),
            "internal" => internal = Some((entry.boolean(report).unwrap_or(false), entry.key_place())),
            _ => match entry.node.value {
                Value::Map(_) => {
                    is_external = true;
                    for inner in keys::acted(&entry, &keys::EXTERNAL, report) {
                        name = read_name(&inner, report);
                    }
                }
                Value::List(_) => entry.expected(keys::EXTERNAL.expected, report),
                _ => is_external = entry.boolean(report).unwrap_or(false),
            },
        }
    }
    if let (true, Some((true, place))) = (is_external, &internal) {
        let message = "an external network is as its owner made it: remove `internal` here, or `external`";
        report.problem(place.clone(), message);
    }
    let external = if is_external { name.or_else(|| Some(field.key().to_owned())) } else { name };
    NetworkSpec { internal: internal.is_some_and(|(internal, _)| internal), external }
}

fn read_name(field: &Field, report: &mut Report) -> Option<String> {
    let name = field.text("the name of a network", report)?;
    if let Err(error) = names::check_label(name) {
        field.problem(format!("network name {} {error}", shown(name)), report);
        return None;
    }
    Some(name.to_owned())
}

/// Reads a service's `networks:`, a list of names or a map from names to aliases.
pub(crate) fn read_attachments(field: &Field, service: &mut ServiceSpec, context: &mut Context) {
    if let Value::Map(_) = field.node.value {
        for entry in field.members() {
            let mut attachment = AttachmentSpec::default();
            for key in keys::acted(&entry, &keys::ATTACHMENT, &mut context.report) {
                attachment.aliases = read_aliases(&key, &mut context.report);
            }
            attach(&entry, entry.key(), attachment, service, context);
        }
        return;
    }
    for item in field.items("a list of network names, or a map from them to aliases", &mut context.report) {
        if let Some(name) = item.line("the name of a network", &mut context.report) {
            attach(&item, name, AttachmentSpec::default(), service, context);
        }
    }
}

fn attach(field: &Field, network: &str, attachment: AttachmentSpec, service: &mut ServiceSpec, context: &mut Context) {
    context.references.networks.push((network.to_owned(), field.key_place()));
    if service.networks.insert(network.to_owned(), attachment).is_some() {
        field.problem(format!("network {} is listed twice: keep one", shown(network)), &mut context.report);
    }
}

fn read_aliases(field: &Field, report: &mut Report) -> Vec<String> {
    let mut aliases = Vec::new();
    for item in field.items("a list of names", report) {
        let Some(name) = item.text("a name", report) else {
            continue;
        };
        match names::check_label(name) {
            Ok(()) => aliases.push(name.to_owned()),
            Err(error) => item.problem(format!("alias {} {error}", shown(name)), report),
        }
    }
    aliases
}
