//! Which Compose format a file is written in: [`detect`].

use crate::field::Field;
use crate::keys::FILE;
use crate::report::Report;
use crate::value::{Node, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Services at the top level, no `version:`.
    V1,
    /// `services:`, with `version: "2.x"`, `"3.x"` or none: read alike, every key where it is known.
    Sections,
}

/// The format of the file whose root is `root`. Reports a version that exists in no format.
pub(crate) fn detect(root: &Field, report: &mut Report) -> Format {
    let is_sectioned = root.node.get("services").is_some();
    let entries = root.entries(FILE.expected, report);
    let version = entries.iter().find(|entry| entry.key() == "version");
    let text = version.and_then(|entry| entry.text("a version such as \"3.8\"", report));
    if let (Some(entry), Some(text)) = (version, text) {
        let major = text.split('.').next();
        if major == Some("1") && !is_sectioned {
            return Format::V1;
        }
        if !matches!(major, Some("1" | "2" | "3")) {
            entry.expected("a Compose version, 2.x or 3.x (or leave the line out: it is not needed)", report);
        }
    }
    match version.is_none() && !is_sectioned && has_top_level_service(root.node) {
        true => Format::V1,
        false => Format::Sections,
    }
}

/// Something at the top level, under a name no section has, says which image it runs: only v1 services do.
fn has_top_level_service(root: &Node) -> bool {
    let Value::Map(entries) = &root.value else {
        return false;
    };
    let is_service = |node: &Node| node.get("image").is_some() || node.get("build").is_some();
    let is_free = |key: &str| FILE.find(key).is_none() && !key.starts_with("x-");
    entries.iter().any(|entry| is_free(&entry.key) && is_service(&entry.value))
}
