//! `rancher-compose.yml`: what Rancher 1.6 says about the services of a Compose file, and what its images and labels mean.
//!
//! Reading order: [`services`] finds the services of the file; `overlay` lays its Compose keys over those of the Compose
//! file before that is read; `keys` (every key it knows), `service` (its own keys, also those of `x-remuda`), `balancer`,
//! `external` and `alias` (services without containers), `label` (`io.rancher.…`), `metadata`.

pub(crate) mod alias;
pub(crate) mod balancer;
pub(crate) mod external;
mod image;
pub(crate) mod keys;
mod label;
mod metadata;
mod overlay;
mod refusal;
pub(crate) mod service;

use std::collections::BTreeMap;

use remuda_api::spec::{ServiceSpec, StackSpec};

use crate::context::Context;
use crate::field::Field;
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;

pub(crate) use overlay::{Merged, merge};

/// The services of the file whose root is `root`: the field that holds them. Reports what is wrong at the top level.
pub(crate) fn section<'a>(root: &'a Field<'a>, report: &mut Report) -> Option<Field<'a>> {
    let entries = root.entries(keys::FILE.expected, report);
    let version = entries.iter().find(|entry| entry.key() == "version");
    let major = version.and_then(|entry| entry.text("a version such as \"2\"", report)).map(|text| {
        let major = text.split('.').next().unwrap_or_default().to_owned();
        if !matches!(major.as_str(), "1" | "2" | "3") {
            version.inspect(|entry| entry.expected("a version such as \"2\" (or leave the line out)", report));
        }
        major
    });
    let services = entries.iter().find(|entry| entry.key() == "services").copied();
    let is_v1 = services.is_none() && major.is_none_or(|major| major == "1");
    for entry in entries.iter().filter(|entry| matches!(entry.key(), "catalog" | ".catalog")) {
        let message = "describes an entry of a catalog, which Remuda does not have: its questions are not asked, set \
                       their variables in the environment or in `.env`";
        report.notice(entry.key_place(), format!("`{}` {message}", entry.key()));
    }
    if is_v1 {
        return Some(*root).filter(|root| matches!(root.node.value, Value::Map(_)));
    }
    for entry in entries.iter().filter(|entry| keys::FILE.find(entry.key()).is_none()) {
        if !entry.key().starts_with("x-") {
            keys::unknown_in_file(entry, report);
        }
    }
    services
}

/// The services of `section` by name.
pub(crate) fn services<'a>(section: &'a Field<'a>, report: &mut Report) -> BTreeMap<&'a str, Field<'a>> {
    let entries = section.entries("a map from service names to what Rancher says about them", report).into_iter();
    let is_service = |name: &str| keys::FILE.find(name).is_none() && !name.starts_with("x-");
    entries.map(|entry| (entry.key(), entry)).filter(|(name, _)| is_service(name)).collect()
}

/// Services that the Compose files do not have.
pub(crate) fn check_names<'n>(
    services: &BTreeMap<&str, Field>,
    known: impl Iterator<Item = &'n str> + Clone,
    report: &mut Report,
) {
    for (name, entry) in services {
        if report.is_full() || known.clone().any(|known| known == *name) {
            continue;
        }
        let advice = match crate::keys::nearest(name, known.clone()) {
            Some(near) => format!("did you mean {}?", shown(near)),
            None => "add it there, or remove it here".to_owned(),
        };
        entry.problem_at_key(format!("no Compose file has a service {}: {advice}", shown(name)), report);
    }
}

/// What to say of a service that others name and that is not there.
fn unknown_service(name: &str, spec: &StackSpec) -> String {
    let advice = match crate::keys::nearest(name, spec.services.keys().map(String::as_str)) {
        Some(near) => format!("did you mean {}?", shown(near)),
        None => "add it, or remove it here".to_owned(),
    };
    format!("unknown service {}: {advice}", shown(name))
}

/// What Rancher's file, images and labels add to `service`, once its Compose keys are read.
pub(crate) fn complete(
    compose: &Field,
    merged: &Merged,
    overlay: Option<&Field>,
    service: &mut ServiceSpec,
    context: &mut Context,
) {
    let whole = compose.over(&merged.whole);
    label::read(&whole, service, context);
    if let Some(overlay) = overlay {
        service::read(overlay, compose, service, context);
    }
    match merged.kind {
        image::Kind::Balancer => balancer::complete(&whole, overlay, service, context),
        image::Kind::External => external::complete(&whole, service, context),
        image::Kind::Alias => alias::read(&whole, service, context),
        image::Kind::Containers => {}
    }
}
