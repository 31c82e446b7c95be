//! The host's [`Hook`] and [`Tables`]: a byte buffer and hash maps. For tests, fuzzing, simulation.

use crate::{
    hook::{Changed, Hook, L4Change, NextHop},
    tables::*,
    width::V4,
};
use remuda_abi::{
    checksum,
    counter::{Counter, DropReason},
    endpoint::*,
    flow::*,
    frontend::*,
    host::Host,
    route::*,
};
use std::{boxed::Box, cell::RefCell, collections::BTreeMap, collections::HashMap, collections::HashSet, vec::Vec};

const ROOM: usize = remuda_abi::tunnel::TUNNEL_BYTES as usize;

/// A frame with headroom, addressed by raw pointers exactly as the kernel's is.
pub struct Frame {
    base: *mut u8,
    capacity: usize,
    start: usize,
    pub ifindex: u32,
    pub mark: u32,
    pub is_gso: bool,
    pub is_tagged: bool,
    /// What the kernel's FIB would answer.
    pub next_hop: Option<NextHop>,
}
impl Frame {
    /// `headroom` below 50 makes a push fail, as in the kernel.
    pub fn new(bytes: &[u8], headroom: usize) -> Self {
        let mut v = std::vec![0u8; headroom];
        v.extend_from_slice(bytes);
        let capacity = v.len();
        let base = Box::into_raw(v.into_boxed_slice()).cast();
        let next_hop = Some(NextHop { ifindex: 1, family: 2, address: [0; 4] });
        Self { base, capacity, start: headroom, ifindex: 0, mark: 0, is_gso: false, is_tagged: false, next_hop }
    }
    pub fn bytes(&self) -> Vec<u8> {
        // SAFETY: our allocation, start <= capacity.
        unsafe { core::slice::from_raw_parts(self.base.add(self.start), self.capacity - self.start) }.to_vec()
    }
    /// Bytes at an offset from the Ethernet header; `None` beyond the end.
    fn bytes_at(&mut self, off: u16, len: usize) -> Option<&mut [u8]> {
        let at = self.start + usize::from(off);
        self.all().get_mut(at..at + len)
    }
    fn check_at(&mut self, off: u16) -> Result<u16, DropReason> {
        let b = self.bytes_at(off, 2).ok_or(DropReason::NatFailed)?;
        Ok(u16::from_ne_bytes([b[0], b[1]]))
    }
    fn all(&mut self) -> &mut [u8] {
        // SAFETY: our allocation, borrowed with self.
        unsafe { core::slice::from_raw_parts_mut(self.base, self.capacity) }
    }
}
impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: made by into_raw of a boxed slice of this length.
        drop(unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(self.base, self.capacity)) });
    }
}
// SAFETY: start..capacity is inside the allocation.
unsafe impl Hook for Frame {
    fn data(&self) -> *mut u8 {
        self.base.wrapping_add(self.start)
    }
    fn data_end(&self) -> *mut u8 {
        self.base.wrapping_add(self.capacity)
    }
    fn len(&self) -> u32 {
        (self.capacity - self.start) as u32
    }
    fn ifindex(&self) -> u32 {
        self.ifindex
    }
    fn is_gso(&self) -> bool {
        self.is_gso
    }
    fn is_tagged(&self) -> bool {
        self.is_tagged
    }
    fn mark(&self) -> u32 {
        self.mark
    }
    fn set_mark(&mut self, mark: u32) {
        self.mark = mark;
    }
    fn pull(&mut self, _bytes: u32) {}
    fn push_room(&mut self) -> Result<(), DropReason> {
        let start = self.start.checked_sub(ROOM).ok_or(DropReason::PushFailed)?;
        let eth = self.start..self.start + 14;
        let all = self.all();
        all.copy_within(eth, start);
        all.iter_mut().skip(start + 14).take(ROOM).for_each(|b| *b = 0);
        self.start = start;
        Ok(())
    }
    fn pop_room(&mut self) -> Result<(), DropReason> {
        // The kernel keeps at least an IP header.
        if self.capacity - self.start < 14 + ROOM + 20 {
            return Err(DropReason::PopFailed);
        }
        let (eth, start) = (self.start..self.start + 14, self.start + ROOM);
        self.all().copy_within(eth, start);
        self.start = start;
        Ok(())
    }
    fn fix_l3(&mut self, old_be: u32, new_be: u32) -> Result<(), DropReason> {
        let check = self.check_at(14 + 10)?;
        self.store16(14 + 10, checksum::update(check, old_be, new_be))
    }
    fn fix_l4(&mut self, off: u16, c: L4Change) -> Result<(), DropReason> {
        let check = self.check_at(off)?;
        if c.is_udp && check == 0 {
            return Ok(());
        }
        let new = match c.what {
            Changed::Address => checksum::update(check, c.old_be, c.new_be),
            Changed::Port => checksum::update16(check, c.old_be as u16, c.new_be as u16),
        };
        self.store16(off, if c.is_udp && new == 0 { 0xffff } else { new })
    }
    fn store32(&mut self, off: u16, value_be: u32) -> Result<(), DropReason> {
        let b = self.bytes_at(off, 4).ok_or(DropReason::NatFailed)?;
        b.copy_from_slice(&value_be.to_ne_bytes());
        Ok(())
    }
    fn store16(&mut self, off: u16, value_be: u16) -> Result<(), DropReason> {
        let b = self.bytes_at(off, 2).ok_or(DropReason::NatFailed)?;
        b.copy_from_slice(&value_be.to_ne_bytes());
        Ok(())
    }
    fn next_hop(&mut self, _src_be: u32, _dst_be: u32) -> Result<NextHop, DropReason> {
        self.next_hop.ok_or(DropReason::NoNextHop)
    }
}

