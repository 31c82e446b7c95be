//! What `remuda up --plan` prints: what would become of each service, and why.

use std::process::ExitCode;

use remuda_api::resource::{ChangeAction, FieldChange, ServiceChange, StackApplied};

use crate::failure::{EXIT_USAGE, Outcome};
use crate::listing::{Format, json, out, plain};

/// Ends with 2 when something would change.
pub fn show(applied: &StackApplied, is_pruning: bool, format: Format) -> Outcome {
    match format {
        Format::Json => out(&json(&applied.services)?)?,
        Format::Table | Format::Wide => out(&text(applied))?,
    }
    notes(applied, is_pruning);
    Ok(if applied.changes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_USAGE) })
}

/// What a user should know besides, whether it is planned or done.
pub fn notes(applied: &StackApplied, is_pruning: bool) {
    applied.warnings.iter().for_each(|warning| eprintln!("warning: {}", plain(warning)));
    if !applied.surplus.is_empty() && !is_pruning {
        eprintln!("note: not in the file and left as they are: {} (--prune removes them)", applied.surplus.join(", "));
    }
}

fn text(applied: &StackApplied) -> String {
    if applied.changes.is_empty() {
        return "no changes\n".into();
    }
    let mut text: String = applied.services.iter().filter_map(service).collect();
    // What a server says that is not about one service, or that knows no plan: its own words.
    let is_told = |line: &&String| {
        line.split_once(": ").is_some_and(|(name, _)| applied.services.iter().any(|change| change.service == name))
    };
    applied.changes.iter().filter(|line| !is_told(line)).for_each(|line| text.push_str(&format!("{line}\n")));
    let unchanged = applied.services.iter().filter(|change| change.action == ChangeAction::Unchanged).count();
    if unchanged > 0 {
        text.push_str(&format!("{unchanged} unchanged\n"));
    }
    text
}

/// `web: changed, containers replaced`, and a line per field; None where nothing happens.
fn service(change: &ServiceChange) -> Option<String> {
    let what = match (change.action, change.replaces_containers) {
        (ChangeAction::Created, _) => "created",
        (ChangeAction::Removed, _) => "removed",
        (ChangeAction::Changed, true) => "changed, containers replaced",
        (ChangeAction::Changed, false) => "changed in place",
        (ChangeAction::Kept | ChangeAction::Unchanged, _) => return None,
    };
    let fields: String = change.fields.iter().map(field).collect();
    Some(format!("{}: {what}\n{fields}", change.service))
}

fn field(change: &FieldChange) -> String {
    if change.old.is_null() && change.new.is_null() {
        return format!("  {}: changed\n", plain(&change.field));
    }
    let value = |value: &serde_json::Value| if value.is_null() { "none".to_owned() } else { value.to_string() };
    format!("  {}: {} -> {}\n", plain(&change.field), value(&change.old), value(&change.new))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(service: &str, action: ChangeAction, fields: Vec<FieldChange>) -> ServiceChange {
        ServiceChange { service: service.into(), action, replaces_containers: !fields.is_empty(), fields }
    }

    #[test]
    fn a_plan_says_per_service_what_becomes_of_it() {
        let tag = FieldChange { field: "image".into(), old: json!("a:1"), new: json!("a:2") };
        let user = FieldChange { field: "user".into(), old: serde_json::Value::Null, new: json!("app") };
        let applied = StackApplied {
            generation: 7,
            changes: ["api: created", "old: removed", "web: containers replaced", "volume s_data: created"]
                .map(String::from)
                .to_vec(),
            surplus: Vec::new(),
            warnings: Vec::new(),
            services: vec![
                change("api", ChangeAction::Created, Vec::new()),
                change("db", ChangeAction::Unchanged, Vec::new()),
                change("kept", ChangeAction::Kept, Vec::new()),
                change("old", ChangeAction::Removed, Vec::new()),
                change("web", ChangeAction::Changed, vec![tag, user]),
            ],
        };
        let expected = "api: created\nold: removed\nweb: changed, containers replaced\n  image: \"a:1\" -> \"a:2\"\n  \
                        user: none -> \"app\"\nvolume s_data: created\n1 unchanged\n";
        assert_eq!(text(&applied), expected);
        assert_eq!(text(&StackApplied { changes: Vec::new(), ..applied }), "no changes\n");
    }
}
