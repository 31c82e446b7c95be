//! A service's `volumes`: what of the host, of volumes or of memory is at which path of its containers. `tmpfs` too.

use remuda_api::engine::Mount;

use crate::context::{Context, VolumeUse};
use crate::field::Field;
use crate::keys;
use crate::limits::MEMORY_MAX_BYTES;
use crate::path;
use crate::problem::shown;
use crate::quantity;
use crate::report::Report;
use crate::value::Value;

mod long;
mod tmpfs;

pub(crate) use tmpfs::read as read_tmpfs;

const BIND: &str = "bind";
const VOLUME: &str = "volume";
const TMPFS: &str = "tmpfs";
/// How mounts made later travel between the host and the container.
const PROPAGATIONS: [&str; 6] = ["private", "rprivate", "shared", "rshared", "slave", "rslave"];
/// Said by Docker on a Mac about its virtual machine; nothing to do on Linux.
const CONSISTENCIES: [&str; 4] = ["consistent", "cached", "delegated", "default"];
const NOT_RELABELLED: &str = "nothing is relabelled for SELinux";

/// Reads the list under `volumes`.
pub(crate) fn read(field: &Field, mounts: &mut Vec<Mount>, context: &mut Context) {
    for item in field.items("a list of volumes such as `- data:/var/lib/data`", &mut context.report) {
        let mount = match item.node.value {
            Value::Map(_) => long::read(&item, context),
            _ => read_short(&item, context),
        };
        if let Some(mount) = mount {
            add(&item, mount, mounts, context);
        }
    }
}

/// Adds a mount whose target no other has.
fn add(field: &Field, mount: Mount, mounts: &mut Vec<Mount>, context: &mut Context) {
    if let Some(line) = context.mounted.insert(mount.target.clone(), field.node.span.line) {
        let message =
            format!("something is already mounted at {} (line {line}): keep one of them", shown(&mount.target));
        field.problem(message, &mut context.report);
        return;
    }
    mounts.push(mount);
}

/// `[source:]target[:mode,…]`.
fn read_short(field: &Field, context: &mut Context) -> Option<Mount> {
    let text = field.line(keys::MOUNT.expected, &mut context.report)?;
    if path::is_windows(text) {
        let message =
            format!("{} is a path of Windows, and hosts run Linux: write a path such as `./data`", shown(text));
        field.problem(message, &mut context.report);
        return None;
    }
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, modes) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, modes] => (Some(source), target, modes),
        _ => {
            let message = format!("{} has too many `:`: expected `source:target` or `source:target:ro`", shown(text));
            field.problem(message, &mut context.report);
            return None;
        }
    };
    let target = path::in_container(target, field, &mut context.report)?;
    let mut mount = source_of(source, field, context)?;
    mount.target = target;
    for mode in modes.split(',').filter(|_| parts.len() > 2) {
        read_mode(mode, &mut mount, field, &mut context.report);
    }
    Some(mount)
}

/// A mount of `source`; None = a volume of the container's own.
fn source_of(source: Option<&str>, field: &Field, context: &mut Context) -> Option<Mount> {
    match source {
        None => Some(Mount { kind: VOLUME.to_owned(), ..Mount::default() }),
        Some("") => {
            let message = "nothing is written before the `:` (is a variable not set?): expected a path or a volume";
            field.problem(message, &mut context.report);
            None
        }
        Some(source) if path::is_path(source) => bind_of(source, field, context),
        Some(source) => volume_of(source, field, context),
    }
}

fn bind_of(source: &str, field: &Field, context: &mut Context) -> Option<Mount> {
    if !source.starts_with('/') {
        let message = format!(
            "relative paths begin at {} and `~` at your home, on whichever host runs the container: what they name must \
             be there",
            context.sources.directory
        );
        context.report.notice(field.place(), message);
    }
    let source = path::on_host(source, field, context)?;
    Some(Mount { kind: BIND.to_owned(), source, ..Mount::default() })
}

fn volume_of(name: &str, field: &Field, context: &mut Context) -> Option<Mount> {
    if !is_volume_name(name) {
        let message = format!(
            "{} is neither a path nor the name of a volume: begin a path with `/`, `./` or `~/`; names hold letters, \
             digits, `.`, `_` and `-`",
            shown(name)
        );
        field.problem(message, &mut context.report);
        return None;
    }
    context.references.volumes.push(VolumeUse { name: name.to_owned(), driver: None, place: field.place() });
    Some(Mount { kind: VOLUME.to_owned(), source: name.to_owned(), ..Mount::default() })
}

/// What Docker calls a volume: at least a letter or digit, then those, `.`, `_`, `-`.
pub(crate) fn is_volume_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

fn read_mode(mode: &str, mount: &mut Mount, field: &Field, report: &mut Report) {
    match mode {
        "rw" | "copy" => {}
        "ro" => mount.read_only = true,
        // A folder of the host is never filled from the image.
        "nocopy" => mount.no_copy = mount.kind == VOLUME,
        "z" | "Z" => keys::not_yet(field.place(), mode, NOT_RELABELLED, report),
        _ if PROPAGATIONS.contains(&mode) => mount.propagation = mode.to_owned(),
        _ if CONSISTENCIES.contains(&mode) => {}
        _ => {
            let known = ["ro", "rw", "nocopy", "z", "Z"].into_iter().chain(PROPAGATIONS);
            let advice = match keys::nearest(mode, known) {
                Some(near) if near != mode => format!("did you mean `{near}`?"),
                _ => "expected `ro`, `rw`, `nocopy`, `z`, `Z` or a propagation such as `rslave`".to_owned(),
            };
            field.problem(format!("unknown mode {} after the second `:`: {advice}", shown(mode)), report);
        }
    }
}
