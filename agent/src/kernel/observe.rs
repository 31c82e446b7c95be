//! What is: read from maps, links and devices.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use remuda_abi::endpoint::{ENDPOINT_HOST, ENDPOINT_NO_EGRESS, Local, LocalKey};
use remuda_abi::names::program;

use super::error::{Attempt, KernelError};
use super::host::defect;
use super::maps::Raw;
use super::netlink::Device;
use super::peers::{as_route, ip_of};
use super::{Kernel, balance, endpoint};
use crate::action::{Node, Route};
use crate::observed::{ObservedKernel, Plugged};

/// Reads everything. Entries whose device died are removed on the way: they describe nothing any more.
pub(crate) fn observe(kernel: &mut Kernel) -> Result<ObservedKernel, KernelError> {
    let Some(config) = kernel.record.host.clone() else { return Ok(ObservedKernel::default()) };
    let devices = kernel.netlink.devices().attempt(|| "list devices")?;
    endpoint::sweep(kernel, &devices)?;
    let host = match defect(kernel, &config)? {
        None => Some(config.clone()),
        Some(defect) => {
            tracing::warn!(%defect, "the host's part is not whole: it will be set again");
            None
        }
    };
    Ok(ObservedKernel {
        host,
        routes: routes(kernel, config.vni),
        nodes: nodes(kernel),
        endpoints: endpoints(kernel, config.vni, &devices),
        backends: balance::observed_backends(kernel)?,
        frontends: balance::observed_frontends(kernel, config.vni)?,
    })
}

fn routes(kernel: &Kernel, vni: u32) -> BTreeMap<Ipv4Network, Route> {
    let entries = kernel.maps.routes4.iter().flatten();
    let ours = entries.filter(|(key, _)| { key.data() }.0.vni == vni);
    let readable = ours.filter_map(|(key, value)| {
        let prefix = { key.prefix_len() }.checked_sub(32)?;
        let network = Ipv4Network::new(ip_of({ key.data() }.0.ip_be), prefix.try_into().ok()?).ok()?;
        Some((network, as_route(value.0)?))
    });
    readable.collect()
}

fn nodes(kernel: &Kernel) -> BTreeMap<u16, Node> {
    let entries = kernel.maps.nodes.iter().flatten();
    entries.map(|(ip, node)| (node.0.node_id, Node { id: node.0.node_id, underlay_ip: ip_of(ip) })).collect()
}

/// Endpoints that work: device, entries, hook and namespace are all there.
fn endpoints(kernel: &Kernel, vni: u32, devices: &[Device]) -> BTreeMap<Ipv4Addr, Plugged> {
    let socket_ids: Vec<u32> = kernel.maps.netns.iter().flatten().map(|(_, s)| s.0.endpoint_id).collect();
    let whole = devices.iter().filter_map(|device| {
        let id = endpoint::id_of_device(&device.name)?;
        let entry = kernel.maps.endpoints.get(&device.index, 0).ok()?.0;
        let key = LocalKey { vni, ip_be: entry.ip_be };
        let local: Local = kernel.maps.local4.get(&Raw(key), 0).ok()?.0;
        let fits = entry.id == id
            && entry.vni == vni
            && entry.flags & ENDPOINT_HOST == 0
            && local.ifindex == device.index
            && device.is_up
            && device.mtu == entry.mtu_bytes
            && socket_ids.contains(&id)
            && kernel.programs.is_attached(program::ENDPOINT, device);
        let plugged = Plugged {
            name: device.alias.clone(),
            endpoint_id: id,
            mtu: device.mtu.try_into().ok()?,
            no_egress: entry.flags & ENDPOINT_NO_EGRESS != 0,
        };
        fits.then(|| (ip_of(entry.ip_be), plugged))
    });
    whole.collect()
}
