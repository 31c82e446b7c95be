//! What a backend's host remembers of flows from outside.
//!
//! One entry per flow, keyed by the reply as it leaves the backend. An original packet computes that
//! key: it knows the backend. Should another dialled address already stand behind the same client port
//! at the same backend, the port moves (the address never does) to one of a few places computed from
//! the tuple, so that later packets find it without a second table. When the ring has moved the flow's slot, the packet
//! comes with another backend in mind, or none: then an index from the client's tuple leads to the entry.

use crate::{
    packet::{TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN},
    parse::{Flow, Segment},
    tables::{Addresses, Tables},
    width::V4,
};
use remuda_abi::{
    addr::{Mac, PROTO_TCP},
    counter::Counter,
    endpoint::Local,
    flow::*,
    hash::flow_hash,
    host::Host,
};

/// Where a flow's packets come in: its replies go there.
#[derive(Clone, Copy)]
pub struct Ingress {
    pub node_id: u16,
    pub underlay_ip_be: u32,
}

/// A backend of this host, and how its packets get there.
///
/// VERIFIER: flat, and every field always written: behind an Option LLVM reads what it knows to be nothing, where the
/// kernel sees a pointer's remains.
#[derive(Clone, Copy)]
pub struct To {
    /// 0 = nobody.
    pub ip_be: u32,
    pub port_be: u16,
    /// The client port it sees.
    pub client_port_be: u16,
    /// All zero: a process of the host itself.
    pub local: Local,
}
impl To {
    pub const NOBODY: To = To { ip_be: 0, port_be: 0, client_port_be: 0, local: NO_ENDPOINT };
}
pub const NO_ENDPOINT: Local = Local { ifindex: 0, mac: Mac { hi: 0, lo: 0, pad: 0 }, id: 0, flags: 0 };

/// A client's packet, read.
#[derive(Clone, Copy)]
pub struct Client {
    pub ingress: Ingress,
    pub segment: Segment,
    /// There are previous owners to ask, so the flow must be known for sure to stay.
    pub has_others: bool,
}

/// Places a flow may live: its own client port, then moved ones.
const PLACES: u32 = 4;

/// The backend of this host that serves the packet; `owner` is the slot's, if it is here. Nobody: the flow is not known
/// here, and others are to be asked, or there is no owner.
///
/// Remembers the packet. Never refuses: an entry that cannot be written is counted and the packet goes on. A TCP packet
/// of a flow that nobody knows is kept by the owner and counted, too.
#[inline(always)]
pub fn serve<T: Tables>(t: &T, host: &Host, flow: &Flow<V4>, owner: To, client: Client) -> To {
    let now = t.tick();
    let opens = flow.ip.proto == PROTO_TCP && client.segment.flags & TCP_SYN != 0;
    let client = Client { has_others: client.has_others && !opens, ..client };
    let mut place = Place { port_be: 0, is_known: false };
    if owner.ip_be != 0 {
        place = place_of(t, host, flow, &owner, &client, now);
        if place.is_known {
            return To { client_port_be: place.port_be, ..owner };
        }
    }
    if !opens {
        let found = remembered(t, host, flow, &client, now);
        if found.ip_be != 0 {
            t.count(Counter::SecondChance);
            return found;
        }
    }
    if client.has_others || owner.ip_be == 0 {
        return To::NOBODY;
    }
    if place.port_be != flow.src_port_be() {
        t.count(Counter::PortMoved);
    }
    if flow.ip.proto == PROTO_TCP && !opens {
        t.count(Counter::UnknownFlowKept);
    }
    create(t, host, &key_at(host, flow, &owner, place.port_be), flow, client.ingress, now);
    To { client_port_be: place.port_be, ..owner }
}

/// Where a flow lives at a backend, or may.
#[derive(Clone, Copy)]
struct Place {
    port_be: u16,
    is_known: bool,
}

