//! `tmpfs`: memory at a path, `path[:option,…]`.

use remuda_api::engine::Mount;

use super::{MEMORY_MAX_BYTES, TMPFS, add, quantity};
use crate::context::Context;
use crate::field::Field;
use crate::keys;
use crate::path;
use crate::problem::shown;
use crate::report::Report;

const EXPECTED: &str = "a path such as `/run`, or `/run:size=64m,mode=1770`";

/// Reads one path or a list of them.
pub(crate) fn read(field: &Field, mounts: &mut Vec<Mount>, context: &mut Context) {
    for item in field.one_or_more(EXPECTED, &mut context.report) {
        if let Some(mount) = read_one(&item, &mut context.report) {
            add(&item, mount, mounts, context);
        }
    }
}

fn read_one(field: &Field, report: &mut Report) -> Option<Mount> {
    let text = field.line(EXPECTED, report)?;
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    let target = path::in_container(target, field, report)?;
    let mut mount = Mount { kind: TMPFS.to_owned(), target, ..Mount::default() };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        read_option(option, &mut mount, field, report);
    }
    Some(mount)
}

fn read_option(option: &str, mount: &mut Mount, field: &Field, report: &mut Report) {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    match name {
        "rw" | "noexec" | "nosuid" | "nodev" => {}
        "ro" => mount.read_only = true,
        "size" => match quantity::parse_size_bytes(value).filter(|bytes| (1..=MEMORY_MAX_BYTES).contains(bytes)) {
            Some(bytes) => mount.tmpfs_bytes = bytes,
            None => field.problem(format!("{}: expected a size such as `size=64m`", shown(option)), report),
        },
        "mode" => match mode_of(value) {
            Some(mode) => mount.tmpfs_mode = mode,
            None => field.problem(format!("{}: expected octal bits such as `mode=1777`", shown(option)), report),
        },
        "exec" | "suid" | "dev" | "uid" | "gid" | "nr_inodes" | "nr_blocks" | "noatime" | "relatime" => {
            keys::not_yet(field.place(), name, "memory is mounted with the engine's own options", report);
        }
        _ => {
            let known = ["size", "mode", "uid", "gid", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "ro", "rw"];
            let advice = match keys::nearest(name, known.into_iter()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "expected `size=`, `mode=` or `ro`".to_owned(),
            };
            field.problem(format!("unknown option {} of a tmpfs: {advice}", shown(name)), report);
        }
    }
}

/// Permission bits from octal digits, `0o` in front allowed; None above 7777.
pub(super) fn mode_of(text: &str) -> Option<u32> {
    let digits = text.trim();
    let digits = digits.strip_prefix("0o").unwrap_or(digits);
    let mode = u32::from_str_radix(digits, 8).ok()?;
    (digits.bytes().all(|b| b.is_ascii_digit()) && mode <= 0o7777).then_some(mode)
}
