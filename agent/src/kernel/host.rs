//! This host's own part: its endpoint `remuda0`, the device that owns the tunnel port, hooks on the uplinks,
//! settings, and what every program must know.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use remuda_abi::addr::{GATEWAY_MAC, GATEWAY_OCTETS, endpoint_mac};
use remuda_abi::endpoint::{ENDPOINT_HOST, Endpoint, Local, LocalKey};
use remuda_abi::host::{Host, default_closed_ports};
use remuda_abi::names::program;
use remuda_abi::socket::{SOCKET_HOST, SocketEndpoint};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, LinkVxlan};

use super::error::{Attempt, KernelError};
use super::maps::Raw;
use super::namespace::netns_cookie;
use super::netlink::{Device, Netlink};
use super::peers::be;
use super::{Kernel, cgroup, egress, settings};
use crate::action::HostConfig;

/// The host's endpoint: carries the overlay address; what goes up the host stack enters here.
pub(crate) const HOST_DEVICE: &str = "remuda0";
/// Its other end, where the hook is.
pub(crate) const HOST_PEER: &str = "remuda0p";
/// Never carries a packet: its socket on the tunnel port makes GRO merge tunnel packets before our hook.
pub(crate) const GRO_DEVICE: &str = "remuda-gro";
pub(crate) const GATEWAY: Ipv4Addr =
    Ipv4Addr::new(GATEWAY_OCTETS[0], GATEWAY_OCTETS[1], GATEWAY_OCTETS[2], GATEWAY_OCTETS[3]);
const IP_FORWARD: &str = "net/ipv4/ip_forward";

/// Makes the host what `config` says; running it again repairs whatever is missing.
pub(crate) fn apply(kernel: &mut Kernel, config: &HostConfig) -> Result<(), KernelError> {
    kernel.record.host = None;
    kernel.record.set(IP_FORWARD, "1")?;
    reserve(kernel, config)?;
    let (device, peer) = wire(&mut kernel.netlink, config)?;
    put_maps(kernel, config, &device, &peer)?;
    kernel.programs.attach(program::ENDPOINT, &peer)?;
    claim_tunnel_port(kernel, config)?;
    hook_uplinks(kernel, config)?;
    kernel.programs.attach_sockets(cgroup::v2_root()?)?;
    egress::apply(config, &mut kernel.record)?;
    kernel.record.host = Some(config.clone());
    kernel.record.save()
}

/// Everything of [`apply`] undone; whatever is missing is fine.
pub(crate) fn remove(kernel: &mut Kernel) -> Result<(), KernelError> {
    for name in [HOST_DEVICE, GRO_DEVICE] {
        kernel.netlink.delete(name).attempt(|| format!("delete device {name}"))?;
    }
    for program in [program::UPLINK_INGRESS, program::UPLINK_EGRESS] {
        let hooked = kernel.programs.attached_to(program);
        let configured = kernel.uplinks();
        for uplink in hooked.iter().chain(&configured) {
            kernel.programs.detach(program, uplink)?;
        }
    }
    egress::remove(kernel.node_id, &mut kernel.record)?;
    kernel.record.restore()
}

/// Published ports must never be chosen as the source of an outgoing connection, nor what egress uses.
fn reserve(kernel: &mut Kernel, config: &HostConfig) -> Result<(), KernelError> {
    let mut ports: BTreeSet<u16> = egress::SNAT_PORTS.collect();
    ports.extend(config.published.iter().map(|(_, port)| *port));
    kernel.record.reserve_ports(&ports)
}

