//! What says that a container is ours, and what it was made for. The engine keeps it; nobody else has to remember.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use remuda_api::engine::EngineSpec;

use crate::action::UnitSpec;

const FLEET: &str = "io.remuda.fleet";
const NODE: &str = "io.remuda.node";
const UNIT: &str = "io.remuda.unit";
const REVISION: &str = "io.remuda.revision";
/// The [`UnitSpec`] as JSON, without what is no business of everybody who may read events.
const SPEC: &str = "io.remuda.spec";
const ROLE: &str = "io.remuda.role";
const STACK: &str = "io.remuda.stack";
const SERVICE: &str = "io.remuda.service";

/// Whose containers are ours: several fleets may have a host with the same number, and share an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) fleet: String,
    pub(super) node_id: u16,
}

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
pub(super) fn labels(spec: &UnitSpec, owner: &Owner, role: Role) -> HashMap<String, String> {
    let pair = |label: &String| {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        (key.to_owned(), value.to_owned())
    };
    let users = spec.labels.iter().filter(|_| role == Role::Unit).map(pair);
    let ours = [
        (FLEET, owner.fleet.clone()),
        (NODE, owner.node_id.to_string()),
        (UNIT, spec.name.clone()),
        (REVISION, spec.spec_revision.to_string()),
        // A spec is text, numbers and lists of them: it always has a JSON form.
        (SPEC, serde_json::to_string(&remembered(spec, role)).unwrap_or_default()),
        (ROLE, role.word().to_owned()),
        (STACK, spec.stack.clone()),
        (SERVICE, spec.service.clone()),
    ];
    users.chain(ours.map(|(key, value)| (key.to_owned(), value))).collect()
}

/// What has to be known of a unit that was made. Its revision says whether it is as it should be; its environment,
/// where passwords are, is not needed again, nor is what its program is by the holder.
pub(super) fn remembered(spec: &UnitSpec, role: Role) -> UnitSpec {
    let spec = UnitSpec { environment: Vec::new(), labels: Vec::new(), ..spec.clone() };
    match role {
        Role::Unit => spec,
        Role::Holder => UnitSpec { entrypoint: Vec::new(), command: Vec::new(), engine: EngineSpec::default(), ..spec },
    }
}

/// What a container was made for, if it is ours: it bears our labels, and the name we gave it. Labels alone would
/// take in containers of images that somebody made of ours. One whose spec cannot be read is ours, and outdated.
pub(super) fn read(name: &str, labels: &HashMap<String, String>, owner: &Owner) -> Option<(Role, UnitSpec)> {
    let is_ours = labels.get(NODE)? == &owner.node_id.to_string() && labels.get(FLEET)? == &owner.fleet;
    let role =
        [Role::Holder, Role::Unit].into_iter().find(|role| labels.get(ROLE).is_some_and(|l| l == role.word()))?;
    let unit = labels.get(UNIT)?;
    let is_named = name.trim_start_matches('/') == role.container_name(unit);
    let spec = labels.get(SPEC).and_then(|text| serde_json::from_str(text).ok()).and_then(spec_of);
    let spec = spec.filter(|spec| spec.name == *unit).unwrap_or_else(|| outdated(unit));
    (is_ours && is_named).then_some((role, spec))
}

/// Written by an agent of whatever version: of what only an engine can give, nothing is needed again.
pub(super) fn spec_of(mut told: serde_json::Value) -> Option<UnitSpec> {
    serde_json::from_value(told.clone()).ok().or_else(|| {
        told.as_object_mut()?.remove("engine");
        serde_json::from_value(told).ok()
    })
}

/// Of no revision that is ever wanted: it makes way for one that is.
fn outdated(name: &str) -> UnitSpec {
    UnitSpec {
        name: name.to_owned(),
        spec_revision: 0,
        runtime: "docker".into(),
        image: String::new(),
        entrypoint: Vec::new(),
        command: Vec::new(),
        environment: Vec::new(),
        user: String::new(),
        working_dir: String::new(),
        hostname: String::new(),
        network_mode: "managed".into(),
        ip: None,
        host_ip: None,
        dns_ip: Ipv4Addr::UNSPECIFIED,
        dns_search: Vec::new(),
        limit_cpu_milli: 0,
        limit_memory_bytes: 0,
        limit_pids: 0,
        labels: Vec::new(),
        stack: String::new(),
        service: String::new(),
        engine: EngineSpec::default(),
        stop_signal: String::new(),
        stop_grace_ms: 0,
        has_health_command: false,
    }
}

