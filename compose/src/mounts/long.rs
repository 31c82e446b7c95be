//! The long form of a mount: a map with `type:`, `source:` and `target:`.

use remuda_api::engine::Mount;

use super::{BIND, CONSISTENCIES, PROPAGATIONS, TMPFS, VOLUME, bind_of, quantity, tmpfs, volume_of};
use crate::context::Context;
use crate::field::Field;
use crate::limits::MEMORY_MAX_BYTES;
use crate::report::Report;
use crate::value::Value;
use crate::{keys, path};

/// The mount; None when it is wrong (reported).
pub(crate) fn read(field: &Field, context: &mut Context) -> Option<Mount> {
    let entries = keys::acted(field, &keys::MOUNT, &mut context.report);
    let find = |key: &str| entries.iter().find(|entry| entry.key() == key);
    let kind = read_kind(field, find("type"), &mut context.report);
    let Some(target) = find("target") else {
        let message = "has no `target:`: say at which path of the container it is";
        field.problem(message, &mut context.report);
        return None;
    };
    let target =
        read_path(target, &mut context.report).and_then(|text| path::in_container(text, target, &mut context.report));
    let mut mount = read_source(kind?, field, find("source"), context)?;
    mount.target = target?;
    for entry in &entries {
        read_key(entry, &mut mount, &mut context.report);
    }
    Some(mount)
}

fn read_kind(field: &Field, kind: Option<&Field>, report: &mut Report) -> Option<&'static str> {
    let Some(kind) = kind else {
        field.problem("has no `type:`: expected `bind`, `volume` or `tmpfs`", report);
        return None;
    };
    if let Value::Text { text, .. } = &kind.node.value
        && let Some(reason) = match &**text {
            "npipe" => Some("named pipes are a thing of Windows, and hosts run Linux"),
            "cluster" => Some("cluster volumes need a storage plugin of Swarm's: use `volume` with a driver"),
            "image" => Some("images are not mounted yet: copy what is needed into the service's own image"),
            _ => None,
        }
    {
        kind.problem(format!("type {}: {reason}", crate::problem::shown(text)), report);
        return None;
    }
    kind.choice(&[(BIND, BIND), (VOLUME, VOLUME), (TMPFS, TMPFS)], report)
}

fn read_path<'a>(field: &Field<'a>, report: &mut Report) -> Option<&'a str> {
    field.line("a path", report)
}

fn read_source(kind: &str, field: &Field, source: Option<&Field>, context: &mut Context) -> Option<Mount> {
    let text = match source.map(|source| (source, read_path(source, &mut context.report))) {
        Some((_, None)) => return None,
        Some((source, Some(text))) => Some((source, text)),
        None => None,
    };
    match (kind, text) {
        (BIND, Some((source, text))) if path::is_windows(text) => {
            source.problem("is a path of Windows, and hosts run Linux", &mut context.report);
            None
        }
        (BIND, Some((source, text))) => bind_of(text, source, context),
        (BIND, None) => {
            field.problem("has no `source:`: say which path of the host is mounted", &mut context.report);
            None
        }
        (VOLUME, Some((source, text))) if path::is_path(text) => {
            source
                .problem("`type: volume` takes the name of a volume: use `type: bind` for a path", &mut context.report);
            None
        }
        (VOLUME, Some((source, text))) => volume_of(text, source, context),
        (_, Some((source, _))) if kind == TMPFS => {
            source.problem_at_key("memory has no source: remove it, or change the `type`", &mut context.report);
            None
        }
        _ => Some(Mount { kind: kind.to_owned(), ..Mount::default() }),
    }
}

fn read_key(entry: &Field, mount: &mut Mount, report: &mut Report) {
    match entry.key() {
        "read_only" => mount.read_only = entry.boolean(report).unwrap_or(false),
        "consistency" => {
            entry.choice(&CONSISTENCIES.map(|name| (name, ())), report);
        }
        kind @ (BIND | VOLUME | TMPFS) if kind != mount.kind && !matches!(entry.node.value, Value::Null) => {
            entry.problem_at_key(format!("goes with `type: {kind}` only: remove it, or change the `type`"), report);
        }
        BIND => read_bind(entry, mount, report),
        VOLUME => {
            for key in keys::acted(entry, &keys::VOLUME_MOUNT, report) {
                mount.no_copy = key.boolean(report).unwrap_or(false);
            }
        }
        TMPFS => {
            for key in keys::acted(entry, &keys::TMPFS, report) {
                match key.key() {
                    "size" => mount.tmpfs_bytes = quantity::size_bytes(&key, MEMORY_MAX_BYTES, report).unwrap_or(0),
                    _ => mount.tmpfs_mode = read_mode(&key, report),
                }
            }
        }
        _ => {}
    }
}

fn read_bind(field: &Field, mount: &mut Mount, report: &mut Report) {
    for key in keys::acted(field, &keys::BIND, report) {
        match key.key() {
            "create_host_path" => mount.must_exist = !key.boolean(report).unwrap_or(true),
            _ => {
                let names = PROPAGATIONS.map(|name| (name, name));
                mount.propagation = key.choice(&names, report).unwrap_or_default().to_owned();
            }
        }
    }
}

/// YAML reads `01777` and `0o1777` as written and `1777` too: all are meant as octal digits.
fn read_mode(field: &Field, report: &mut Report) -> u32 {
    let expected = "permission bits in octal such as `1777`";
    let mode = field.text(expected, report).and_then(tmpfs::mode_of);
    if mode.is_none() {
        field.expected(expected, report);
    }
    mode.unwrap_or(0)
}
