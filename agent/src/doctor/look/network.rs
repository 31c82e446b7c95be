//! Interfaces, routes and settings as the kernel states them.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;

use aya::programs::SchedClassifier;
use aya::programs::tc::TcAttachType;
use ipnetwork::Ipv4Network;
use remuda_abi::names::program;
use serde_json::Value;

use crate::doctor::network::{Facts, Uplink};
use crate::facts;
use crate::kernel::netlink::Netlink;
use crate::kernel::programs::kernel_has_tcx;
use crate::options::AgentOptions;

const SETTINGS: [&str; 3] = ["net/ipv4/ip_forward", "net/ipv4/ip_local_port_range", "net/ipv4/conf/all/rp_filter"];

/// `assignment` is the agent's own, null where none is known: the fleet's real pools and MTU are in it.
pub(super) fn look(options: &AgentOptions, pools: &[Ipv4Network], assignment: &Value) -> Facts {
    let found = facts::uplinks(options);
    let underlay_ip = found.as_ref().ok().map(|uplinks| uplinks.underlay_ip);
    let names = found.as_ref().map(|uplinks| uplinks.names.clone()).unwrap_or_default();
    let of_fleet = fleet_pools(assignment);
    Facts {
        uplinks: Some(found.map(|uplinks| uplinks.names.iter().map(|name| uplink(name)).collect())),
        underlay_ip,
        pools: if of_fleet.is_empty() { pools.to_vec() } else { of_fleet },
        routes: facts::routes().iter().filter_map(|route| route.parse().ok()).collect(),
        endpoint_mtu: fleet(assignment)["endpoint_mtu"].as_u64().and_then(|mtu| u32::try_from(mtu).ok()),
        settings: settings(&names),
        has_nft: is_installed("nft"),
        has_docker_rules: false,
        has_iptables: is_installed("iptables"),
    }
}

fn fleet(assignment: &Value) -> &Value {
    let value = &assignment["fleet"];
    if value.is_object() { value } else { &assignment["environment"] }
}

fn fleet_pools(assignment: &Value) -> Vec<Ipv4Network> {
    let lists = ["overlay_pools", "vip_pools"].map(|key| fleet(assignment)[key].as_array());
    lists.into_iter().flatten().flatten().filter_map(|pool| pool.as_str()?.parse().ok()).collect()
}

fn settings(uplinks: &[String]) -> BTreeMap<String, String> {
    let own = uplinks.iter().map(|name| format!("net/ipv4/conf/{name}/rp_filter"));
    let names = SETTINGS.iter().map(ToString::to_string).chain(own);
    names
        .filter_map(|name| {
            let text = std::fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
            Some((name, text.trim().to_owned()))
        })
        .collect()
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Where such programs are also without a login: a service's PATH may leave it out.
    let places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    places.into_iter().any(|folder| folder.join(program).is_file())
}

fn uplink(name: &str) -> Uplink {
    Uplink {
        name: name.to_owned(),
        mtu: facts::mtu(name).unwrap_or_default(),
        has_gro: has_gro(name),
        xdp: Netlink::open().and_then(|mut netlink| netlink.xdp(name)).ok().flatten(),
        foreign_tc: foreign_tc(name),
    }
}

/// Names of TCX programs that are not ours; the kernel keeps 15 letters.
fn foreign_tc(name: &str) -> Vec<String> {
    if !kernel_has_tcx() {
        return Vec::new();
    }
    let of = |direction| SchedClassifier::query_tcx(name, direction).map(|(_, programs)| programs).unwrap_or_default();
    let programs = [TcAttachType::Ingress, TcAttachType::Egress].into_iter().flat_map(of);
    let names = programs.map(|program| program.name_as_str().unwrap_or_default().to_owned());
    names.filter(|name| ![program::UPLINK_INGRESS, program::UPLINK_EGRESS].contains(&name.as_str())).collect()
}

/// ETHTOOL_GGRO of SIOCETHTOOL (linux/ethtool.h).
fn has_gro(interface: &str) -> Option<bool> {
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    const ETHTOOL_GGRO: u32 = 0x2b;
    /// `struct ethtool_value`.
    #[repr(C)]
    struct EthtoolValue {
        command: u32,
        data: u32,
    }
    let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).ok()?;
    let mut value = EthtoolValue { command: ETHTOOL_GGRO, data: 0 };
    // SAFETY: ifreq is plain data; all zero is a valid value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: for this command the kernel reads and writes one ethtool_value at ifru_data, which lives until after the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &mut request) };
    (result == 0).then_some(value.data != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_offloads_and_no_program_of_anybody() {
        let uplink = uplink("lo");
        assert!(uplink.mtu > 1000 && uplink.xdp.is_none(), "{uplink:?}");
        assert_eq!(has_gro("no-such-interface-at-all"), None);
    }
}
