//! A container's interface: a pair into its namespace, who may speak through it, and where its packets are delivered.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;

use remuda_abi::addr::{GATEWAY_MAC, endpoint_mac};
use remuda_abi::endpoint::{ENDPOINT_HOST, ENDPOINT_NO_EGRESS, Endpoint, Local, LocalKey};
use remuda_abi::names::program;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::{LinkUnspec, LinkVeth};

use super::error::{Attempt, KernelError};
use super::host::{GATEWAY, existing, raise, socket_endpoint, without_ipv6};
use super::maps::Raw;
use super::namespace::{inside, netns_cookie};
use super::netlink::{Device, Netlink};
use super::peers::{be, gone};
use super::{Kernel, flows};
use crate::action::Plug;

/// The device's name inside the container.
const INSIDE: &str = "eth0";

/// Wires a namespace to the overlay. Done twice it changes nothing; failing it leaves nothing.
pub(crate) fn plug(kernel: &mut Kernel, plug: &Plug, netns: &Path) -> Result<(), KernelError> {
    let result = wire(kernel, plug, netns);
    if result.is_err()
        && let Err(error) = take_out(kernel, plug.endpoint_id, plug.ip)
    {
        tracing::warn!(%error, unit = plug.name, "and undoing it failed too");
    }
    result
}

/// The reverse of [`plug`], in reverse order; whatever is missing is fine.
pub(crate) fn unplug(kernel: &mut Kernel, name: &str, ip: Ipv4Addr) -> Result<(), KernelError> {
    let key = LocalKey { vni: kernel.vni()?, ip_be: be(ip) };
    let by_address = kernel.maps.local4.get(&Raw(key), 0).map(|local| local.0.id).ok();
    let by_interface =
        || kernel.maps.endpoints.iter().flatten().find(|(_, e)| e.0.ip_be == key.ip_be).map(|(_, e)| e.0.id);
    match by_address.or_else(by_interface) {
        Some(id) => take_out(kernel, id, ip).map_err(|e| match e {
            KernelError::Step { attempt, cause } => {
                KernelError::Step { attempt: format!("unplug {name}: {attempt}"), cause }
            }
            other => other,
        }),
        None => Ok(()),
    }
}

/// Name of the host's end: the endpoint id is unique in the fleet, so the name is unique here.
pub(crate) fn device_name(endpoint_id: u32) -> String {
    format!("rm{endpoint_id:x}")
}

/// The reverse of [`device_name`].
pub(crate) fn id_of_device(name: &str) -> Option<u32> {
    u32::from_str_radix(name.strip_prefix("rm")?, 16).ok().filter(|id| *id < 1 << 24)
}

fn wire(kernel: &mut Kernel, plug: &Plug, netns: &Path) -> Result<(), KernelError> {
    let what = || format!("plug {} into {}", plug.name, netns.display());
    let config = kernel.record.host.clone().ok_or(KernelError::HostNotSet)?;
    let device = pair(&mut kernel.netlink, plug, netns)?;
    let (ip, mtu) = (plug.ip, plug.mtu);
    let cookie = inside(netns, move || configure_inside(ip, mtu)).attempt(what)?;

    let key = LocalKey { vni: config.vni, ip_be: be(plug.ip) };
    let mac = endpoint_mac(key.ip_be);
    let flags = if plug.no_egress { ENDPOINT_NO_EGRESS } else { 0 };
    let endpoint =
        Endpoint { ip_be: key.ip_be, id: plug.endpoint_id, vni: config.vni, mac, flags, mtu_bytes: plug.mtu.into() };
    kernel.maps.endpoints.insert(device.index, Raw(endpoint), 0).attempt(what)?;
    let socket = socket_endpoint(&config, plug.endpoint_id, 0);
    kernel.maps.netns.insert(cookie, Raw(socket), 0).attempt(what)?;
    kernel.programs.attach(program::ENDPOINT, &device)?;
    // Delivery last: from here on others reach it.
    kernel.maps.local_ids.insert(plug.endpoint_id, Raw(key), 0).attempt(what)?;
    let local = Local { ifindex: device.index, mac, id: plug.endpoint_id, flags };
    kernel.maps.local4.insert(Raw(key), Raw(local), 0).attempt(what)?;
    flows::note_namespace(kernel, plug.ip, cookie, netns)
}

/// The pair: kept when it leads into this very namespace, made anew otherwise.
fn pair(netlink: &mut Netlink, plug: &Plug, netns: &Path) -> Result<Device, KernelError> {
    let name = device_name(plug.endpoint_id);
    let what = || format!("create the pair {name} for {}", plug.name);
    if let Some(device) = netlink.device(&name).attempt(what)? {
        let peer = inside(netns, || Netlink::open()?.device(INSIDE)).attempt(what)?;
        if !peer.is_some_and(|p| p.peer_index == device.index && p.index == device.peer_index) {
            netlink.delete(&name).attempt(what)?;
        }
    }
    if netlink.device(&name).attempt(what)?.is_none() {
        clear_inside(netns).attempt(what)?;
        create_pair(netlink, plug, netns, &name).attempt(what)?;
    }
    raise(netlink, &name, GATEWAY_MAC.bytes(), plug.mtu)?;
    let alias = LinkUnspec::new_with_name(&name).alias(plug.name.as_str());
    netlink.set(alias.build()).attempt(what)?;
    existing(netlink, &name)
}