/// The maps. Routes are searched one by one: tests hold a handful.
#[derive(Default)]
pub struct Model {
    pub host: Host,
    pub endpoints: HashMap<u32, Endpoint>,
    pub local: HashMap<LocalKey, Local>,
    /// (IP prefix length, key).
    pub routes: Vec<(u32, RouteKey, Route)>,
    pub nodes: HashMap<u32, Node>,
    pub node_addresses: HashMap<u32, u32>,
    pub local_ids: HashMap<u32, LocalKey>,
    pub frontends: HashMap<FrontendKey, Frontend>,
    /// (protocol, port).
    pub published: HashSet<(u8, u16)>,
    pub backends: HashMap<u32, Backend>,
    pub lists: Vec<u32>,
    pub rings: Vec<RingSlot>,
    pub owners: HashMap<OwnerKey, u32>,
    pub conntrack: RefCell<HashMap<FlowKey, Conntrack>>,
    pub originals: RefCell<HashMap<FlowKey, Original>>,
    pub vip_flows: RefCell<HashMap<FlowKey, VipFlow>>,
    pub vip_users: RefCell<HashSet<u32>>,
    pub tick: u32,
    pub counters: RefCell<BTreeMap<&'static str, u64>>,
}
impl Model {
    /// What was counted since the last call, by name.
    pub fn take_counters(&self) -> BTreeMap<&'static str, u64> {
        core::mem::take(&mut self.counters.borrow_mut())
    }
}
impl Addresses<V4> for Model {
    fn local(&self, vni: u32, ip_be: u32) -> Option<Local> {
        self.local.get(&LocalKey { vni, ip_be }).copied()
    }
    fn route(&self, vni: u32, ip_be: u32) -> Option<Route> {
        let covers = |len: u32, net: u32| len == 0 || (u32::from_be(net) ^ u32::from_be(ip_be)) >> (32 - len) == 0;
        let fits = |(len, key, _): &&(u32, RouteKey, Route)| key.vni == vni && covers(*len, key.ip_be);
        self.routes.iter().filter(fits).max_by_key(|(len, ..)| *len).map(|(.., r)| *r)
    }
    fn frontend(&self, key: &FrontendKey) -> Option<Frontend> {
        self.frontends.get(key).copied()
    }
    fn conntrack(&self, key: &FlowKey) -> Option<Conntrack> {
        self.conntrack.borrow().get(key).copied()
    }
    fn set_conntrack(&self, key: &FlowKey, entry: &Conntrack) -> bool {
        self.conntrack.borrow_mut().insert(*key, *entry);
        true
    }
    fn original(&self, key: &FlowKey) -> Option<Original> {
        self.originals.borrow().get(key).copied()
    }
    fn set_original(&self, key: &FlowKey, entry: &Original) -> bool {
        self.originals.borrow_mut().insert(*key, *entry);
        true
    }
    fn vip_flow(&self, key: &FlowKey) -> Option<VipFlow> {
        self.vip_flows.borrow().get(key).copied()
    }
    fn set_vip_flow(&self, key: &FlowKey, entry: &VipFlow) -> bool {
        self.vip_flows.borrow_mut().insert(*key, *entry);
        true
    }
}
impl Tables for Model {
    fn host(&self) -> Option<&Host> {
        (self.host.abi_version != 0).then_some(&self.host)
    }
    fn endpoint(&self, ifindex: u32) -> Option<Endpoint> {
        self.endpoints.get(&ifindex).copied()
    }
    fn node(&self, node_underlay_ip_be: u32) -> Option<Node> {
        self.nodes.get(&node_underlay_ip_be).copied()
    }
    fn node_address(&self, node_id: u16) -> Option<u32> {
        self.node_addresses.get(&u32::from(node_id)).copied()
    }
    fn local_id(&self, endpoint_id: u32) -> Option<LocalKey> {
        self.local_ids.get(&endpoint_id).copied()
    }
    fn is_published(&self, proto: u8, port: u16) -> bool {
        self.published.contains(&(proto, port))
    }
    fn backend(&self, backend_id: u32) -> Option<Backend> {
        self.backends.get(&backend_id).copied()
    }
    fn list_member(&self, position: u32) -> Option<u32> {
        self.lists.get(position as usize).copied()
    }
    fn ring_slot(&self, position: u32) -> Option<RingSlot> {
        self.rings.get(position as usize).copied()
    }
    fn is_owner(&self, key: &OwnerKey) -> bool {
        self.owners.contains_key(key)
    }
    fn has_vip_flows(&self, endpoint_id: u32) -> bool {
        self.vip_users.borrow().contains(&(endpoint_id % VIP_USERS))
    }
    fn set_has_vip_flows(&self, endpoint_id: u32) {
        self.vip_users.borrow_mut().insert(endpoint_id % VIP_USERS);
    }
    fn tick(&self) -> u32 {
        self.tick
    }
    fn count(&self, counter: Counter) {
        *self.counters.borrow_mut().entry(counter.name()).or_default() += 1;
    }
    fn count_drop(&self, reason: DropReason) {
        *self.counters.borrow_mut().entry(reason.name()).or_default() += 1;
    }
}
