//! `env_file` and `label_file`: pairs that stand in files of their own.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::dotenv::{self, Style};
use crate::field::Field;
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;
use crate::{keys, path};

/// A file counts for each service that names it.
const TOO_LARGE: &str = "the files named by all services are too large together: use fewer or shorter ones";

/// The pairs of all files under `env_file`; of two that name one key the later one counts.
///
/// A name without a value takes the one it has where the command is typed, and is left out when it has none there.
pub(crate) fn read(field: &Field, context: &mut Context) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for item in field.one_or_more("a path, or a list of them", &mut context.report) {
        let Some(request) = read_request(&item, &mut context.report) else {
            continue;
        };
        for (name, value) in pairs_of(&item, &request, context) {
            let value = value.or_else(|| context.env.get(&name).cloned());
            if let Some(value) = value {
                pairs.insert(name, value);
            }
        }
    }
    pairs
}

/// The pairs of all files under `label_file`; a name alone has the empty value.
pub(crate) fn read_labels(field: &Field, context: &mut Context) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for item in field.one_or_more("a path, or a list of them", &mut context.report) {
        if let Some(path) = item.line("a path", &mut context.report) {
            let request = Request { path: path.to_owned(), is_required: true, style: Style::Compose };
            let found = pairs_of(&item, &request, context).into_iter();
            pairs.extend(found.map(|(name, value)| (name, value.unwrap_or_default())));
        }
    }
    pairs
}

/// One file, as asked for.
struct Request {
    path: String,
    is_required: bool,
    style: Style,
}

fn read_request(field: &Field, report: &mut Report) -> Option<Request> {
    let Value::Map(_) = field.node.value else {
        let path = field.line(keys::ENV_FILE.expected, report)?.to_owned();
        return Some(Request { path, is_required: true, style: Style::Compose });
    };
    let (mut path, mut is_required, mut style) = (None, true, Style::Compose);
    for entry in keys::acted(field, &keys::ENV_FILE, report) {
        match entry.key() {
            "path" => path = Some(entry.line("a path", report)?.to_owned()),
            "required" => is_required = entry.boolean(report).unwrap_or(true),
            _ => style = entry.choice(&[("raw", Style::Raw)], report).unwrap_or(style),
        }
    }
    if path.is_none() {
        field.problem("has no `path:`: say which file", report);
    }
    Some(Request { path: path?, is_required, style })
}

fn pairs_of(field: &Field, request: &Request, context: &mut Context) -> Vec<(String, Option<String>)> {
    let Some(path) = path::on_host(&request.path, field, context) else {
        return Vec::new();
    };
    let text = match context.named_file(&path, field) {
        Some(Some(text)) => text,
        Some(None) if request.is_required => {
            let message = match field.key() {
                "label_file" => format!("there is no file {}: create it, or correct the path", shown(&path)),
                _ => format!(
                    "there is no file {}: create it, or write `{{path: …, required: false}}` if it may be missing",
                    shown(&path)
                ),
            };
            field.problem(message, &mut context.report);
            return Vec::new();
        }
        _ => return Vec::new(),
    };
    if !context.spend(text.len()) {
        field.problem(TOO_LARGE, &mut context.report);
        return Vec::new();
    }
    let parsed = dotenv::parse(text, request.style, context.env, context.bytes_left);
    for fault in &parsed.faults {
        field.problem(format!("{} line {}: {}", shown(&path), fault.line, fault.message), &mut context.report);
    }
    for name in &parsed.unset {
        let message = format!("variable {} is not set, empty text stands for it in {}", shown(name), shown(&path));
        context.report.notice(field.place(), message);
    }
    let weight = parsed.pairs.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len)).sum();
    if !context.spend(weight) {
        field.problem(TOO_LARGE, &mut context.report);
        return Vec::new();
    }
    parsed.pairs
}
