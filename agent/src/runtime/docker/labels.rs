//! What says that a container is ours, and what it was made for. The engine keeps it; nobody else has to remember.

use std::collections::HashMap;

use crate::action::UnitSpec;

const NODE: &str = "io.remuda.node";
const UNIT: &str = "io.remuda.unit";
const REVISION: &str = "io.remuda.revision";
/// The whole [`UnitSpec`] as JSON: the truth for adoption.
const SPEC: &str = "io.remuda.spec";
const ROLE: &str = "io.remuda.role";
const STACK: &str = "io.remuda.stack";
const SERVICE: &str = "io.remuda.service";

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Role {
    /// Owns the network namespace.
    Holder,
    /// The unit's own program.
    Unit,
}

impl Role {
    fn word(self) -> &'static str {
        match self {
            Self::Holder => "holder",
            Self::Unit => "unit",
        }
    }

    /// The engine's name of the container of this role.
    pub(super) fn container_name(self, unit: &str) -> String {
        match self {
            Self::Holder => format!("{unit}.hold"),
            Self::Unit => unit.to_owned(),
        }
    }
}

/// Labels of a container made for `spec`: the user's own on the unit's, then ours, which win.
pub(super) fn labels(spec: &UnitSpec, node_id: u16, role: Role) -> HashMap<String, String> {
    let pair = |label: &String| {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        (key.to_owned(), value.to_owned())
    };
    let users = spec.labels.iter().filter(|_| role == Role::Unit).map(pair);
    let ours = [
        (NODE, node_id.to_string()),
        (UNIT, spec.name.clone()),
        (REVISION, spec.spec_revision.to_string()),
        // A spec is text, numbers and lists of them: it always has a JSON form.
        (SPEC, serde_json::to_string(spec).unwrap_or_default()),
        (ROLE, role.word().to_owned()),
        (STACK, spec.stack.clone()),
        (SERVICE, spec.service.clone()),
    ];
    users.chain(ours.map(|(key, value)| (key.to_owned(), value))).collect()
}

/// What a container was made for, if it is ours: it bears our labels, and the name we gave it. Labels alone would
/// take in containers of images that somebody made of ours.
pub(super) fn read(name: &str, labels: &HashMap<String, String>, node_id: u16) -> Option<(Role, UnitSpec)> {
    let is_ours = labels.get(NODE)? == &node_id.to_string();
    let role =
        [Role::Holder, Role::Unit].into_iter().find(|role| labels.get(ROLE).is_some_and(|l| l == role.word()))?;
    let spec: UnitSpec = serde_json::from_str(labels.get(SPEC)?).ok()?;
    let is_named = name.trim_start_matches('/') == role.container_name(&spec.name);
    (is_ours && is_named).then_some((role, spec))
}

/// The unit's name that a container bears.
pub(super) fn unit(labels: &HashMap<String, String>) -> Option<&String> {
    labels.get(UNIT)
}

/// The engine's filter for containers of this node.
pub(super) fn filter(node_id: u16) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{NODE}={node_id}")])])
}

/// What a volume made by us is marked with.
pub(super) fn of_volume(spec: &UnitSpec, node_id: u16) -> HashMap<String, String> {
    let ours = [(NODE, node_id.to_string()), (STACK, spec.stack.clone())];
    ours.map(|(key, value)| (key.to_owned(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::spec;
    use super::*;

    #[test]
    fn what_a_container_was_made_for_is_read_back_from_its_labels() {
        let mut spec = spec();
        spec.engine.cap_add = vec!["NET_ADMIN".into()];
        spec.environment = vec!["QUOTE=\"a\"\nb".into()];
        let labels = labels(&spec, 7, Role::Holder);
        assert_eq!(read("/shop-web-1.hold", &labels, 7), Some((Role::Holder, spec)));
        assert_eq!(read("/shop-web-1.hold", &labels, 8), None, "of another node");
        assert_eq!(read("/mine", &labels, 7), None, "an image made of ours bears our labels");
    }

    #[test]
    fn a_users_label_never_replaces_one_of_ours_and_is_on_the_unit_alone() {
        let mut spec = spec();
        spec.labels = vec!["io.remuda.node=9".into(), "team=a=b".into(), "flag".into()];
        let of_unit = labels(&spec, 7, Role::Unit);
        assert_eq!((of_unit[NODE].as_str(), of_unit["team"].as_str(), of_unit["flag"].as_str()), ("7", "a=b", ""));
        assert!(!labels(&spec, 7, Role::Holder).contains_key("team"));
    }
}
