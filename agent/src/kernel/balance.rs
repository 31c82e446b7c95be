//! Frontends and who serves them.
//!
//! A frontend's list (for connections from inside) and ring (for packets from outside, see [`super::rings`]) are written
//! to a free region first; then one write of the frontend's value flips both. Its former regions rest before they are
//! used again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use aya::maps::IterableMap;
use remuda_abi::endpoint::LocalKey;
use remuda_abi::frontend::{
    BACKEND_DRAINING, BACKEND_HOST_NETWORK, BACKEND_LOCAL, Backend as BackendValue, FRONTEND_BY_PORT,
    Frontend as FrontendValue, FrontendKey as KeyValue, OwnerKey, published_bit, published_word,
};
use remuda_abi::host::HOST_HAS_HOST_BACKENDS;
use remuda_ring::Ring;

use super::Kernel;
use super::arena::Arena;
use super::bpf;
use super::error::{Attempt, KernelError};
use super::maps::{Maps, Raw};
use super::peers::{be, gone, ip_of};
use super::rings::{self, Rings};
use crate::action::{Backend, Frontend, FrontendKey, HOST_PORT_ID};

/// What the balancer remembers of maps only this agent writes: where the free parts are.
pub(crate) struct Balance {
    lists: Arena,
    regions: Arena,
    rings: Rings,
    /// Elements of BACKENDS that are in use: reading 65,536 each time would cost more than it tells.
    backend_ids: BTreeSet<u32>,
}

impl Balance {
    /// Reads what an agent before this one left.
    pub(crate) fn adopt(maps: &Maps, data_dir: &Path) -> Result<Balance, KernelError> {
        let backends: Vec<Raw<BackendValue>> =
            bpf::read_array(maps.backends.map().fd(), 0, maps.backends.len()).attempt(|| "read map BACKENDS")?;
        let used = backends.iter().enumerate().filter(|(_, b)| b.0.ip_be != 0).map(|(id, _)| id as u32);
        let (mut lists, mut regions) = (Arena::new(maps.lists.len()), Arena::new(maps.rings.len()));
        let mut ids = BTreeSet::new();
        for (_, value) in maps.frontends4.iter().flatten() {
            lists.adopt(value.0.list_base, value.0.list_count);
            regions.adopt(value.0.ring_base, value.0.ring_slots);
            ids.insert(value.0.id);
        }
        let mut rings = Rings::open(data_dir.join("rings"));
        rings.retain(&ids);
        Ok(Balance { lists, regions, rings, backend_ids: used.collect() })
    }
}

/// Nothing is in the kernel any more.
pub(crate) fn remove_all(kernel: &mut Kernel) {
    kernel.balance.rings.forget_all();
}

/// Writes one backend; whoever has its id in a list or ring follows at once.
pub(crate) fn put_backend(kernel: &mut Kernel, backend: &Backend) -> Result<(), KernelError> {
    let what = || format!("write backend {} at {}", backend.id, backend.ip);
    let host = kernel.host()?;
    let is_local = backend.node_id == host.node_id;
    let flag = |is_set: bool, flag: u32| if is_set { flag } else { 0 };
    let value = BackendValue {
        ip_be: be(backend.ip),
        node_underlay_ip_be: be(backend.node_underlay_ip),
        endpoint_id: backend.id,
        port_be: 0,
        node_id: backend.node_id,
        flags: flag(is_local, BACKEND_LOCAL)
            | flag(backend.host_network, BACKEND_HOST_NETWORK)
            | flag(backend.draining, BACKEND_DRAINING),
    };
    if is_local && backend.host_network {
        // Tunnel packets for it name its id: the host's own endpoint takes them.
        let key = LocalKey { vni: host.vni, ip_be: host.endpoint_ip_be };
        kernel.maps.local_ids.insert(backend.id, Raw(key), 0).attempt(what)?;
    }
    let old = kernel.maps.backends.get(&backend.id, 0).attempt(what)?.0;
    kernel.maps.backends.set(backend.id, Raw(value), 0).attempt(what)?;
    kernel.balance.backend_ids.insert(backend.id);
    note_host_backends(kernel, value.flags | old.flags)
}

/// The reverse of [`put_backend`]; the plan has taken it out of every frontend before.
pub(crate) fn remove_backend(kernel: &mut Kernel, id: u32) -> Result<(), KernelError> {
    let what = || format!("remove backend {id}");
    let Ok(old) = kernel.maps.backends.get(&id, 0) else { return Ok(()) };
    if is_host_backend(old.0.flags) {
        gone(kernel.maps.local_ids.remove(&id)).attempt(what)?;
    }
    kernel.maps.backends.set(id, Raw(BackendValue::default()), 0).attempt(what)?;
    kernel.balance.backend_ids.remove(&id);
    note_host_backends(kernel, old.0.flags)?;
    drop_former_owners(kernel)
}

