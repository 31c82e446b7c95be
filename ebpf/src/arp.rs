//! ARP at an endpoint's veth: every address but the sender's own is behind the gateway.

use crate::{hook::Hook, packet::*, verdict::*};
use remuda_abi::{
    addr::GATEWAY_MAC,
    counter::DropReason,
    endpoint::{ENDPOINT_HOST, Endpoint},
};

const ETHERNET: u16 = 1;
const SIZES: u16 = 0x0604;
const REQUEST: u16 = 1;
const REPLY: u16 = 2;

/// Turns the request around in place. Only requests, only in the endpoint's own name (the host may ask
/// with any of its addresses), never for the endpoint's own address.
#[inline(always)]
pub fn answer<H: Hook>(p: &mut H, endpoint: &Endpoint) -> Result<Verdict, Stop> {
    let a = p.at::<Arp>(ETH_BYTES)?;
    let is_request = a.hardware.get() == ETHERNET
        && a.protocol.get() == ETH_IPV4
        && a.sizes.get() == SIZES
        && a.operation.get() == REQUEST;
    if !is_request {
        return Err(DropReason::ArpMalformed.into());
    }
    let (sender, sender_ip, target_ip) = (a.sender_mac.get(), a.sender_ip.raw(), a.target_ip.raw());
    let is_host = endpoint.flags & ENDPOINT_HOST != 0;
    if !sender.same(endpoint.mac) || (sender_ip != endpoint.ip_be && !is_host) {
        return Err(DropReason::ArpSpoofed.into());
    }
    if target_ip == endpoint.ip_be {
        return Err(DropReason::ArpForItself.into());
    }
    let a = p.at_mut::<Arp>(ETH_BYTES)?;
    a.operation.set(REPLY);
    a.sender_mac.set(GATEWAY_MAC);
    a.sender_ip.set_raw(target_ip);
    a.target_mac.set(sender);
    a.target_ip.set_raw(sender_ip);
    let eth = p.at_mut::<Eth>(0)?;
    eth.dst.set(sender);
    eth.src.set(GATEWAY_MAC);
    Ok(Verdict::Answer)
}
