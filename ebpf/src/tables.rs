//! Everything the pipeline asks of the maps, as questions of the domain, answered by value.

use crate::width::{V4, Width};
use remuda_abi::{
    counter::{Counter, DropReason},
    endpoint::{Endpoint, Local},
    host::Host,
    route::{Node, Route},
};

/// Look-ups whose key holds an address: one map per width.
pub trait Addresses<W: Width> {
    /// How to deliver to this address, if an endpoint of this host has it.
    fn local(&self, vni: u32, ip_be: W::Addr) -> Option<Local>;
    /// What this address is; `None` = outside.
    fn route(&self, vni: u32, ip_be: W::Addr) -> Option<Route>;
}

pub trait Tables: Addresses<V4> {
    /// `None` until the agent has described this host. A reference into the live value: fields may
    /// change between two reads, each field is written whole.
    fn host(&self) -> Option<&Host>;
    fn endpoint(&self, ifindex: u32) -> Option<Endpoint>;
    fn node(&self, node_underlay_ip_be: u32) -> Option<Node>;
    fn count(&self, counter: Counter);
    fn count_drop(&self, reason: DropReason);
}