/// Adds or changes a frontend; its backends exist already.
pub(crate) fn put_frontend(kernel: &mut Kernel, frontend: &Frontend) -> Result<(), KernelError> {
    let what = || format!("write frontend {}", frontend.key);
    let key = key_value(kernel.vni()?, frontend.key);
    let old = kernel.maps.frontends4.get(&Raw(key), 0).map(|v| v.0).ok();
    let (mut value, ring) = place(kernel, frontend, old)?;
    let was = old.unwrap_or_default();
    let is_same_list = (was.list_base, was.list_count) == (value.list_base, value.list_count);
    let is_same_ring = (was.ring_base, was.ring_slots) == (value.ring_base, value.ring_slots);
    value.generation = was.generation.wrapping_add(u32::from(!is_same_list || !is_same_ring));
    if is_served_outside(frontend.key) {
        own(kernel, frontend)?;
    }
    kernel.maps.frontends4.insert(Raw(key), Raw(value), 0).attempt(what)?;
    // Kept after it is written: an agent that dies in between leaves a memory that does not fit, which says so.
    if is_served_outside(frontend.key) {
        kernel.balance.rings.keep(frontend, ring);
    }
    set_published(kernel, frontend.key, true)?;
    release(kernel, &was, !is_same_list, !is_same_ring);
    if old.is_some() && !is_same_ring {
        raise_ring_generation(kernel)?;
        drop_former_owners(kernel)?;
    }
    Ok(())
}

/// The reverse of [`put_frontend`]; absent is fine.
pub(crate) fn remove_frontend(kernel: &mut Kernel, key: FrontendKey) -> Result<(), KernelError> {
    let what = || format!("remove frontend {key}");
    let value_key = key_value(kernel.vni()?, key);
    set_published(kernel, key, false)?;
    let Ok(old) = kernel.maps.frontends4.get(&Raw(value_key), 0) else { return Ok(()) };
    gone(kernel.maps.frontends4.remove(&Raw(value_key))).attempt(what)?;
    release(kernel, &old.0, true, true);
    if !is_served_outside(key) {
        return Ok(());
    }
    kernel.balance.rings.forget(old.0.id);
    drop_former_owners(kernel)
}

pub(crate) fn observed_backends(kernel: &Kernel) -> Result<BTreeMap<u32, Backend>, KernelError> {
    let mut found = BTreeMap::new();
    for id in &kernel.balance.backend_ids {
        let value = kernel.maps.backends.get(id, 0).attempt(|| format!("read backend {id}"))?.0;
        let backend = Backend {
            id: *id,
            ip: ip_of(value.ip_be),
            node_id: value.node_id,
            node_underlay_ip: ip_of(value.node_underlay_ip_be),
            host_network: value.flags & BACKEND_HOST_NETWORK != 0,
            draining: value.flags & BACKEND_DRAINING != 0,
        };
        // A zeroed element is none: somebody wrote to the map behind our back, and the plan puts it back.
        if value.ip_be != 0 {
            found.insert(*id, backend);
        }
    }
    Ok(found)
}

pub(crate) fn observed_frontends(kernel: &Kernel, vni: u32) -> Result<BTreeMap<FrontendKey, Frontend>, KernelError> {
    let mut found = BTreeMap::new();
    for (key, value) in kernel.maps.frontends4.iter().flatten().filter(|(key, _)| key.0.vni == vni) {
        let key = key_of(&key.0, value.0.id);
        let backends = members(kernel, &value.0)?;
        let target_port = u16::from_be(value.0.target_port_be);
        let (draining, silent) = match is_served_outside(key) {
            true => kernel.balance.rings.told(value.0.id),
            false => (Vec::new(), Vec::new()),
        };
        let (id, by_port) = (value.0.id, value.0.flags & FRONTEND_BY_PORT != 0);
        found.insert(key, Frontend { key, by_port, id, target_port, backends, draining, silent });
    }
    Ok(found)
}

/// A list and, for what is served from outside, a ring, in regions of their own; those that are right already stay
/// where they are.
fn place(
    kernel: &mut Kernel,
    frontend: &Frontend,
    old: Option<FrontendValue>,
) -> Result<(FrontendValue, Ring), KernelError> {
    let mut value = FrontendValue {
        id: frontend.id,
        target_port_be: frontend.target_port.to_be(),
        flags: if frontend.by_port { FRONTEND_BY_PORT } else { 0 },
        ..FrontendValue::default()
    };
    (value.list_base, value.list_count) = place_list(kernel, frontend, old)?;
    let has_members = !frontend.backends.is_empty() || !frontend.draining.is_empty();
    if !is_served_outside(frontend.key) || !has_members {
        return Ok((value, Ring::from_slots(Vec::new())));
    }
    let (region, ring) = place_ring(kernel, frontend, old.filter(|old| old.id == frontend.id))?;
    (value.ring_base, value.ring_slots) = region;
    Ok((value, ring))
}

