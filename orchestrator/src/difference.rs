//! What applying a stack changes, service by service and field by field: what `remuda up --plan` prints.
//!
//! Two specs are compared as the JSON people see of them, so a field that is added to the spec is compared too.

use std::collections::BTreeSet;

use remuda_api::resource::{ChangeAction, FieldChange, ServiceChange};
use remuda_api::spec::StackSpec;
use serde_json::{Map, Value};

use crate::state::{Service, State};

/// Fields whose values are not said.
const SECRETS: [&str; 3] = ["environment", "log_options", "driver_options"];
/// Deepest path that is followed: a spec has five levels, metadata as many as somebody wrote.
const DEPTH_MAX: usize = 12;

/// Every service of `stack` by name: `after` is `before` with `spec` declared.
pub fn stack(before: &State, after: &State, stack: &str, spec: &StackSpec) -> Vec<ServiceChange> {
    let names: BTreeSet<&str> = after.services_of(stack).map(|service| service.name.as_str()).collect();
    let of = |name: &&str| {
        let (old, new) = (before.service(stack, name), after.service(stack, name)?);
        service(old.map(|old| &**old), new, spec.services.contains_key(*name))
    };
    names.iter().filter_map(of).collect()
}

/// None = it was on its way out before, and still is.
fn service(old: Option<&Service>, new: &Service, is_named: bool) -> Option<ServiceChange> {
    let change = |action, replaces_containers, fields| {
        Some(ServiceChange { service: new.name.clone(), action, replaces_containers, fields })
    };
    match old {
        Some(old) if old.removing && new.removing => None,
        Some(_) if new.removing => change(ChangeAction::Removed, false, Vec::new()),
        Some(old) if !old.removing => {
            let fields = fields(old, new);
            let is_replaced = old.spec_revision != new.spec_revision;
            let action = match (fields.is_empty() && !is_replaced, is_named) {
                (true, true) => ChangeAction::Unchanged,
                (true, false) => ChangeAction::Kept,
                (false, _) => ChangeAction::Changed,
            };
            change(action, is_replaced, fields)
        }
        _ => change(ChangeAction::Created, false, Vec::new()),
    }
}

/// What differs between two services, `scale` first.
fn fields(old: &Service, new: &Service) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare("scale", &Value::from(old.scale), &Value::from(new.scale), 0, &mut found);
    match (serde_json::to_value(&old.spec), serde_json::to_value(&new.spec)) {
        (Ok(old), Ok(new)) => compare("", &old, &new, 0, &mut found),
        // Specs are numbers, texts and maps with text keys, all of which JSON has.
        (old, new) => debug_assert!(old.is_ok() && new.is_ok(), "a spec is printed as JSON"),
    }
    found.into_iter().map(without_secrets).collect()
}

/// That it changed, where values are often passwords: the answer goes to logs and screens.
fn without_secrets(change: FieldChange) -> FieldChange {
    let is_secret = SECRETS.iter().any(|name| change.field.split(['.', '[']).any(|part| part == *name));
    if is_secret { FieldChange { old: Value::Null, new: Value::Null, ..change } } else { change }
}

/// Objects key by key, lists of objects of one length place by place, everything else as a whole.
fn compare(path: &str, old: &Value, new: &Value, depth: usize, found: &mut Vec<FieldChange>) {
    if old == new {
        return;
    }
    match (old, new) {
        (Value::Object(old), Value::Object(new)) if depth < DEPTH_MAX => objects(path, old, new, depth, found),
        (Value::Array(old), Value::Array(new)) if depth < DEPTH_MAX && is_matched(old, new) => {
            for (at, (old, new)) in old.iter().zip(new).enumerate() {
                compare(&format!("{path}[{at}]"), old, new, depth + 1, found);
            }
        }
        _ => found.push(FieldChange { field: path.to_owned(), old: old.clone(), new: new.clone() }),
    }
}

fn objects(path: &str, old: &Map<String, Value>, new: &Map<String, Value>, depth: usize, found: &mut Vec<FieldChange>) {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
        compare(&path, &of(old), &of(new), depth + 1, found);
    }
}