/// The pair, its addresses, and routes for all pools through it.
fn wire(netlink: &mut Netlink, config: &HostConfig) -> Result<(Device, Device), KernelError> {
    let mac = endpoint_mac(be(config.overlay_ip)).bytes();
    if netlink.device(HOST_DEVICE).attempt(|| "look for remuda0")?.is_none() {
        let pair = LinkVeth::new(HOST_DEVICE, HOST_PEER).mtu(config.endpoint_mtu.into()).build();
        netlink.create(pair).attempt(|| "create the pair remuda0, remuda0p")?;
    }
    for (name, mac) in [(HOST_PEER, GATEWAY_MAC.bytes()), (HOST_DEVICE, mac)] {
        raise(netlink, name, mac, config.endpoint_mtu)?;
    }
    let device = existing(netlink, HOST_DEVICE)?;
    let peer = existing(netlink, HOST_PEER)?;
    address(netlink, device.index, config).attempt(|| "give remuda0 its addresses")?;
    route(netlink, device.index, config).attempt(|| "route the overlay through remuda0")?;
    Ok((device, peer))
}

/// MAC, MTU and up, with v6 off before up so that no neighbour discovery leaves.
pub(crate) fn raise(netlink: &mut Netlink, name: &str, mac: [u8; 6], mtu: u16) -> Result<(), KernelError> {
    without_ipv6(name);
    let message = LinkUnspec::new_with_name(name).address(mac.to_vec()).mtu(mtu.into()).up();
    netlink.set(message.build()).attempt(|| format!("set up device {name}"))
}

pub(crate) fn existing(netlink: &mut Netlink, name: &str) -> Result<Device, KernelError> {
    netlink
        .device(name)
        .attempt(|| format!("look for device {name}"))?
        .ok_or_else(|| KernelError::Unusable(format!("device {name} is missing: is it an interface of this host?")))
}

/// A kernel without v6 has nothing to switch off, so failing is fine.
pub(crate) fn without_ipv6(device: &str) {
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"), "1");
}

fn address(netlink: &mut Netlink, device: u32, config: &HostConfig) -> std::io::Result<()> {
    let wanted = [config.overlay_ip, config.dns_ip];
    for (ip, prefix) in netlink.addresses(device)? {
        if !wanted.contains(&ip) {
            netlink.delete_address(device, ip, prefix)?;
        }
    }
    wanted.into_iter().try_for_each(|ip| netlink.add_address(device, ip))
}

fn route(netlink: &mut Netlink, device: u32, config: &HostConfig) -> std::io::Result<()> {
    netlink.add_permanent_neighbour(device, GATEWAY, GATEWAY_MAC.bytes())?;
    let wanted = pools(config);
    for (destination, route) in netlink.our_routes()? {
        if !wanted.contains(&destination) {
            netlink.delete_route(route)?;
        }
    }
    wanted.into_iter().try_for_each(|pool| netlink.add_route(pool, GATEWAY, device, Some(config.overlay_ip)))
}

fn pools(config: &HostConfig) -> Vec<(Ipv4Addr, u8)> {
    config.overlay_pools.iter().chain(&config.vip_pools).map(|p| (p.network(), p.prefix())).collect()
}

fn put_maps(kernel: &mut Kernel, config: &HostConfig, device: &Device, peer: &Device) -> Result<(), KernelError> {
    let what = || "write the host's own entries into the kernel maps";
    let key = LocalKey { vni: config.vni, ip_be: be(config.overlay_ip) };
    let mac = endpoint_mac(key.ip_be);
    forget_old_host(kernel, config, &key, peer.index)?;
    let endpoint = Endpoint {
        ip_be: key.ip_be,
        id: config.endpoint_id,
        vni: config.vni,
        mac,
        flags: ENDPOINT_HOST,
        mtu_bytes: config.endpoint_mtu.into(),
    };
    kernel.maps.endpoints.insert(peer.index, Raw(endpoint), 0).attempt(what)?;
    let host = encode(kernel, config, device)?;
    kernel.maps.host.set(0, Raw(host), 0).attempt(what)?;
    let local = Local { ifindex: device.index, mac, id: config.endpoint_id, flags: ENDPOINT_HOST };
    kernel.maps.local4.insert(Raw(key), Raw(local), 0).attempt(what)?;
    kernel.maps.local_ids.insert(config.endpoint_id, Raw(key), 0).attempt(what)?;
    let cookie = netns_cookie().attempt(|| "read the cookie of the host's network namespace")?;
    let socket = socket_endpoint(config, config.endpoint_id, SOCKET_HOST);
    kernel.maps.netns.insert(cookie, Raw(socket), 0).attempt(what)
}

