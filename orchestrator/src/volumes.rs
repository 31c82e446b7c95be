//! Named volumes: what they are called, which host has their data, who mounts them.
//!
//! The data of a `local` volume is on one host. Who mounts it first decides which, and from then on whoever mounts it
//! runs there and nowhere else: while that host is away they wait, they never begin with an empty volume of the same name
//! somewhere else. Containers that run once per host have a volume per host. Data that a network or another driver
//! brings to any host holds nobody. An external volume holds them where one of the fleet has this name and a host;
//! whether one of another origin is there, the engine of the host says.

pub mod options;

use std::collections::BTreeSet;
use std::sync::Arc;

use remuda_api::engine::Mount;
use remuda_api::resource;
use remuda_api::spec::{ServiceSpec, VolumeSpec};

use crate::place::Pin;
use crate::state::{Container, Service, State, Volume};
use options::{LOCAL, Place};

/// What the engine knows it by.
pub fn full_name(stack: &str, key: &str, spec: &VolumeSpec) -> String {
    spec.name.clone().unwrap_or_else(|| if spec.external { key.to_owned() } else { format!("{stack}_{key}") })
}

/// Its data is on the host that made it.
fn is_on_one_host(spec: &VolumeSpec) -> bool {
    !spec.external && matches!(options::place(spec), Place::Own | Place::Memory | Place::Host)
}

/// Keys of the volumes that a spec mounts by name.
pub fn keys(spec: &ServiceSpec) -> BTreeSet<&str> {
    let named = spec.engine.mounts.iter().filter(|mount| mount.kind == "volume" && !mount.source.is_empty());
    named.map(|mount| mount.source.as_str()).collect()
}

/// Volumes that a service mounts by name.
fn mounted(state: &State, service: &Service) -> Vec<(String, VolumeSpec)> {
    let of_stack = |key: &str| state.stacks.get(&service.stack).and_then(|stack| stack.volumes.get(key)).cloned();
    let spec_of = |key: &str| (key.to_owned(), of_stack(key).unwrap_or_default());
    let named = keys(&service.spec).into_iter().map(spec_of);
    named.map(|(key, spec)| (full_name(&service.stack, &key, &spec), spec)).collect()
}

/// Mounts as a host is told them: by full name, with all the engine needs to make the volume.
pub fn told(state: &State, service: &Service) -> Vec<Mount> {
    let spec_of = |key: &str| state.stacks.get(&service.stack).and_then(|stack| stack.volumes.get(key));
    let one = |mount: &Mount| {
        if mount.kind != "volume" || mount.source.is_empty() {
            return mount.clone();
        }
        let spec = spec_of(&mount.source).cloned().unwrap_or_default();
        Mount {
            source: full_name(&service.stack, &mount.source, &spec),
            is_external: spec.external,
            driver: spec.driver.clone().unwrap_or_default(),
            driver_options: spec.driver_options.iter().map(|(key, value)| format!("{key}={value}")).collect(),
            ..mount.clone()
        }
    };
    service.spec.engine.mounts.iter().map(one).collect()
}

/// Remembers the volumes that services of a stack mount, and that those of containers in place are there.
pub fn declare(state: &mut State, stack: &str) {
    let services: Vec<Arc<Service>> = state.services_of(stack).filter(|service| !service.removing).cloned().collect();
    for service in &services {
        for (name, spec) in mounted(state, service) {
            remember(state, stack, name, &spec);
        }
        let current = state.containers_of(service.id).filter(|c| c.spec_revision == service.spec_revision);
        // A host that is gone has nothing for those that wait for another one.
        let is_there = |id: u32| state.nodes.contains_key(&id) && !state.is_lost(id);
        let hosts: Vec<u32> = current.filter(|c| c.is_wanted() && is_there(c.node_id)).map(|c| c.node_id).collect();
        hosts.into_iter().for_each(|node_id| settle(state, service, node_id));
    }
}

/// The record of a volume that `stack` mounts; one that was only mentioned before becomes that of who declares it.
fn remember<'a>(state: &'a mut State, stack: &str, name: String, spec: &VolumeSpec) -> &'a mut Arc<Volume> {
    let mentioned = || Arc::new(Volume { name: name.clone(), is_external: true, ..Volume::default() });
    let held = state.volumes.entry(name.clone()).or_insert_with(mentioned);
    let driver = spec.driver.clone().unwrap_or_else(|| LOCAL.into());
    if held.driver.is_empty() || (held.is_external && !spec.external) {
        let volume = Arc::make_mut(held);
        volume.stack = if spec.external { String::new() } else { stack.to_owned() };
        (volume.driver, volume.is_external) = (driver, spec.external);
        // Where others found it, it was there before: nothing of ours.
        volume.copies.clear();
    }
    if let Some(path) = options::host_path(spec).filter(|path| held.host_path != *path) {
        Arc::make_mut(held).host_path = path.to_owned();
    }
    held
}

