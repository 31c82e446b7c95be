//! Ports that programs of the host itself listen on, and who: they may not be published.

use std::collections::{BTreeMap, BTreeSet};

use remuda_abi::addr::{API_PORT, GOSSIP_PORT, METRICS_PORT, TUNNEL_PORT};

/// `<port>/<protocol> <program>` of every listener that answers beyond loopback, sorted; ours are left out.
pub fn listening() -> Vec<String> {
    let listeners = listeners(|port| !OUR_PORTS.contains(&port));
    let name = |listener: &Listener| listener.program.clone().unwrap_or_else(|| "an unknown program".into());
    let lines: BTreeSet<_> =
        listeners.iter().map(|held| format!("{}/{} {}", held.port, held.protocol, name(held))).collect();
    lines.into_iter().take(LISTENING_MAX).collect()
}

/// A port that is taken beyond loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// None = the kernel's own, or not to be seen.
    pub program: Option<String>,
    /// Bound to no address in particular.
    pub is_everywhere: bool,
}

/// Everything that listens on the ports that are asked for.
pub fn listeners(is_asked: impl Fn(u16) -> bool) -> Vec<Listener> {
    let tables = [
        ("tcp", "tcp", TCP_LISTEN),
        ("tcp6", "tcp", TCP_LISTEN),
        ("udp", "udp", UDP_BOUND),
        ("udp6", "udp", UDP_BOUND),
    ];
    let mut sockets = Vec::new();
    for (file, protocol, state) in tables {
        let text = std::fs::read_to_string(format!("/proc/net/{file}")).unwrap_or_default();
        sockets.extend(lines(&text, state).filter(|line| is_asked(line.port)).map(|line| (line, protocol)));
    }
    let holders = holders(&sockets.iter().map(|(line, _)| line.inode).collect());
    let listener = |(line, protocol): (Line, &'static str)| Listener {
        port: line.port,
        protocol,
        program: holders.get(&line.inode).cloned(),
        is_everywhere: line.is_everywhere,
    };
    sockets.into_iter().map(listener).collect()
}

/// One socket of a table.
struct Line {
    inode: u64,
    port: u16,
    is_everywhere: bool,
}

const OUR_PORTS: [u16; 4] = [API_PORT, METRICS_PORT, GOSSIP_PORT, TUNNEL_PORT];

/// States in `/proc/net/{tcp,udp}` (include/net/tcp_states.h).
const TCP_LISTEN: &str = "0A";
const UDP_BOUND: &str = "07";
/// A host with more listeners than this tells the first ones; the rest fails when it is published.
const LISTENING_MAX: usize = 1000;

/// Each line in that state (proc(5)); loopback addresses are left out.
fn lines(table: &str, state: &str) -> impl Iterator<Item = Line> {
    let parse = move |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        if *fields.get(3)? != state || is_local_only(address) {
            return None;
        }
        let is_everywhere = address.bytes().all(|byte| byte == b'0');
        Some(Line { inode: fields.get(9)?.parse().ok()?, port: u16::from_str_radix(port, 16).ok()?, is_everywhere })
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
        let held = listeners(|asked| asked == port);
        assert!(held.len() == 1 && held[0].is_everywhere && held[0].protocol == "tcp", "{held:?}");
    }
}
