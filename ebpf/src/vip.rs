//! VIPs and published ports, packet by packet at the client's veth: for what the socket hooks miss
//! (raw sockets, machines inside containers).
//!
//! Two entries per flow: the original tuple knows the backend, the reply tuple knows what was dialled.
//! Whenever an original packet finds one missing, both are written anew.

use crate::{
    conntrack,
    hook::Hook,
    lb,
    nat::{self, Tuple},
    parse::Flow,
    tables::{Addresses, Tables},
    width::V4,
};
use remuda_abi::{
    counter::{Counter, DropReason},
    endpoint::Endpoint,
    flow::*,
    frontend::{Frontend, backend_port_be},
    hash::flow_hash,
    host::Host,
};

/// Client ports tried when the reply tuple already stands for another frontend.
const PLACES: u32 = 4;

/// Sends an original packet to a backend of `frontend`: rewrites packet and `flow`.
#[inline(always)]
pub fn translate<H: Hook, T: Tables>(
    p: &mut H,
    t: &T,
    host: &Host,
    from: &Endpoint,
    frontend: &Frontend,
    flow: &mut Flow<V4>,
) -> Result<(), DropReason> {
    let key = original_key(from.vni, flow);
    let to = match known(t, &key) {
        Some(to) => to,
        None => choose(t, host, from, frontend, flow)?,
    };
    remember(t, from, &key, &to);
    let new =
        Tuple { src_be: flow.ip.src_be, dst_be: to.ip_be, src_port_be: to.client_port_be, dst_port_be: to.port_be };
    nat::rewrite(p, flow, &new)?;
    t.count(Counter::VipTranslated);
    Ok(())
}

/// Shows the client what it dialled: rewrites a packet on its way to an endpoint, if it is a reply to a
/// translated flow.
#[inline(always)]
pub fn untranslate<H: Hook, T: Tables>(
    p: &mut H,
    t: &T,
    vni: u32,
    endpoint_id: u32,
    flow: &mut Flow<V4>,
) -> Result<(), DropReason> {
    if !flow.is_translatable() || !t.has_vip_flows(endpoint_id) {
        return Ok(());
    }
    let Some(shown) = Addresses::<V4>::vip_flow(t, &conntrack::reply_key(vni, flow)) else {
        return Ok(());
    };
    let new = Tuple {
        src_be: shown.ip_be,
        dst_be: flow.ip.dst_be,
        src_port_be: shown.port_be,
        dst_port_be: shown.client_port_be,
    };
    nat::rewrite(p, flow, &new)?;
    t.count(Counter::VipReplies);
    Ok(())
}

#[inline(always)]
fn original_key(vni: u32, flow: &Flow<V4>) -> FlowKey {
    FlowKey { direction: KEY_ORIGINAL, ..conntrack::reply_key(vni, flow) }
}

#[inline(always)]
fn reply_key(original: &FlowKey, to: &VipFlow) -> FlowKey {
    FlowKey {
        vni: original.vni,
        src_be: to.ip_be,
        dst_be: original.src_be,
        src_port_be: to.port_be,
        dst_port_be: to.client_port_be,
        proto: original.proto,
        direction: KEY_REPLY,
        pad: 0,
    }
}

/// Where this flow went before, if its backend still is who it was.
#[inline(always)]
fn known<T: Tables>(t: &T, key: &FlowKey) -> Option<VipFlow> {
    let to = Addresses::<V4>::vip_flow(t, key)?;
    let is_alive = t.backend(to.backend_id).is_some_and(|b| b.ip_be == to.ip_be);
    is_alive.then_some(to)
}

/// A backend from the list, and a client port under which its replies are told apart.
#[inline(always)]
fn choose<T: Tables>(
    t: &T,
    host: &Host,
    from: &Endpoint,
    frontend: &Frontend,
    flow: &Flow<V4>,
) -> Result<VipFlow, DropReason> {
    let (id, backend) = lb::from_list(t, frontend, flow.hash(host.hash_seed), from.ip_be)?;
    let mut to = VipFlow {
        ip_be: backend.ip_be,
        port_be: backend_port_be(frontend, &backend, flow.dst_port_be()),
        client_port_be: flow.src_port_be(),
        backend_id: id,
        last_seen_tick: 0,
    };
    let key = original_key(from.vni, flow);
    let mut place = 0;
    // VERIFIER: a fixed count; the first place is free for all but collisions.
    while place < PLACES {
        if place > 0 {
            let hash = flow_hash(place, flow.ip.src_be, flow.ip.dst_be, flow.ports_be);
            to.client_port_be = (1024 + ((u64::from(hash) * 64_512) >> 32) as u16).to_be();
        }
        if is_free(t, &key, &to) {
            if place > 0 {
                t.count(Counter::PortMoved);
            }
            return Ok(to);
        }
        place += 1;
    }
    t.count(Counter::PortsExhausted);
    Ok(to)
}

#[inline(always)]
fn is_free<T: Tables>(t: &T, key: &FlowKey, to: &VipFlow) -> bool {
    Addresses::<V4>::vip_flow(t, &reply_key(key, to)).is_none_or(|e| shows(&e, key))
}

#[inline(always)]
fn shows(entry: &VipFlow, key: &FlowKey) -> bool {
    entry.ip_be == key.dst_be && entry.port_be == key.dst_port_be && entry.client_port_be == key.src_port_be
}

/// Writes both entries if either is missing, or a second old.
#[inline(always)]
fn remember<T: Tables>(t: &T, from: &Endpoint, key: &FlowKey, to: &VipFlow) {
    let now = t.tick();
    let reply = reply_key(key, to);
    let is_shown = Addresses::<V4>::vip_flow(t, &reply).is_some_and(|e| shows(&e, key));
    if is_shown && to.last_seen_tick == now {
        return;
    }
    let shown = VipFlow {
        ip_be: key.dst_be,
        port_be: key.dst_port_be,
        client_port_be: key.src_port_be,
        backend_id: to.backend_id,
        last_seen_tick: now,
    };
    t.set_has_vip_flows(from.id);
    let original = VipFlow { last_seen_tick: now, ..*to };
    if !Addresses::<V4>::set_vip_flow(t, &reply, &shown) || !Addresses::<V4>::set_vip_flow(t, key, &original) {
        t.count(Counter::FlowInsertFailed);
    }
}