/// The host that a service's containers must run on for their data. Errors when volumes of it are on several hosts.
pub fn pin(state: &State, service: &Service) -> Result<Option<Pin>, String> {
    if service.is_global() {
        return Ok(None);
    }
    let mut found: Option<Pin> = None;
    let is_somewhere = |spec: &VolumeSpec| spec.external || is_on_one_host(spec);
    for (name, _) in mounted(state, service).into_iter().filter(|(_, spec)| is_somewhere(spec)) {
        let Some(volume) = state.volumes.get(&name).filter(|volume| volume.node_id != 0) else { continue };
        match &found {
            Some(other) if other.node_id != volume.node_id => {
                let (a, b) =
                    (format!("{} is on {}", other.volume, other.host), format!("{name} is on {}", volume.host));
                return Err(format!("volume {a} and volume {b}: no host has both"));
            }
            _ => found = Some(Pin { volume: name, node_id: volume.node_id, host: volume.host.clone() }),
        }
    }
    Ok(found)
}

/// A container of `service` was given this host: the volumes it mounts are there from now on.
pub fn settle(state: &mut State, service: &Service, node_id: u32) {
    let host = state.nodes.get(&node_id).map(|node| node.name.clone()).unwrap_or_default();
    for (name, spec) in mounted(state, service) {
        // Somebody may have removed it and its record since it was declared.
        let held = remember(state, &service.stack, name, &spec);
        let decides = !service.is_global() && is_on_one_host(&spec);
        let is_anothers = spec.external && !held.is_external;
        if decides && held.node_id == 0 {
            let volume = Arc::make_mut(held);
            (volume.node_id, volume.host) = (node_id, host.clone());
        } else if !decides && !is_anothers && !held.copies.contains(&node_id) {
            Arc::make_mut(held).copies.insert(node_id);
        }
    }
}

/// Volumes without data that nobody mounts are forgotten, and hosts that left have no copies. A host that joins under the
/// name of one that left may be another machine: what was there stays given up or missed until an operator decides.
pub fn follow_hosts(state: &mut State) {
    let State { volumes, nodes, services, stacks, .. } = state;
    let of_stack = |service: &Service, key: &str| stacks.get(&service.stack).and_then(|s| s.volumes.get(key)).cloned();
    let name =
        |service: &Service, key: &str| full_name(&service.stack, key, &of_stack(service, key).unwrap_or_default());
    if volumes.is_empty() {
        return;
    }
    let used: BTreeSet<String> =
        services.values().flat_map(|s| keys(&s.spec).into_iter().map(|key| name(s, key)).collect::<Vec<_>>()).collect();
    for held in volumes.values_mut() {
        if held.copies.iter().any(|id| !nodes.contains_key(id)) {
            Arc::make_mut(held).copies.retain(|id| nodes.contains_key(id));
        }
    }
    volumes.retain(|name, held| held.node_id != 0 || !held.copies.is_empty() || used.contains(name));
}

/// Containers that mount a volume, placed or not, by name.
pub fn used_by<'a>(state: &'a State, volume: &str) -> Vec<&'a Container> {
    let mounts = |service: &&Arc<Service>| mounted(state, service).iter().any(|(name, _)| name == volume);
    let ids: BTreeSet<u32> = state.services.values().filter(mounts).map(|service| service.id).collect();
    state.containers.values().map(|held| &**held).filter(|held| ids.contains(&held.service_id)).collect()
}

/// As people see it.
pub fn view(state: &State, volume: &Volume) -> resource::Volume {
    resource::Volume {
        name: volume.name.clone(),
        stack: Some(volume.stack.clone()).filter(|stack| !stack.is_empty()),
        driver: volume.driver.clone(),
        host: (volume.node_id != 0).then(|| volume.host.clone()),
        used_by: used_by(state, &volume.name).into_iter().map(|container| container.name.clone()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(driver: Option<&str>, options: &[(&str, &str)]) -> VolumeSpec {
        let driver_options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        VolumeSpec { driver: driver.map(str::to_owned), driver_options, ..VolumeSpec::default() }
    }

    #[test]
    fn data_that_a_network_brings_holds_nobody() {
        assert!(is_on_one_host(&spec(None, &[])));
        assert!(is_on_one_host(&spec(Some("local"), &[("type", "tmpfs")])));
        assert!(!is_on_one_host(&spec(
            Some("local"),
            &[("type", "nfs"), ("o", "addr=192.0.2.1"), ("device", ":/data")]
        )));
        let bind = [("type", "nfs"), ("o", "bind"), ("device", "nas:/data")];
        assert!(is_on_one_host(&spec(None, &bind)), "a bind is of the host whatever its type says");
        assert!(!is_on_one_host(&spec(Some("rancher-nfs"), &[])));
        assert!(!is_on_one_host(&VolumeSpec { external: true, ..VolumeSpec::default() }));
    }

    #[test]
    fn a_volume_is_called_by_stack_and_key_unless_it_has_a_name() {
        let named = VolumeSpec { name: Some("data".into()), ..VolumeSpec::default() };
        let external = VolumeSpec { external: true, ..VolumeSpec::default() };
        let names = [&VolumeSpec::default(), &named, &external].map(|spec| full_name("shop", "db", spec));
        assert_eq!(names, ["shop_db", "data", "db"]);
    }
}