/// Lists whose entries are the same things in the same places, as far as that can be known.
fn is_matched(old: &[Value], new: &[Value]) -> bool {
    old.len() == new.len() && old.iter().chain(new).all(Value::is_object)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use remuda_api::spec::{PortSpec, ServiceMode, ServiceSpec};
    use serde_json::json;

    use super::*;
    use crate::declare;

    fn web(tag: &str, published: u16) -> ServiceSpec {
        let port =
            PortSpec { target: 80, published: Some(published), protocol: Default::default(), mode: Default::default() };
        ServiceSpec {
            command: Some(vec!["web".into()]),
            environment: BTreeMap::from([("TAG".to_owned(), tag.to_owned())]),
            ports: vec![port],
            ..ServiceSpec::default()
        }
    }

    fn spec(services: &[(&str, ServiceSpec)]) -> StackSpec {
        let services = services.iter().map(|(name, spec)| ((*name).to_owned(), spec.clone())).collect();
        StackSpec { name: "s".into(), services, ..StackSpec::default() }
    }

    /// Declares `wanted` on top of `held` in the next revision.
    fn planned(held: &State, wanted: &StackSpec, prune: bool) -> (State, Vec<ServiceChange>) {
        let mut after = State { revision: held.revision + 1, ..held.clone() };
        declare::stack(&mut after, wanted, prune).expect("room");
        let changes = stack(held, &after, "s", wanted);
        (after, changes)
    }

    fn fleet() -> State {
        let mut state = State::default();
        Arc::make_mut(&mut state.fleet).vip_pools = vec!["10.43.0.0/16".parse().expect("a pool")];
        state
    }

    fn actions(changes: &[ServiceChange]) -> Vec<(&str, ChangeAction)> {
        changes.iter().map(|change| (change.service.as_str(), change.action)).collect()
    }

    #[test]
    fn a_service_is_created_then_unchanged_then_kept_and_removed_only_when_pruned() {
        let both = spec(&[("web", web("1", 80)), ("api", web("1", 81))]);
        let (held, changes) = planned(&fleet(), &both, false);
        assert_eq!(actions(&changes), [("api", ChangeAction::Created), ("web", ChangeAction::Created)]);
        let (held, changes) = planned(&held, &both, false);
        assert_eq!(actions(&changes), [("api", ChangeAction::Unchanged), ("web", ChangeAction::Unchanged)]);
        let one = spec(&[("web", web("1", 80))]);
        let (_, changes) = planned(&held, &one, false);
        assert_eq!(actions(&changes), [("api", ChangeAction::Kept), ("web", ChangeAction::Unchanged)]);
        let (held, changes) = planned(&held, &one, true);
        assert_eq!(actions(&changes), [("api", ChangeAction::Removed), ("web", ChangeAction::Unchanged)]);
        let (_, changes) = planned(&held, &both, true);
        assert_eq!(actions(&changes), [("api", ChangeAction::Created), ("web", ChangeAction::Unchanged)]);
    }

    #[test]
    fn what_differs_is_named_with_both_values_unless_they_may_be_secrets() {
        let (held, _) = planned(&fleet(), &spec(&[("web", web("1", 80))]), false);
        let mode = ServiceMode::Replicated { replicas: Some(3) };
        let wanted = ServiceSpec { user: Some("app".into()), mode, ..web("2", 8080) };
        let (_, changes) = planned(&held, &spec(&[("web", wanted)]), false);
        let found: Vec<(&str, &Value, &Value)> =
            changes[0].fields.iter().map(|change| (change.field.as_str(), &change.old, &change.new)).collect();
        let expected = [
            ("scale", &json!(1), &json!(3)),
            ("environment.TAG", &Value::Null, &Value::Null),
            ("ports[0].published", &json!(80), &json!(8080)),
            ("user", &Value::Null, &json!("app")),
        ];
        assert_eq!(found, expected);
        assert!(changes[0].replaces_containers, "another user is another program");
    }

    #[test]
    fn lists_of_words_differ_as_a_whole() {
        let mut found = Vec::new();
        compare("command", &json!(["a", "b"]), &json!(["a", "c"]), 0, &mut found);
        compare("ports", &json!([{"target": 1}]), &json!([]), 0, &mut found);
        let paths: Vec<&str> = found.iter().map(|change| change.field.as_str()).collect();
        assert_eq!(paths, ["command", "ports"]);
    }
}
