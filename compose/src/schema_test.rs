//! The key tables against the published Compose schema, wherever that is beside the checkout.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value as Json;

use crate::keys::{self, Inner, Table};

#[test]
fn every_key_of_the_published_schema_is_in_the_tables_and_no_other() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/compose-spec/compose-spec.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: {} is not here, the key tables are compared with nothing", path.display());
        return;
    };
    let schema: Json = serde_json::from_str(&text).expect("the schema is JSON");
    let mut differences = Vec::new();
    compare(&schema, &[&schema], &keys::FILE, "", &mut differences);
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn compose_1_knows_no_service_key_that_is_unknown_today_but_its_own() {
    for key in keys::SERVICE_V1.keys.iter().filter(|key| !key.is_outside_schema) {
        assert!(keys::SERVICE.find(key.name).is_some(), "{}", key.name);
    }
}

/// Compares `table` with the objects `nodes` can be, then what is below.
fn compare(schema: &Json, nodes: &[&Json], table: &Table, path: &str, differences: &mut Vec<String>) {
    let objects: Vec<&Json> = nodes.iter().flat_map(|node| shapes(schema, node)).collect();
    let ours: BTreeSet<&str> = table.keys.iter().filter(|key| !key.is_outside_schema).map(|key| key.name).collect();
    let theirs: BTreeSet<&str> = objects
        .iter()
        .filter_map(|object| object["properties"].as_object())
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect();
    if ours != theirs {
        let missing: Vec<_> = theirs.difference(&ours).collect();
        let surplus: Vec<_> = ours.difference(&theirs).collect();
        differences.push(format!("{path}: missing {missing:?}, surplus {surplus:?}"));
    }
    for key in table.keys.iter().filter(|key| !key.is_outside_schema) {
        let path = format!("{path}.{}", key.name);
        let values: Vec<&Json> = objects.iter().map(|object| &object["properties"][key.name]).collect();
        let values: Vec<&Json> = values.into_iter().flat_map(|value| shapes(schema, value)).collect();
        let inner: Vec<&Json> = match key.inner {
            Inner::Leaf | Inner::Map(_) => values,
            Inner::List(_) => values.into_iter().map(|value| &value["items"]).collect(),
            Inner::Named(_) => values.into_iter().flat_map(named).collect(),
        };
        match key.inner {
            Inner::Leaf => check_leaf(schema, &inner, &path, differences),
            Inner::Map(table) | Inner::List(table) | Inner::Named(table) => {
                compare(schema, &inner, table, &path, differences);
            }
        }
    }
}

fn check_leaf(schema: &Json, values: &[&Json], path: &str, differences: &mut Vec<String>) {
    let below = values.iter().flat_map(|value| std::iter::once(*value).chain(named(value)).chain([&value["items"]]));
    for value in below.flat_map(|value| shapes(schema, value)) {
        if value["properties"].is_object() {
            differences.push(format!("{path}: has keys of its own: {}", value["properties"]));
        }
    }
}

/// The values of a map from free names.
fn named(value: &Json) -> Vec<&Json> {
    let patterns = value["patternProperties"].as_object().into_iter().flatten();
    let patterns = patterns.filter(|(pattern, _)| *pattern != "^x-").map(|(_, value)| value);
    patterns.chain(value.get("additionalProperties")).collect()
}

/// What a schema node can be, references and alternatives resolved.
fn shapes<'s>(schema: &'s Json, node: &'s Json) -> Vec<&'s Json> {
    if let Some(name) = node["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        return shapes(schema, &schema["definitions"][name]);
    }
    let alternatives = ["oneOf", "anyOf", "allOf"].iter().filter_map(|key| node[*key].as_array()).flatten();
    let mut all: Vec<&Json> = alternatives.flat_map(|one| shapes(schema, one)).collect();
    all.push(node);
    all
}
