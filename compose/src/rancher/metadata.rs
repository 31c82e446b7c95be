//! `metadata`: any YAML, kept as JSON: [`read`].

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value as Json};

use crate::field::Field;
use crate::report::Report;
use crate::value::{Node, Value};

/// The map as JSON; words written without quotes have their YAML 1.2 type.
pub(crate) fn read(field: &Field, report: &mut Report) -> BTreeMap<String, Json> {
    let entries = field.entries("a map", report);
    entries.iter().map(|entry| (entry.key().to_owned(), json(entry.node))).collect()
}

/// Nesting is bounded by the limits of `parse`.
fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Broken => Json::Null,
        Value::Text { text, plain: false } => Json::String(text.to_string()),
        Value::Text { text, plain: true } => scalar(text),
        Value::List(items) => Json::Array(items.iter().map(|item| json(item)).collect()),
        Value::Map(entries) => {
            let fields = entries.iter().map(|entry| (entry.key.to_string(), json(&entry.value)));
            Json::Object(fields.collect::<Map<_, _>>())
        }
    }
}

fn scalar(text: &str) -> Json {
    match text {
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        _ => number(text).map_or_else(|| Json::String(text.to_owned()), Json::Number),
    }
}

/// Whole and decimal numbers; `007`, `1_000` and `0x10` mean different things in different YAML and stay text.
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let begins_well = digits.starts_with(|c: char| c.is_ascii_digit());
    let has_odd_zero = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
    if !begins_well || has_odd_zero {
        return None;
    }
    text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from)).ok().or_else(|| {
        let has_point = digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
        if has_point { Number::from_f64(text.parse().ok()?) } else { None }
    })
}