fn place_list(kernel: &mut Kernel, frontend: &Frontend, old: Option<FrontendValue>) -> Result<(u32, u32), KernelError> {
    if let Some(old) = old.filter(|old| members(kernel, old).ok().as_ref() == Some(&frontend.backends)) {
        return Ok((old.list_base, old.list_count));
    }
    let count = frontend.backends.len() as u32;
    let base = kernel.balance.lists.take(count, Instant::now()).ok_or_else(|| full(frontend, "LISTS"))?;
    bpf::write_array(kernel.maps.lists.map().fd(), base, &frontend.backends)
        .attempt(|| format!("write the list of {}", frontend.key))?;
    Ok((base, count))
}

/// One step from the ring that is in the map.
fn place_ring(
    kernel: &mut Kernel,
    frontend: &Frontend,
    old: Option<FrontendValue>,
) -> Result<((u32, u32), Ring), KernelError> {
    let seed = kernel.host()?.hash_seed;
    let nodes = nodes_by_backend(kernel)?;
    let node_of = |id: u32| nodes.get(&id).copied().unwrap_or(0);
    let held = old.filter(|old| old.ring_slots > 0).map(|old| ring_slots(kernel, &old)).transpose()?;
    let before = held.as_ref().map(|slots| kernel.balance.rings.behind(frontend, slots, &node_of));
    let ring = rings::next(seed, frontend, before);
    let slots = rings::encoded(&ring, &rings::heard(&frontend.silent, &node_of));
    if let Some(old) = old.filter(|_| held.as_ref() == Some(&slots)) {
        return Ok(((old.ring_base, old.ring_slots), ring));
    }
    let count = slots.len() as u32;
    let base = kernel.balance.regions.take(count, Instant::now()).ok_or_else(|| full(frontend, "RINGS"))?;
    bpf::write_array(kernel.maps.rings.map().fd(), base, &slots)
        .attempt(|| format!("write the ring of {}", frontend.key))?;
    Ok(((base, count), ring))
}

fn full(frontend: &Frontend, map: &str) -> KernelError {
    KernelError::Unusable(format!("no room for frontend {}: map {map} is full", frontend.key))
}

fn ring_slots(kernel: &Kernel, value: &FrontendValue) -> Result<Vec<u64>, KernelError> {
    bpf::read_array(kernel.maps.rings.map().fd(), value.ring_base, value.ring_slots)
        .attempt(|| format!("read the ring of frontend {}", value.id))
}

fn nodes_by_backend(kernel: &Kernel) -> Result<BTreeMap<u32, u16>, KernelError> {
    Ok(observed_backends(kernel)?.into_values().map(|backend| (backend.id, backend.node_id)).collect())
}

fn release(kernel: &mut Kernel, old: &FrontendValue, list: bool, ring: bool) {
    let now = Instant::now();
    if list && old.list_count > 0 {
        kernel.balance.lists.release(old.list_base, now);
    }
    if ring && old.ring_slots > 0 {
        kernel.balance.regions.release(old.ring_base, now);
    }
}

fn members(kernel: &Kernel, value: &FrontendValue) -> Result<Vec<u32>, KernelError> {
    let positions = value.list_base..value.list_base.saturating_add(value.list_count);
    positions.map(|i| kernel.maps.lists.get(&i, 0).attempt(|| format!("read list element {i}"))).collect()
}

/// Hosts with a backend of the frontend may send replies in its name.
fn own(kernel: &mut Kernel, frontend: &Frontend) -> Result<(), KernelError> {
    let members = [frontend.backends.as_slice(), &frontend.draining].concat();
    for node_id in nodes_of(kernel, &members) {
        let key = OwnerKey { frontend_id: frontend.id, node_id, pad: 0 };
        kernel
            .maps
            .owners
            .insert(Raw(key), 1, 0)
            .attempt(|| format!("note node {node_id} as owner of {}", frontend.key))?;
    }
    Ok(())
}

fn nodes_of(kernel: &Kernel, backends: &[u32]) -> BTreeSet<u16> {
    backends.iter().filter_map(|id| kernel.maps.backends.get(id, 0).ok()).map(|b| b.0.node_id).collect()
}

