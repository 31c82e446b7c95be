//! Ports that programs of the host itself listen on, and who: they may not be published.

use std::collections::{BTreeMap, BTreeSet};

use remuda_abi::addr::{API_PORT, GOSSIP_PORT, METRICS_PORT, TUNNEL_PORT};

/// `<port>/<protocol> <program>` of every listener that answers beyond loopback, sorted; ours are left out.
pub fn listening() -> Vec<String> {
    let tables = [
        ("tcp", "tcp", TCP_LISTEN),
        ("tcp6", "tcp", TCP_LISTEN),
        ("udp", "udp", UDP_BOUND),
        ("udp6", "udp", UDP_BOUND),
    ];
    let mut sockets = BTreeMap::new();
    for (file, protocol, state) in tables {
        let text = std::fs::read_to_string(format!("/proc/net/{file}")).unwrap_or_default();
        sockets.extend(listeners(&text, state).map(|(inode, port)| (inode, (port, protocol))));
    }
    let holders = holders(&sockets.keys().copied().collect());
    let name = |inode: &u64| holders.get(inode).map_or("an unknown program", String::as_str);
    let lines: BTreeSet<_> = sockets
        .iter()
        .filter(|(_, (port, _))| !OUR_PORTS.contains(port))
        .map(|(inode, (port, protocol))| format!("{port}/{protocol} {}", name(inode)))
        .collect();
    lines.into_iter().take(LISTENING_MAX).collect()
}

const OUR_PORTS: [u16; 4] = [API_PORT, METRICS_PORT, GOSSIP_PORT, TUNNEL_PORT];

/// States in `/proc/net/{tcp,udp}` (include/net/tcp_states.h).
const TCP_LISTEN: &str = "0A";
const UDP_BOUND: &str = "07";
/// A host with more listeners than this tells the first ones; the rest fails when it is published.
const LISTENING_MAX: usize = 1000;

/// Socket inode and port of each line in that state (proc(5)); loopback addresses are left out.
fn listeners(table: &str, state: &str) -> impl Iterator<Item = (u64, u16)> {
    let parse = move |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        if *fields.get(3)? != state || is_local_only(address) {
            return None;
        }
        Some((fields.get(9)?.parse().ok()?, u16::from_str_radix(port, 16).ok()?))
    };
    table.lines().skip(1).filter_map(parse)
}

/// Loopback, or link-local where our own name server listens; the bytes as they lie in memory.
fn is_local_only(address: &str) -> bool {
    match address.len() {
        8 => address.ends_with("7F") || address.ends_with("FEA9"),
        _ => address == "00000000000000000000000001000000",
    }
}

/// Program names by socket inode, for these inodes.
fn holders(inodes: &BTreeSet<u64>) -> BTreeMap<u64, String> {
    let mut found = BTreeMap::new();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit())) {
        if found.len() == inodes.len() {
            break;
        }
        for descriptor in std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Some(inode) = socket_inode(&descriptor.path()) else { continue };
            if inodes.contains(&inode) {
                let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
                found.insert(inode, name.trim().to_owned());
            }
        }
    }
    found
}

fn socket_inode(descriptor: &std::path::Path) -> Option<u64> {
    let target = std::fs::read_link(descriptor).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_very_process_is_found_with_its_name() {
        let socket = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
        let port = socket.local_addr().expect("bound").port();
        let lines = listening();
        let line = lines.iter().find(|line| line.starts_with(&format!("{port}/tcp ")));
        let own = std::fs::read_to_string("/proc/self/comm").expect("a name");
        assert_eq!(line.map(|line| line.ends_with(own.trim())), Some(true), "{lines:?}");
    }
}