fn create_pair(netlink: &mut Netlink, plug: &Plug, netns: &Path, name: &str) -> io::Result<()> {
    let namespace = std::fs::File::open(netns)?;
    let mac = endpoint_mac(be(plug.ip)).bytes();
    let mut inner = LinkUnspec::new_with_name(INSIDE)
        .address(mac.to_vec())
        .mtu(plug.mtu.into())
        .setns_by_fd(namespace.as_raw_fd())
        .build();
    inner.attributes.retain(|a| !matches!(a, LinkAttribute::IfAlias(_)));
    let pair = LinkVeth::new(name, INSIDE).mtu(plug.mtu.into()).set_info_data(InfoData::Veth(InfoVeth::Peer(inner)));
    netlink.create(pair.build())
}

/// A pair left there by an endpoint before this one.
fn clear_inside(netns: &Path) -> io::Result<()> {
    inside(netns, || Netlink::open()?.delete(INSIDE))
}

/// Addresses, routes and the gateway inside; returns the namespace's cookie.
fn configure_inside(ip: Ipv4Addr, mtu: u16) -> io::Result<u64> {
    let mut netlink = Netlink::open()?;
    without_ipv6(INSIDE);
    // As container engines do: low ports need no privilege in a namespace of one's own.
    let _ = std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    let up = |name: &str| LinkUnspec::new_with_name(name).up();
    netlink.set(up("lo").build())?;
    let mac = endpoint_mac(be(ip)).bytes();
    netlink.set(up(INSIDE).address(mac.to_vec()).mtu(mtu.into()).build())?;
    let device = netlink.device(INSIDE)?.ok_or_else(|| io::Error::other("eth0 is missing"))?;
    for (old, prefix) in netlink.addresses(device.index)? {
        if old != ip {
            netlink.delete_address(device.index, old, prefix)?;
        }
    }
    netlink.add_address(device.index, ip)?;
    netlink.add_permanent_neighbour(device.index, GATEWAY, GATEWAY_MAC.bytes())?;
    netlink.add_route((Ipv4Addr::UNSPECIFIED, 0), GATEWAY, device.index, None)?;
    netns_cookie()
}

fn take_out(kernel: &mut Kernel, id: u32, ip: Ipv4Addr) -> Result<(), KernelError> {
    let name = device_name(id);
    let what = || format!("take out {name}");
    let key = LocalKey { vni: kernel.vni()?, ip_be: be(ip) };
    if kernel.maps.local4.get(&Raw(key), 0).is_ok_and(|local| local.0.id == id) {
        gone(kernel.maps.local4.remove(&Raw(key))).attempt(what)?;
    }
    gone(kernel.maps.local_ids.remove(&id)).attempt(what)?;
    forget_sockets(kernel, id)?;
    kernel.programs.detach(program::ENDPOINT, &name)?;
    kernel.netlink.delete(&name).attempt(what)?;
    let interfaces: Vec<u32> =
        kernel.maps.endpoints.iter().flatten().filter(|(_, e)| e.0.id == id).map(|(i, _)| i).collect();
    for index in interfaces {
        gone(kernel.maps.endpoints.remove(&index)).attempt(what)?;
    }
    flows::forget_namespace(kernel, ip)
}

fn forget_sockets(kernel: &mut Kernel, id: u32) -> Result<(), KernelError> {
    let cookies: Vec<u64> =
        kernel.maps.netns.iter().flatten().filter(|(_, s)| s.0.endpoint_id == id).map(|(c, _)| c).collect();
    for cookie in cookies {
        gone(kernel.maps.netns.remove(&cookie)).attempt(|| format!("forget the namespace of endpoint {id}"))?;
    }
    Ok(())
}

/// Removes what died without being unplugged: entries and pins whose device is gone, because a namespace ended or
/// somebody deleted the pair.
pub(crate) fn sweep(kernel: &mut Kernel, devices: &[Device]) -> Result<(), KernelError> {
    let alive = |index: u32| devices.iter().any(|d| d.index == index);
    let dead: Vec<(u32, Endpoint)> = kernel
        .maps
        .endpoints
        .iter()
        .flatten()
        .map(|(index, e)| (index, e.0))
        .filter(|(index, e)| e.flags & ENDPOINT_HOST == 0 && !alive(*index))
        .collect();
    for (index, endpoint) in dead {
        // A newer device of the same endpoint may exist: then only the old interface is forgotten.
        if !devices.iter().any(|d| d.name == device_name(endpoint.id)) {
            take_out(kernel, endpoint.id, super::peers::ip_of(endpoint.ip_be))?;
        }
        gone(kernel.maps.endpoints.remove(&index)).attempt(|| "forget a dead interface")?;
    }
    Ok(())
}

/// Every endpoint of this host unplugged, those of agents before this one included.
pub(crate) fn remove_all(kernel: &mut Kernel) -> Result<(), KernelError> {
    let devices = kernel.netlink.devices().attempt(|| "list devices")?;
    let entries: Vec<(u32, Endpoint)> = kernel.maps.endpoints.iter().flatten().map(|(i, e)| (i, e.0)).collect();
    for (index, endpoint) in entries {
        // The name alone is no proof: somebody else may call a device rm1.
        if devices.iter().any(|d| d.index == index && d.name == device_name(endpoint.id)) {
            take_out(kernel, endpoint.id, super::peers::ip_of(endpoint.ip_be))?;
        }
    }
    Ok(())
}