/// Entries of the host endpoint under another address, id or interface, from before.
fn forget_old_host(kernel: &mut Kernel, config: &HostConfig, key: &LocalKey, peer: u32) -> Result<(), KernelError> {
    let what = || "remove the host's former entries from the kernel maps";
    let is_host = |flags: u32| flags & ENDPOINT_HOST != 0;
    let old_keys: Vec<_> =
        kernel.maps.local4.iter().flatten().filter(|(k, v)| is_host(v.0.flags) && k.0 != *key).collect();
    for (old, local) in old_keys {
        super::peers::gone(kernel.maps.local4.remove(&old)).attempt(what)?;
        if local.0.id != config.endpoint_id {
            super::peers::gone(kernel.maps.local_ids.remove(&local.0.id)).attempt(what)?;
        }
    }
    let old_peers: Vec<_> =
        kernel.maps.endpoints.iter().flatten().filter(|(i, e)| is_host(e.0.flags) && *i != peer).collect();
    for (old, _) in old_peers {
        super::peers::gone(kernel.maps.endpoints.remove(&old)).attempt(what)?;
    }
    Ok(())
}

/// What sockets of a namespace are told; the pool test is made with the first VIP pool.
pub(crate) fn socket_endpoint(config: &HostConfig, endpoint_id: u32, flags: u32) -> SocketEndpoint {
    let pool = config.vip_pools.first();
    SocketEndpoint {
        vni: config.vni,
        vip_net_be: pool.map_or(0, |p| be(p.network())),
        // Without a pool no address may pass the test: net 0 under a full mask is 0.0.0.0 only.
        vip_mask_be: pool.map_or(u32::MAX, |p| be(p.mask())),
        flags,
        endpoint_id,
        pad: 0,
    }
}

/// The programs' view of `config`. Flags and the ring generation belong to the balancer and are kept.
fn encode(kernel: &mut Kernel, config: &HostConfig, device: &Device) -> Result<Host, KernelError> {
    let now = kernel.maps.host.get(&0, 0).attempt(|| "read map HOST")?.0;
    let mtus: Vec<u32> =
        config.uplinks.iter().filter_map(|u| kernel.netlink.device(u).ok().flatten()).map(|d| d.mtu).collect();
    Ok(Host {
        abi_version: remuda_abi::ABI_VERSION,
        vni: config.vni,
        node_underlay_ip_be: be(config.underlay_ip),
        endpoint_ip_be: be(config.overlay_ip),
        endpoint_ifindex: device.index,
        endpoint_mac: endpoint_mac(be(config.overlay_ip)),
        hash_seed: (config.hash_seed ^ (config.hash_seed >> 32)) as u32,
        tunnel_port_be: config.tunnel_port.to_be(),
        node_id: config.node_id,
        uplink_mtu_bytes: mtus.into_iter().min().map_or(0, |mtu| mtu.min(u16::MAX.into()) as u16),
        flags: now.flags,
        ring_generation: now.ring_generation,
        closed_ports: default_closed_ports(config.tunnel_port),
    })
}

