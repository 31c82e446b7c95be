//! What a backend's host remembers of flows from outside.
//!
//! One entry per flow, keyed by the reply as it leaves the backend. An original packet computes that
//! key: it knows the backend. Should another dialled address already stand behind the same client port
//! at the same backend, the port moves (the address never does) to one of a few places computed from
//! the tuple, so that later packets find it without a second table.

use crate::{
    packet::{TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN},
    parse::{Flow, Segment},
    tables::{Addresses, Tables},
    width::V4,
};
use remuda_abi::{addr::PROTO_TCP, counter::Counter, flow::*, hash::flow_hash, host::Host};

/// Where a flow's packets come in: its replies go there.
#[derive(Clone, Copy)]
pub struct Ingress {
    pub node_id: u16,
    pub underlay_ip_be: u32,
}

/// Places a flow may live: its own client port, then moved ones.
const PLACES: u32 = 4;

/// Remembers an original packet; returns the client port the backend shall see.
///
/// Never refuses: an entry that cannot be written is counted and the packet goes on. A TCP packet of an
/// unknown flow that opens none is kept and counted, too.
#[inline(always)]
pub fn original<T: Tables>(
    t: &T,
    host: &Host,
    flow: &Flow<V4>,
    to: (u32, u16),
    ingress: Ingress,
    segment: Segment,
) -> u16 {
    let now = t.tick();
    let own_port_be = flow.src_port_be();
    let mut key = FlowKey {
        vni: host.vni,
        src_be: to.0,
        dst_be: flow.ip.src_be,
        src_port_be: to.1,
        dst_port_be: own_port_be,
        proto: flow.ip.proto,
        direction: KEY_REPLY,
        pad: 0,
    };
    let mut free: Option<u16> = None;
    let mut place = 0;
    // VERIFIER: a fixed count; each place is one look-up, and the first one ends it for all but collisions.
    while place < PLACES {
        key.dst_port_be = port_at(flow, place);
        match Addresses::<V4>::conntrack(t, &key) {
            Some(entry) if is_same(&entry, flow) => {
                refresh(t, &key, &entry, ingress, segment, now);
                return key.dst_port_be;
            }
            Some(_) => (),
            None => free = free.or(Some(key.dst_port_be)),
        }
        place += 1;
    }
    let port_be = match free {
        Some(port_be) => port_be,
        None => {
            t.count(Counter::PortsExhausted);
            key.dst_port_be
        }
    };
    key.dst_port_be = port_be;
    if port_be != own_port_be {
        t.count(Counter::PortMoved);
    }
    if flow.ip.proto == PROTO_TCP && segment.flags & TCP_SYN == 0 {
        t.count(Counter::UnknownFlowKept);
    }
    create(t, host, &key, flow, ingress, now);
    port_be
}

#[inline(always)]
fn is_same(entry: &Conntrack, flow: &Flow<V4>) -> bool {
    entry.dialled_ip_be == flow.ip.dst_be
        && entry.dialled_port_be == flow.dst_port_be()
        && entry.client_port_be == flow.src_port_be()
}

/// The client port of a place: its own, then ports from 1,024 up, by the tuple.
#[inline(always)]
fn port_at(flow: &Flow<V4>, place: u32) -> u16 {
    if place == 0 {
        return flow.src_port_be();
    }
    let hash = flow_hash(place, flow.ip.src_be, flow.ip.dst_be, flow.ports_be);
    let port = 1024 + ((u64::from(hash) * 64_512) >> 32) as u16;
    port.to_be()
}

#[inline(always)]
fn create<T: Tables>(t: &T, host: &Host, key: &FlowKey, flow: &Flow<V4>, ingress: Ingress, now: u32) {
    let entry = Conntrack {
        dialled_ip_be: flow.ip.dst_be,
        dialled_port_be: flow.dst_port_be(),
        client_port_be: flow.src_port_be(),
        ingress_underlay_ip_be: ingress.underlay_ip_be,
        ingress_node_id: ingress.node_id,
        state: FlowState::New as u8,
        pad: 0,
        generation: host.ring_generation,
        syn_ack: 0,
        created_tick: now,
        last_seen_tick: now,
    };
    let written = Addresses::<V4>::set_conntrack(t, key, &entry);
    t.count(if written { Counter::FlowsCreated } else { Counter::FlowInsertFailed });
}

/// Writes only when there is news: another second, ingress or state.
#[inline(always)]
fn refresh<T: Tables>(t: &T, key: &FlowKey, entry: &Conntrack, ingress: Ingress, segment: Segment, now: u32) {
    let state = after_original(entry.state, segment.flags);
    let is_news = state != entry.state
        || ingress.node_id != entry.ingress_node_id
        || ingress.underlay_ip_be != entry.ingress_underlay_ip_be
        || now != entry.last_seen_tick;
    if is_news {
        let entry = Conntrack {
            state,
            ingress_node_id: ingress.node_id,
            ingress_underlay_ip_be: ingress.underlay_ip_be,
            last_seen_tick: now,
            ..*entry
        };
        write(t, key, &entry);
    }
}

/// The entry behind a packet that leaves a backend, refreshed; `None` = no reply of ours.
#[inline(always)]
pub fn reply_key(vni: u32, flow: &Flow<V4>) -> FlowKey {
    FlowKey {
        vni,
        src_be: flow.ip.src_be,
        dst_be: flow.ip.dst_be,
        src_port_be: flow.src_port_be(),
        dst_port_be: flow.dst_port_be(),
        proto: flow.ip.proto,
        direction: KEY_REPLY,
        pad: 0,
    }
}

/// Remembers a reply.
#[inline(always)]
pub fn reply<T: Tables>(t: &T, key: &FlowKey, entry: &Conntrack, segment: Segment) {
    let now = t.tick();
    let state = after_reply(entry.state, segment.flags);
    let is_syn_ack = segment.flags & (TCP_SYN | TCP_ACK) == TCP_SYN | TCP_ACK;
    let syn_ack = if is_syn_ack { segment.seq.wrapping_add(1) } else { entry.syn_ack };
    if state != entry.state || syn_ack != entry.syn_ack || now != entry.last_seen_tick {
        write(t, key, &Conntrack { state, syn_ack, last_seen_tick: now, ..*entry });
    }
}

#[inline(always)]
fn write<T: Tables>(t: &T, key: &FlowKey, entry: &Conntrack) {
    if !Addresses::<V4>::set_conntrack(t, key, entry) {
        t.count(Counter::FlowInsertFailed);
    }
}

/// The client spoke: a new SYN reopens, FIN or RST closes.
#[inline(always)]
pub fn after_original(state: u8, tcp_flags: u8) -> u8 {
    if tcp_flags & (TCP_FIN | TCP_RST) != 0 {
        FlowState::Closing as u8
    } else if tcp_flags & TCP_SYN != 0 {
        FlowState::New as u8
    } else {
        state
    }
}
/// The backend spoke: a new flow is established, FIN or RST closes.
#[inline(always)]
pub fn after_reply(state: u8, tcp_flags: u8) -> u8 {
    if tcp_flags & (TCP_FIN | TCP_RST) != 0 {
        FlowState::Closing as u8
    } else if state == FlowState::New as u8 {
        FlowState::Established as u8
    } else {
        state
    }
}
