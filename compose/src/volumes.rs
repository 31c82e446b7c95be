//! The top-level `volumes:`, and that what services mount is in there.

use std::collections::BTreeMap;

use remuda_api::spec::{StackSpec, VolumeSpec};

use crate::context::Context;
use crate::field::Field;
use crate::format::Format;
use crate::mounts::is_volume_name;
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;
use crate::{environment, keys};

/// Longest name of a volume, bytes: it becomes a folder's.
const NAME_MAX_BYTES: usize = 255;

/// Reads the section.
pub(crate) fn read_all(section: &Field, volumes: &mut BTreeMap<String, VolumeSpec>, context: &mut Context) {
    for entry in section.entries("a map from volume names to volumes", &mut context.report) {
        check_name(&entry, entry.key(), true, &mut context.report);
        volumes.insert(entry.key().to_owned(), read_volume(&entry, context));
    }
}

fn read_volume(field: &Field, context: &mut Context) -> VolumeSpec {
    let mut volume = VolumeSpec::default();
    let entries = keys::acted(field, &keys::VOLUME, &mut context.report);
    for entry in &entries {
        match entry.key() {
            "name" => volume.name = read_name(entry, &mut context.report).or(volume.name),
            "driver" => volume.driver = read_driver(entry, &mut context.report),
            "driver_opts" => volume.driver_options = environment::read_labels(entry, context),
            _ => read_external(entry, &mut volume, &mut context.report),
        }
    }
    if volume.external {
        volume.name.get_or_insert_with(|| field.key().to_owned());
        for entry in entries.iter().filter(|entry| matches!(entry.key(), "driver" | "driver_opts")) {
            let message =
                format!("an external volume is as its owner made it: remove `{}`, or `external`", entry.key());
            entry.problem_at_key(message, &mut context.report);
        }
    }
    volume
}

fn read_external(entry: &Field, volume: &mut VolumeSpec, report: &mut Report) {
    match entry.node.value {
        Value::Map(_) => {
            volume.external = true;
            for inner in keys::acted(entry, &keys::EXTERNAL, report) {
                volume.name = read_name(&inner, report).or(volume.name.take());
            }
        }
        Value::List(_) => entry.expected(keys::EXTERNAL.expected, report),
        _ => volume.external = entry.boolean(report).unwrap_or(false),
    }
}

fn read_name(field: &Field, report: &mut Report) -> Option<String> {
    let name = field.line("the name of a volume", report)?;
    check_name(field, name, false, report).then(|| name.to_owned())
}

/// The driver under `driver` or `volume_driver`; `local` is the default.
pub(crate) fn read_driver(field: &Field, report: &mut Report) -> Option<String> {
    let driver = field.line("a volume driver such as `local`", report)?;
    (!matches!(driver, "local" | "default")).then(|| driver.to_owned())
}

fn check_name(field: &Field, name: &str, is_key: bool, report: &mut Report) -> bool {
    let is_good = is_volume_name(name) && name.len() <= NAME_MAX_BYTES;
    if !is_good {
        let message = format!(
            "volume name {}: expected letters, digits, `.`, `_` and `-`, a letter or digit first, at most \
             {NAME_MAX_BYTES} of them",
            shown(name)
        );
        match is_key {
            true => field.problem_at_key(message, report),
            false => field.problem(message, report),
        }
    }
    is_good
}

/// Volumes that services mount exist. Compose 1 has no section for them: there they are made by being named, and
/// belong to no stack.
pub(crate) fn check_uses(spec: &mut StackSpec, format: Format, context: &mut Context) {
    for volume in std::mem::take(&mut context.references.volumes) {
        if spec.volumes.contains_key(&volume.name) || context.report.is_full() {
            continue;
        }
        if format == Format::V1 {
            let name = Some(volume.name.clone());
            spec.volumes.insert(volume.name, VolumeSpec { name, driver: volume.driver, ..VolumeSpec::default() });
            continue;
        }
        let name = shown(&volume.name);
        let advice = match keys::nearest(&volume.name, spec.volumes.keys().map(String::as_str)) {
            Some(near) => format!("did you mean {}?", shown(near)),
            None => "add it under the top-level `volumes:` (a folder of the host begins with `./` or `/`)".to_owned(),
        };
        context.report.problem(volume.place, format!("unknown volume {name}: {advice}"));
    }
}