fn claim_tunnel_port(kernel: &mut Kernel, config: &HostConfig) -> Result<(), KernelError> {
    let what = || {
        format!(
            "create {GRO_DEVICE} on UDP port {} (another VXLAN device or program may hold the port)",
            config.tunnel_port
        )
    };
    if kernel.netlink.device(GRO_DEVICE).attempt(what)?.is_none() {
        let vxlan = LinkMessageBuilder::<LinkVxlan>::new(GRO_DEVICE)
            .collect_metadata(true)
            .learning(false)
            .port(config.tunnel_port);
        kernel.netlink.create(vxlan.build()).attempt(what)?;
    }
    without_ipv6(GRO_DEVICE);
    // Tunnel packets to another address of this host, or over IPv6, are not our hook's on the uplink: the kernel would
    // let them out here, into the host's stack. No endpoint has this interface, so the program drops all of it.
    let device = existing(&mut kernel.netlink, GRO_DEVICE)?;
    kernel.programs.attach(program::ENDPOINT, &device)?;
    kernel.netlink.set(LinkUnspec::new_with_name(GRO_DEVICE).up().build()).attempt(what)
}

fn hook_uplinks(kernel: &mut Kernel, config: &HostConfig) -> Result<(), KernelError> {
    for program in [program::UPLINK_INGRESS, program::UPLINK_EGRESS] {
        for name in &config.uplinks {
            let device = existing(&mut kernel.netlink, name)?;
            kernel.programs.attach(program, &device)?;
        }
        for name in kernel.programs.attached_to(program) {
            if !config.uplinks.iter().any(|u| u.replace('.', ":") == name) {
                kernel.programs.detach(program, &name)?;
            }
        }
    }
    Ok(())
}

/// What is wrong with the host, as one line; `None` when everything is as `config` says.
pub(crate) fn defect(kernel: &mut Kernel, config: &HostConfig) -> Result<Option<String>, KernelError> {
    let devices = kernel.netlink.devices().attempt(|| "list devices")?;
    let find = |name: &str| devices.iter().find(|d| d.name == name && d.is_up).cloned();
    let (Some(device), Some(peer)) = (find(HOST_DEVICE), find(HOST_PEER)) else {
        return Ok(Some("remuda0 is missing or down".into()));
    };
    if find(GRO_DEVICE).is_none() {
        return Ok(Some(format!("{GRO_DEVICE} is missing or down")));
    }
    if encode(kernel, config, &device)? != kernel.maps.host.get(&0, 0).attempt(|| "read map HOST")?.0 {
        return Ok(Some("the programs hold other settings".into()));
    }
    if device.mtu != u32::from(config.endpoint_mtu) {
        return Ok(Some(format!("remuda0 has MTU {}", device.mtu)));
    }
    let mut hooks = vec![(program::ENDPOINT, Some(peer)), (program::ENDPOINT, find(GRO_DEVICE))];
    for uplink in &config.uplinks {
        hooks.push((program::UPLINK_INGRESS, devices.iter().find(|d| d.name == *uplink).cloned()));
        hooks.push((program::UPLINK_EGRESS, devices.iter().find(|d| d.name == *uplink).cloned()));
    }
    for (program, device) in hooks {
        if !device.is_some_and(|d| kernel.programs.is_attached(program, &d)) {
            return Ok(Some(format!("program {program} is not attached everywhere")));
        }
    }
    wiring_defect(kernel, config, device.index)
}

fn wiring_defect(kernel: &mut Kernel, config: &HostConfig, device: u32) -> Result<Option<String>, KernelError> {
    let addresses = kernel.netlink.addresses(device).attempt(|| "list addresses of remuda0")?;
    if ![config.overlay_ip, config.dns_ip].iter().all(|ip| addresses.contains(&(*ip, 32))) {
        return Ok(Some("remuda0 lacks an address".into()));
    }
    let routes = kernel.netlink.our_routes().attempt(|| "list routes")?;
    if !pools(config).iter().all(|pool| routes.iter().any(|(destination, _)| destination == pool)) {
        return Ok(Some("a route through remuda0 is missing".into()));
    }
    if settings::read(IP_FORWARD)? != "1" {
        return Ok(Some("ip_forward is off".into()));
    }
    if !kernel.programs.sockets_attached() {
        return Ok(Some("socket hooks are missing".into()));
    }
    if !egress::is_applied(config.node_id) {
        return Ok(Some("the nftables table is missing".into()));
    }
    Ok(None)
}