/// A host loses a frontend when none of its backends serves it. While any of them drains it keeps all it had:
/// flows of a draining backend still answer.
fn drop_former_owners(kernel: &mut Kernel) -> Result<(), KernelError> {
    let mut owners: BTreeMap<u32, BTreeSet<u16>> = BTreeMap::new();
    let published = kernel.maps.frontends4.iter().flatten().filter(|(key, _)| key.0.addr_be == 0);
    let frontends: Vec<FrontendValue> = published.map(|(_, value)| value.0).collect();
    for value in frontends {
        let nodes = nodes_of(kernel, &members(kernel, &value)?);
        owners.entry(value.id).or_default().extend(nodes);
    }
    let draining: BTreeSet<u16> =
        observed_backends(kernel)?.into_values().filter(|b| b.draining).map(|b| b.node_id).collect();
    let former = |key: &OwnerKey| match owners.get(&key.frontend_id) {
        Some(nodes) => !nodes.contains(&key.node_id) && !draining.contains(&key.node_id),
        None => true,
    };
    let keys: Vec<Raw<OwnerKey>> = kernel.maps.owners.keys().flatten().filter(|key| former(&key.0)).collect();
    for key in keys {
        gone(kernel.maps.owners.remove(&key)).attempt(|| "forget a former owner")?;
    }
    Ok(())
}

/// The bit programs look at before anything else.
fn set_published(kernel: &mut Kernel, key: FrontendKey, is_published: bool) -> Result<(), KernelError> {
    let (FrontendKey::Published { protocol, port } | FrontendKey::HostPort { protocol, port }) = key else {
        return Ok(());
    };
    let what = || format!("write the bit of {key}");
    let Some(word) = published_word(protocol, port) else {
        return Err(KernelError::Unusable(format!("{key}: only tcp and udp ports can be published")));
    };
    let bits = kernel.maps.published.get(&word, 0).attempt(what)?;
    let wanted = if is_published { bits | published_bit(port) } else { bits & !published_bit(port) };
    if bits == wanted { Ok(()) } else { kernel.maps.published.set(word, wanted, 0).attempt(what) }
}

/// Flows that were placed by an older ring are confirmed before they are believed.
fn raise_ring_generation(kernel: &mut Kernel) -> Result<(), KernelError> {
    let mut host = kernel.host()?;
    host.ring_generation = host.ring_generation.wrapping_add(1);
    kernel.maps.host.set(0, Raw(host), 0).attempt(|| "raise the ring generation")
}

/// Uplinks undo translations of host-network backends only where there are any. Asked only when one of this host
/// came or went, which its `flags` say.
fn note_host_backends(kernel: &mut Kernel, flags: u32) -> Result<(), KernelError> {
    if !is_host_backend(flags) {
        return Ok(());
    }
    let mut host = kernel.host()?;
    let node_id = host.node_id;
    let has_any = observed_backends(kernel)?.into_values().any(|b| b.host_network && b.node_id == node_id);
    let flags = if has_any { host.flags | HOST_HAS_HOST_BACKENDS } else { host.flags & !HOST_HAS_HOST_BACKENDS };
    if flags == host.flags {
        return Ok(());
    }
    host.flags = flags;
    kernel.maps.host.set(0, Raw(host), 0).attempt(|| "note host-network backends")
}

/// Has a ring, and hosts that answer in its name.
fn is_served_outside(key: FrontendKey) -> bool {
    !key.is_inside()
}

/// In this host's own namespace.
fn is_host_backend(flags: u32) -> bool {
    flags & BACKEND_LOCAL != 0 && flags & BACKEND_HOST_NETWORK != 0
}

fn key_value(vni: u32, key: FrontendKey) -> KeyValue {
    match key {
        FrontendKey::Vip(ip) => KeyValue::vip(vni, be(ip)),
        FrontendKey::VipPort { ip, protocol, port } => KeyValue::vip_port(vni, be(ip), port.to_be(), protocol),
        FrontendKey::Published { protocol, port } | FrontendKey::HostPort { protocol, port } => {
            KeyValue::published(vni, port.to_be(), protocol)
        }
    }
}

fn key_of(key: &KeyValue, id: u32) -> FrontendKey {
    let (protocol, port) = (key.proto, u16::from_be(key.port_be));
    match key.addr_be {
        0 if id & HOST_PORT_ID != 0 => FrontendKey::HostPort { protocol, port },
        0 => FrontendKey::Published { protocol, port },
        vip if key.proto == 0 => FrontendKey::Vip(ip_of(vip)),
        vip => FrontendKey::VipPort { ip: ip_of(vip), protocol, port },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frontend_key_survives_the_way_to_the_map_and_back() {
        let keys = [
            (FrontendKey::Vip([10, 43, 0, 7].into()), 5),
            (FrontendKey::VipPort { ip: [10, 43, 0, 7].into(), protocol: 6, port: 80 }, 5),
            (FrontendKey::Published { protocol: 6, port: 8080 }, 6),
            (FrontendKey::HostPort { protocol: 17, port: 53 }, HOST_PORT_ID | 1),
        ];
        for (key, id) in keys {
            assert_eq!(key_of(&key_value(9, key), id), key);
        }
    }
}
