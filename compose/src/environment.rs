//! `environment` and `labels`: names to values, as a map or as a list of `NAME=value`.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::field::Field;
use crate::problem::shown;
use crate::value::Value;

/// Variables of the containers. A name alone takes the value it has where the command is typed, and is left out when it
/// has none there.
pub(crate) fn read_environment(field: &Field, context: &mut Context) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for (name, value) in read_pairs(field, "NAME=value", context) {
        if value.as_ref().is_some_and(|value| value.contains("{{.")) {
            let message = "templates of Swarm's such as `{{.Node.Hostname}}` are not filled in: the containers get them as \
                           they are";
            context.report.notice(field.key_place(), message.to_owned());
        }
        let value = value.or_else(|| context.env.get(&name).cloned());
        if let Some(value) = value {
            if !context.spend(value.len()) {
                field.problem("the values taken over are too large: use shorter ones", &mut context.report);
                break;
            }
            variables.insert(name, value);
        }
    }
    variables
}

/// Labels of the containers; a name alone has the empty value.
pub(crate) fn read_labels(field: &Field, context: &mut Context) -> BTreeMap<String, String> {
    let pairs = read_pairs(field, "name=value", context).into_iter();
    pairs.map(|(name, value)| (name, value.unwrap_or_default())).collect()
}

fn read_pairs(field: &Field, form: &str, context: &mut Context) -> Vec<(String, Option<String>)> {
    let report = &mut context.report;
    let mut pairs: Vec<(String, Option<String>)> = Vec::new();
    let mut names = std::collections::HashSet::new();
    if let Value::Map(_) = field.node.value {
        for entry in field.members() {
            let value = match entry.node.value {
                Value::Null => None,
                _ => entry.text("text, a number, `true` or `false`", report).map(str::to_owned),
            };
            if is_good(&entry, entry.key(), value.as_deref(), report) {
                pairs.push((entry.key().to_owned(), value));
            }
        }
        return pairs;
    }
    for item in field.items(&format!("a map, or a list of `{form}`"), report) {
        let Some(text) = item.text(&format!("`{form}`"), report) else {
            continue;
        };
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        if !names.insert(name) {
            item.problem(format!("{} is given twice: keep one", shown(name)), report);
        } else if is_good(&item, name, value, report) {
            pairs.push((name.to_owned(), value.map(str::to_owned)));
        }
    }
    pairs
}

fn is_good(field: &Field, name: &str, value: Option<&str>, report: &mut crate::report::Report) -> bool {
    let is_name = !name.is_empty() && !name.contains(['=', '\0']) && !name.chars().any(char::is_whitespace);
    if !is_name {
        field.problem(format!("{} is no name: expected one without blanks and `=`", shown(name)), report);
    }
    let has_zero = value.is_some_and(|value| value.contains('\0'));
    if has_zero {
        field.problem("a value cannot hold a zero byte: remove it", report);
    }
    is_name && !has_zero
}
