//! The state as records of the store: what a change writes, and how a state is read back.
//!
//! Keys are `<table>/<id>`, numbers in fixed-width hex so that they sort; values are JSON.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use remuda_api::resource::Event;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::state::State;
use crate::store::{Loaded, StoreError, Write};

/// What leads from `old` to `new`; empty when nothing stored changed.
pub fn writes(old: &State, new: &State) -> Result<Vec<Write>, StoreError> {
    let mut writes = Vec::new();
    if !Arc::ptr_eq(&old.fleet, &new.fleet) && old.fleet != new.fleet {
        writes.push(put("fleet".into(), &*new.fleet)?);
    }
    table("node", number, &old.nodes, &new.nodes, &mut writes)?;
    table("stack", String::clone, &old.stacks, &new.stacks, &mut writes)?;
    table("service", number, &old.services, &new.services, &mut writes)?;
    table("registry", String::clone, &old.registries, &new.registries, &mut writes)?;
    table("volume", String::clone, &old.volumes, &new.volumes, &mut writes)?;
    table("container", String::clone, &old.containers, &new.containers, &mut writes)?;
    table("token", String::clone, &old.tokens, &new.tokens, &mut writes)?;
    table("key", String::clone, &old.keys, &new.keys, &mut writes)?;
    events(&old.events, &new.events, &mut writes)?;
    Ok(writes)
}

/// The state the store holds. Errors name the record that cannot be read.
pub fn read(loaded: Loaded) -> Result<State, StoreError> {
    let mut state = State { revision: loaded.revision, ..State::default() };
    for (key, value) in &loaded.records {
        let (kind, id) = key.split_once('/').unwrap_or((key.as_str(), ""));
        match kind {
            "fleet" => state.fleet = get(key, value)?,
            "node" => drop(state.nodes.insert(parse(key, id)?, get(key, value)?)),
            "stack" => drop(state.stacks.insert(id.into(), get(key, value)?)),
            "service" => drop(state.services.insert(parse(key, id)?, get(key, value)?)),
            "registry" => drop(state.registries.insert(id.into(), get(key, value)?)),
            "volume" => drop(state.volumes.insert(id.into(), get(key, value)?)),
            "container" => drop(state.containers.insert(id.into(), get(key, value)?)),
            "token" => drop(state.tokens.insert(id.into(), get(key, value)?)),
            "key" => drop(state.keys.insert(id.into(), get(key, value)?)),
            "event" => state.events.push_back(get(key, value)?),
            // A table of a newer minor version: kept in the store, of no meaning here.
            _ => tracing::warn!(key, "record of an unknown kind left alone"),
        }
    }
    Ok(state)
}

fn number(id: &u32) -> String {
    format!("{id:08x}")
}

fn table<K: Ord, V: Serialize + PartialEq>(
    name: &str,
    key: impl Fn(&K) -> String,
    old: &BTreeMap<K, Arc<V>>,
    new: &BTreeMap<K, Arc<V>>,
    writes: &mut Vec<Write>,
) -> Result<(), StoreError> {
    for (id, record) in new {
        if old.get(id).is_none_or(|held| !Arc::ptr_eq(held, record) && held != record) {
            writes.push(put(format!("{name}/{}", key(id)), &**record)?);
        }
    }
    writes.extend(old.keys().filter(|id| !new.contains_key(id)).map(|id| Write::Delete(format!("{name}/{}", key(id)))));
    Ok(())
}

fn events(old: &VecDeque<Arc<Event>>, new: &VecDeque<Arc<Event>>, writes: &mut Vec<Write>) -> Result<(), StoreError> {
    let key = |event: &Arc<Event>| format!("event/{:016x}", event.id);
    let last_written = old.back().map_or(0, |event| event.id);
    let first_kept = new.front().map_or(0, |event| event.id);
    for event in new.iter().rev().take_while(|event| event.id > last_written) {
        writes.push(put(key(event), &**event)?);
    }
    writes.extend(old.iter().take_while(|event| event.id < first_kept).map(|event| Write::Delete(key(event))));
    Ok(())
}

fn put<V: Serialize>(key: String, value: &V) -> Result<Write, StoreError> {
    let bytes = serde_json::to_vec(value).map_err(|e| StoreError::Record { key: key.clone(), why: e.to_string() })?;
    Ok(Write::Put(key, bytes))
}

fn get<V: DeserializeOwned>(key: &str, value: &[u8]) -> Result<Arc<V>, StoreError> {
    serde_json::from_slice(value).map(Arc::new).map_err(|e| StoreError::Record { key: key.into(), why: e.to_string() })
}

fn parse(key: &str, id: &str) -> Result<u32, StoreError> {
    u32::from_str_radix(id, 16).map_err(|e| StoreError::Record { key: key.into(), why: e.to_string() })
}