#[inline(always)]
fn place_of<T: Tables>(t: &T, host: &Host, flow: &Flow<V4>, to: &To, client: &Client, now: u32) -> Place {
    let mut free: Option<u16> = None;
    let mut key = key_at(host, flow, to, flow.src_port_be());
    let mut place = 0;
    // VERIFIER: a fixed count; each place is one look-up, and the first one ends it for all but collisions.
    while place < PLACES {
        key.dst_port_be = port_at(flow, place);
        match Addresses::<V4>::conntrack(t, &key) {
            Some(entry) if is_same(&entry, flow) => {
                let is_known = !client.has_others || proves(&entry, flow, now);
                if is_known {
                    refresh(t, &key, &entry, client, now);
                }
                return Place { port_be: key.dst_port_be, is_known };
            }
            Some(_) => (),
            None => free = free.or(Some(key.dst_port_be)),
        }
        place += 1;
    }
    if free.is_none() && !client.has_others {
        t.count(Counter::PortsExhausted);
    }
    Place { port_be: free.unwrap_or(key.dst_port_be), is_known: false }
}

/// The flow at whichever backend of this host it was begun with.
#[inline(always)]
fn remembered<T: Tables>(t: &T, host: &Host, flow: &Flow<V4>, client: &Client, now: u32) -> To {
    let Some(original) = Addresses::<V4>::original(t, &original_key(host.vni, flow)) else { return To::NOBODY };
    let mut to = To {
        ip_be: original.backend_ip_be,
        port_be: original.backend_port_be,
        client_port_be: original.client_port_be,
        local: NO_ENDPOINT,
    };
    if to.ip_be != host.node_underlay_ip_be {
        let Some(local) = Addresses::<V4>::local(t, host.vni, to.ip_be) else { return To::NOBODY };
        to.local = local;
    }
    let key = key_at(host, flow, &to, to.client_port_be);
    match Addresses::<V4>::conntrack(t, &key) {
        Some(entry) if is_same(&entry, flow) && proves(&entry, flow, now) => {
            refresh(t, &key, &entry, client, now);
            to
        }
        _ => To::NOBODY,
    }
}

/// Does the entry prove that the flow lives here? An open TCP connection's does; any other only while it is young: the
/// client may have used its port again, with another host, since.
#[inline(always)]
fn proves(entry: &Conntrack, flow: &Flow<V4>, now: u32) -> bool {
    let is_open = flow.ip.proto == PROTO_TCP && entry.state == FlowState::Established as u8;
    is_open || now.wrapping_sub(entry.last_seen_tick) <= PROVES_TICKS
}

/// The entry's key: the reply, to this client port.
#[inline(always)]
fn key_at(host: &Host, flow: &Flow<V4>, to: &To, client_port_be: u16) -> FlowKey {
    FlowKey {
        vni: host.vni,
        src_be: to.ip_be,
        dst_be: flow.ip.src_be,
        src_port_be: to.port_be,
        dst_port_be: client_port_be,
        proto: flow.ip.proto,
        direction: KEY_REPLY,
        pad: 0,
    }
}

#[inline(always)]
fn original_key(vni: u32, flow: &Flow<V4>) -> FlowKey {
    FlowKey {
        vni,
        src_be: flow.ip.src_be,
        dst_be: flow.ip.dst_be,
        src_port_be: flow.src_port_be(),
        dst_port_be: flow.dst_port_be(),
        proto: flow.ip.proto,
        direction: KEY_ORIGINAL,
        pad: 0,
    }
}

/// The flow's index for those who do not know its backend, from the entry's key and what the client dialled.
#[inline(always)]
fn index<T: Tables>(t: &T, key: &FlowKey, entry: &Conntrack) {
    let original = FlowKey {
        vni: key.vni,
        src_be: key.dst_be,
        dst_be: entry.dialled_ip_be,
        src_port_be: entry.client_port_be,
        dst_port_be: entry.dialled_port_be,
        proto: key.proto,
        direction: KEY_ORIGINAL,
        pad: 0,
    };
    let at = Original { backend_ip_be: key.src_be, backend_port_be: key.src_port_be, client_port_be: key.dst_port_be };
    if !Addresses::<V4>::set_original(t, &original, &at) {
        t.count(Counter::FlowInsertFailed);
    }
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
    index(t, key, &entry);
}

/// Writes only when there is news: another second, ingress or state.
#[inline(always)]
fn refresh<T: Tables>(t: &T, key: &FlowKey, entry: &Conntrack, client: &Client, now: u32) {
    let ingress = client.ingress;
    let state = after_original(entry.state, client.segment.flags);
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
        index(t, key, &entry);
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
