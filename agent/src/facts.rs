//! What this host is and can, told at joining and whenever it changes.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use remuda_api::link::{HostFacts, PROTOCOL_VERSION};

use crate::options::AgentOptions;
use crate::runtime::Engine;

mod listening;

/// Ports of our own are no listeners of the host.
pub use listening::{Listener, listeners, listening};

/// This host on the underlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplinks {
    /// Interface names.
    pub names: Vec<String>,
    /// The tunnel address.
    pub underlay_ip: Ipv4Addr,
    /// Every global address on the uplinks.
    pub frontend_ips: Vec<Ipv4Addr>,
    /// The smallest of theirs, bytes.
    pub mtu: u32,
}

/// Finds the uplinks: those named, else the interfaces with a default route or the advertised address.
///
/// Errors say what is missing and which option tells it.
pub fn uplinks(options: &AgentOptions) -> Result<Uplinks, String> {
    let interfaces = interfaces()?;
    let holder = options.advertise.and_then(|ip| interfaces.iter().find(|(_, i)| i.ips.contains(&ip)));
    if let (Some(ip), None) = (options.advertise, holder) {
        return Err(format!("--advertise {ip}: no interface of this host has that address"));
    }
    let mut names = options.uplinks.clone();
    if names.is_empty() {
        names = default_route_interfaces(&proc_routes());
        names.extend(holder.map(|(name, _)| name.clone()));
        names.sort();
        names.dedup();
    }
    if let Some(missing) = names.iter().find(|name| !interfaces.contains_key(*name)) {
        return Err(format!("--uplink {missing}: this host has no such interface"));
    }
    let chosen: Vec<_> = names.iter().filter_map(|name| interfaces.get(name)).collect();
    let frontend_ips: Vec<_> = chosen.iter().flat_map(|i| &i.ips).copied().filter(is_global).collect();
    let underlay_ip = options.advertise.or(frontend_ips.first().copied()).ok_or(
        "no interface with a default route and an IPv4 address: name the uplink with --uplink and its address with \
         --advertise",
    )?;
    let mtu = names.iter().filter_map(|name| mtu(name)).min().unwrap_or(MTU_ETHERNET_BYTES);
    Ok(Uplinks { names, underlay_ip, frontend_ips, mtu })
}

/// Where nothing else is known.
const MTU_ETHERNET_BYTES: u32 = 1500;

/// Where facts come from.
#[derive(Clone)]
pub struct Host {
    pub options: AgentOptions,
    /// As they were last seen.
    pub uplinks: Uplinks,
    /// None = this agent was told to use none.
    pub engine: Option<Engine>,
}

impl Host {
    /// With the uplinks as they are now. Addresses come and go; while they cannot be read, the last known ones stand.
    pub fn facts_now(&self) -> HostFacts {
        let uplinks = uplinks(&self.options).unwrap_or_else(|_| self.uplinks.clone());
        Host { uplinks, ..self.clone() }.facts()
    }

    /// Everything the orchestrator is told.
    pub fn facts(&self) -> HostFacts {
        let mut facts = facts(&self.options, &self.uplinks);
        self.tell_engine(&mut facts);
        facts
    }

    /// An engine that was seen once is told of also while it does not answer: its containers stay where they are.
    pub fn tell_engine(&self, facts: &mut HostFacts) {
        let Some(engine) = &self.engine else { return };
        let state = engine.state().borrow().clone();
        facts.runtimes = vec!["process".to_owned()];
        facts.runtimes.extend((!state.version.is_empty()).then(|| "docker".to_owned()));
        facts.engine = if state.is_there() { state.version } else { String::new() };
    }
}

fn facts(options: &AgentOptions, uplinks: &Uplinks) -> HostFacts {
    HostFacts {
        name: options.name.clone(),
        underlay_ip: uplinks.underlay_ip.to_string(),
        frontend_ips: uplinks.frontend_ips.iter().map(ToString::to_string).collect(),
        uplink_mtu: uplinks.mtu,
        cpu_milli: options.cpu_milli.unwrap_or_else(cpu_milli),
        memory_bytes: options.memory_bytes.unwrap_or_else(memory_bytes),
        labels: options.labels.clone(),
        routes: foreign_routes(&proc_routes()),
        product_version: env!("CARGO_PKG_VERSION").to_owned(),
        protocol_version: PROTOCOL_VERSION,
        wire_version: crate::desired::WIRE_VERSION,
        map_abi: remuda_abi::ABI_VERSION,
        runtimes: vec!["process".to_owned()],
        listening: listening(),
        engine: String::new(),
    }
}

