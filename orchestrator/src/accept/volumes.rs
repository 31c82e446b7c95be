//! Volumes of a stack: their names, and that what is mounted is declared.

use remuda_api::engine::Mount;
use remuda_api::spec::{ServiceSpec, StackSpec};

use super::{Faults, shown};
use crate::volumes;

/// Longest name of a volume, bytes: what a file system takes as one name.
const NAME_MAX_BYTES: usize = 255;
/// Mounts of one service: more than anybody has, and a bound on what one request can make a host do.
const MOUNTS_MAX: usize = 200;

pub(super) fn check(spec: &StackSpec, faults: &mut Faults) {
    for (key, volume) in &spec.volumes {
        let field = format!("volumes.{}", shown(key));
        let name = volumes::full_name(&spec.name, key, volume);
        if !is_name(&name) {
            let why = "a volume's name begins with a letter or digit and goes on with those and `_`, `.`, `-`";
            faults.add(&field, format!("`{}`: {why}", shown(&name)));
        }
    }
    for (name, service) in &spec.services {
        mounts(name, service, spec, faults);
    }
}

fn mounts(name: &str, service: &ServiceSpec, spec: &StackSpec, faults: &mut Faults) {
    let all = &service.engine.mounts;
    let base = format!("services.{}.engine.mounts", shown(name));
    if all.len() > MOUNTS_MAX {
        return faults.add(base, format!("{} mounts; a service has at most {MOUNTS_MAX}", all.len()));
    }
    for (index, mount) in all.iter().enumerate() {
        let at = |field: &str| format!("{base}[{index}].{field}");
        if let Some((field, why)) = fault(mount, spec) {
            faults.add(at(field), why);
        }
        if !mount.target.starts_with('/') {
            faults.add(at("target"), format!("`{}` is no absolute path", shown(&mount.target)));
        }
        if all[..index].iter().any(|other| other.target == mount.target) {
            faults.add(at("target"), format!("`{}` is mounted twice", shown(&mount.target)));
        }
    }
}

fn fault(mount: &Mount, spec: &StackSpec) -> Option<(&'static str, String)> {
    match mount.kind.as_str() {
        "bind" if !mount.source.starts_with('/') => {
            Some(("source", format!("`{}` is no absolute path of the host", shown(&mount.source))))
        }
        "volume" if !mount.source.is_empty() && !spec.volumes.contains_key(&mount.source) => {
            let name = shown(&mount.source);
            Some(("source", format!("there is no volume `{name}` in this stack: add it under `volumes:`")))
        }
        "tmpfs" if !mount.source.is_empty() => Some(("source", "a tmpfs has none".into())),
        "bind" | "volume" | "tmpfs" => None,
        other => Some(("kind", format!("`{}` is not known: bind, volume or tmpfs", shown(other)))),
    }
}

/// As docker wants it.
fn is_name(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.len() <= NAME_MAX_BYTES && name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_inner)
}
