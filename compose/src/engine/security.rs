//! `security_opt`: what the kernel's security modules do with a container.

use super::advice;
use crate::context::Context;
use crate::field::Field;
use crate::path;
use crate::problem::shown;

const NAMES: [&str; 4] = ["no-new-privileges", "seccomp", "apparmor", "label"];
const EXPECTED: &str = "an option such as `no-new-privileges:true` or `seccomp:unconfined`";

/// `name:value` each; a seccomp profile in a file becomes `seccomp=` with the file's text, as the engine takes it.
pub(super) fn read(field: &Field, context: &mut Context) -> Vec<String> {
    let mut options = Vec::new();
    for item in field.items("a list of options such as `- no-new-privileges:true`", &mut context.report) {
        options.extend(read_one(&item, context));
    }
    options
}

fn read_one(field: &Field, context: &mut Context) -> Option<String> {
    let text = field.line(EXPECTED, &mut context.report)?;
    let end = text.find([':', '=']).unwrap_or(text.len());
    let (name, value) = (&text[..end], text.get(end + 1..).unwrap_or_default());
    let is_alone = name == "no-new-privileges" && end == text.len();
    if !NAMES.contains(&name) {
        let advice = advice(name, NAMES.into_iter(), &format!("expected {EXPECTED}"), &context.report);
        field.problem(format!("unknown security option {}: {advice}", shown(name)), &mut context.report);
        return None;
    }
    let is_switch = name == "no-new-privileges" && !matches!(value, "" | "true" | "false");
    if (value.is_empty() && !is_alone) || is_switch {
        field.expected(EXPECTED, &mut context.report);
        return None;
    }
    match name {
        "no-new-privileges" if is_alone => Some("no-new-privileges:true".to_owned()),
        // As `print` writes a profile that was read from a file.
        "seccomp" if value.starts_with('{') => Some(format!("seccomp={value}")),
        "seccomp" if !matches!(value, "unconfined" | "builtin" | "runtime/default") => {
            read_profile(value, field, context).map(|text| format!("seccomp={text}"))
        }
        _ => Some(format!("{name}:{value}")),
    }
}

/// The text of a seccomp profile.
fn read_profile(file: &str, field: &Field, context: &mut Context) -> Option<String> {
    let path = path::on_host(file, field, context)?;
    let text = context.named_file(&path, field)?;
    match text {
        Some(text) if text.trim_start().starts_with('{') => {
            if !context.spend(text.len()) {
                field.problem("the profiles are too large: use fewer", &mut context.report);
                return None;
            }
            Some(text.to_owned())
        }
        Some(_) => {
            field.problem(format!("{} holds no seccomp profile (a JSON map)", shown(&path)), &mut context.report);
            None
        }
        None => {
            let message = format!("there is no file {}: write a profile there, or `seccomp:unconfined`", shown(&path));
            field.problem(message, &mut context.report);
            None
        }
    }
}