#[derive(Default)]
struct Interface {
    ips: Vec<Ipv4Addr>,
}

/// Interfaces that are up, by name.
fn interfaces() -> Result<BTreeMap<String, Interface>, String> {
    let mut interfaces: BTreeMap<String, Interface> = BTreeMap::new();
    for address in getifaddrs().map_err(|error| format!("list interfaces: {error}"))? {
        if !address.flags.contains(InterfaceFlags::IFF_UP) {
            continue;
        }
        let ip = address.address.as_ref().and_then(|a| a.as_sockaddr_in().map(|a| a.ip()));
        interfaces.entry(address.interface_name).or_default().ips.extend(ip);
    }
    Ok(interfaces)
}

fn is_global(ip: &Ipv4Addr) -> bool {
    !ip.is_loopback() && !ip.is_link_local() && !ip.is_unspecified() && !ip.is_multicast()
}

/// A line of `/proc/net/route` (proc(5)); its numbers are hexadecimal as they lie in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProcRoute {
    interface: String,
    destination: Ipv4Addr,
    prefix_len: u32,
}

fn proc_routes() -> Vec<ProcRoute> {
    parse_routes(&std::fs::read_to_string("/proc/net/route").unwrap_or_default())
}

fn parse_routes(text: &str) -> Vec<ProcRoute> {
    let number = |field: &str| u32::from_str_radix(field, 16).ok();
    let route = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let destination = number(fields.get(1)?)?;
        let mask = number(fields.get(7)?)?;
        let interface = (*fields.first()?).to_owned();
        Some(ProcRoute {
            interface,
            destination: Ipv4Addr::from(destination.to_ne_bytes()),
            prefix_len: mask.count_ones(),
        })
    };
    text.lines().skip(1).filter_map(route).collect()
}

fn default_route_interfaces(routes: &[ProcRoute]) -> Vec<String> {
    routes.iter().filter(|route| route.prefix_len == 0).map(|route| route.interface.clone()).collect()
}

/// Routes of this host that are not ours, CIDR, without the default route.
pub(crate) fn routes() -> Vec<String> {
    foreign_routes(&proc_routes())
}

fn foreign_routes(routes: &[ProcRoute]) -> Vec<String> {
    let foreign = routes.iter().filter(|route| route.prefix_len != 0 && !route.interface.starts_with("remuda"));
    let mut list: Vec<_> = foreign.map(|route| format!("{}/{}", route.destination, route.prefix_len)).collect();
    list.sort();
    list.dedup();
    list
}

/// Of the interface in this network namespace (`/sys/class/net` may show another's).
pub(crate) fn mtu(interface: &str) -> Option<u32> {
    use std::os::fd::AsRawFd;
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    // SAFETY: ifreq is plain data; all zero is a valid value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.len() >= request.ifr_name.len() {
        return None;
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: SIOCGIFMTU reads the name and writes ifru_mtu of the ifreq it is given (netdevice(7)).
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &mut request) };
    if result != 0 {
        return None;
    }
    // SAFETY: after success the kernel has written this member of the union.
    Some(unsafe { request.ifr_ifru.ifru_mtu } as u32)
}

fn cpu_milli() -> u64 {
    std::thread::available_parallelism().map_or(1000, |n| n.get() as u64 * 1000)
}

/// `MemTotal` of `/proc/meminfo` (proc(5)), which is in KiB.
fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t014DA8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t004DA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        remuda0\t00002A0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";

    #[test]
    fn the_uplink_has_the_default_route_and_our_own_routes_are_not_told() {
        let routes = parse_routes(ROUTES);
        assert_eq!(default_route_interfaces(&routes), ["eth0"]);
        assert_eq!(foreign_routes(&routes), ["192.168.77.0/24"]);
    }

    #[test]
    fn the_loopback_interface_has_an_mtu() {
        assert!(mtu("lo").is_some_and(|mtu| mtu > 1000));
        assert_eq!(mtu("no-such-interface-at-all"), None);
    }

    #[test]
    fn the_machine_has_memory_and_a_core() {
        assert!(memory_bytes() > 1 << 20 && cpu_milli() >= 1000);
    }
}
