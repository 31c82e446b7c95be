//! Everything the pipeline asks of the maps, as questions of the domain, answered by value.

use crate::width::{V4, Width};
use remuda_abi::{
    counter::{Counter, DropReason},
    endpoint::{Endpoint, Local, LocalKey},
    flow::{Conntrack, FlowKey, Original, VipFlow},
    frontend::{Backend, Frontend, FrontendKey, OwnerKey, RingSlot},
    host::Host,
    route::{Node, Route},
};

/// Look-ups whose key holds an address: one map per width.
pub trait Addresses<W: Width> {
    /// How to deliver to this address, if an endpoint of this host has it.
    fn local(&self, vni: u32, ip_be: W::Addr) -> Option<Local>;
    /// What this address is; `None` = outside.
    fn route(&self, vni: u32, ip_be: W::Addr) -> Option<Route>;
    fn frontend(&self, key: &FrontendKey<W::Addr>) -> Option<Frontend>;
    fn conntrack(&self, key: &FlowKey<W::Addr>) -> Option<Conntrack<W::Addr>>;
    /// `false` if it could not be written.
    #[must_use]
    fn set_conntrack(&self, key: &FlowKey<W::Addr>, entry: &Conntrack<W::Addr>) -> bool;
    fn original(&self, key: &FlowKey<W::Addr>) -> Option<Original<W::Addr>>;
    /// `false` if it could not be written.
    #[must_use]
    fn set_original(&self, key: &FlowKey<W::Addr>, entry: &Original<W::Addr>) -> bool;
    fn vip_flow(&self, key: &FlowKey<W::Addr>) -> Option<VipFlow<W::Addr>>;
    /// `false` if it could not be written.
    #[must_use]
    fn set_vip_flow(&self, key: &FlowKey<W::Addr>, entry: &VipFlow<W::Addr>) -> bool;
}

pub trait Tables: Addresses<V4> {
    /// `None` until the agent has described this host. A reference into the live value: fields may
    /// change between two reads, each field is written whole.
    fn host(&self) -> Option<&Host>;
    fn endpoint(&self, ifindex: u32) -> Option<Endpoint>;
    fn node(&self, node_underlay_ip_be: u32) -> Option<Node>;
    fn node_address(&self, node_id: u16) -> Option<u32>;
    /// The address of an endpoint of this host.
    fn local_id(&self, endpoint_id: u32) -> Option<LocalKey>;
    fn is_published(&self, proto: u8, port: u16) -> bool;
    fn backend(&self, backend_id: u32) -> Option<Backend>;
    /// The backend id at a position of all lists.
    fn list_member(&self, position: u32) -> Option<u32>;
    fn ring_slot(&self, position: u32) -> Option<RingSlot>;
    fn is_owner(&self, key: &OwnerKey) -> bool;
    /// May this endpoint have per-packet VIP flows? Yes may be wrong, no never is.
    fn has_vip_flows(&self, endpoint_id: u32) -> bool;
    fn set_has_vip_flows(&self, endpoint_id: u32);
    /// [`remuda_abi::flow::tick`] of now.
    fn tick(&self) -> u32;
    fn count(&self, counter: Counter);
    fn count_drop(&self, reason: DropReason);
}