/// The unit's name that a container bears.
pub(super) fn unit(labels: &HashMap<String, String>) -> Option<&String> {
    labels.get(UNIT)
}

/// The engine's filter for containers of ours.
pub(super) fn filter(owner: &Owner) -> HashMap<String, Vec<String>> {
    let labels = vec![format!("{FLEET}={}", owner.fleet), format!("{NODE}={}", owner.node_id)];
    HashMap::from([("label".to_owned(), labels)])
}

/// What a volume made by us is marked with.
pub(super) fn of_volume(spec: &UnitSpec, owner: &Owner) -> HashMap<String, String> {
    let ours = [(FLEET, owner.fleet.clone()), (NODE, owner.node_id.to_string()), (STACK, spec.stack.clone())];
    ours.map(|(key, value)| (key.to_owned(), value)).into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{owner, spec};
    use super::*;

    #[test]
    fn what_a_container_was_made_for_is_read_back_from_its_labels_without_its_secrets() {
        let mut spec = spec();
        spec.engine.cap_add = vec!["NET_ADMIN".into()];
        spec.hostname = "QUOTE=\"a\"\nb".into();
        let known = spec.clone();
        spec.environment = vec!["PASSWORD=hidden".into()];
        let of_holder = labels(&spec, &owner(), Role::Holder);
        let of_unit = labels(&spec, &owner(), Role::Unit);
        assert_eq!(read("/shop-web-1", &of_unit, &owner()), Some((Role::Unit, known)));
        let (role, held) = read("/shop-web-1.hold", &of_holder, &owner()).expect("ours");
        assert_eq!((role, held.spec_revision, held.ip), (Role::Holder, 3, spec.ip));
        assert!(of_holder.values().chain(of_unit.values()).all(|value| !value.contains("hidden")));
        assert_eq!(read("/mine", &of_holder, &owner()), None, "an image made of ours bears our labels");
    }

    #[test]
    fn the_same_node_of_another_fleet_and_another_node_of_the_same_have_their_own() {
        let labels = labels(&spec(), &owner(), Role::Unit);
        for other in [Owner { node_id: 8, ..owner() }, Owner { fleet: "other".into(), ..owner() }] {
            assert_eq!(read("/shop-web-1", &labels, &other), None);
            assert_ne!(filter(&other), filter(&owner()));
        }
    }

    #[test]
    fn what_another_version_made_is_ours_and_outdated_only_if_it_cannot_be_read() {
        let revision = |label: &str| {
            let mut labels = labels(&spec(), &owner(), Role::Unit);
            labels.insert(SPEC.into(), label.into());
            read("/shop-web-1", &labels, &owner()).map(|(_, spec)| (spec.name, spec.spec_revision))
        };
        let mut newer = serde_json::to_value(spec()).expect("JSON");
        newer["engine"]["of_tomorrow"] = true.into();
        newer["also"] = "new".into();
        assert_eq!(revision(&newer.to_string()), Some(("shop-web-1".into(), 3)));
        assert_eq!(revision("{}"), Some(("shop-web-1".into(), 0)));
    }

    #[test]
    fn a_users_label_never_replaces_one_of_ours_and_is_on_the_unit_alone() {
        let mut spec = spec();
        spec.labels = vec!["io.remuda.node=9".into(), "team=a=b".into(), "flag".into()];
        let of_unit = labels(&spec, &owner(), Role::Unit);
        assert_eq!((of_unit[NODE].as_str(), of_unit["team"].as_str(), of_unit["flag"].as_str()), ("7", "a=b", ""));
        assert!(!labels(&spec, &owner(), Role::Holder).contains_key("team"));
    }
}
