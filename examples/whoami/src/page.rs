//! What it knows: its name, its addresses, who asked for what.

use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

/// Where an engine's socket is given to a container that looks after others.
const ENGINE_SOCKET: &str = "/var/run/docker.sock";

/// The page for one request.
pub(crate) fn page(client: &SocketAddr, request: &str, head: &[String]) -> String {
    let mut page = format!("name    {}\n", host_name());
    let addresses: Vec<String> = addresses().iter().map(IpAddr::to_string).collect();
    let _ = writeln!(page, "address {}", addresses.join(" "));
    let _ = writeln!(page, "client  {client}");
    let _ = writeln!(page, "engine  {}", engine_socket());
    let _ = writeln!(page, "\n{request}");
    for line in head {
        let _ = writeln!(page, "{line}");
    }
    page
}

pub(crate) fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map_or_else(|_| "unknown".into(), |name| name.trim().to_owned())
}

/// Whether an engine's socket was given to this container: what a tool such as Portainer lives on.
pub(crate) fn engine_socket() -> &'static str {
    if Path::new(ENGINE_SOCKET).exists() { "there" } else { "not there" }
}

/// Addresses of this network namespace, but for loopback.
fn addresses() -> Vec<IpAddr> {
    let text = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut found: Vec<IpAddr> = local_addresses(&text).into_iter().map(IpAddr::V4).collect();
    found.sort();
    found.dedup();
    found
}

/// In the kernel's table each address of our own is a line of its own, followed by `/32 host LOCAL`.
fn local_addresses(fib_trie: &str) -> Vec<Ipv4Addr> {
    let lines: Vec<&str> = fib_trie.lines().map(str::trim).collect();
    let pairs = lines.windows(2).filter(|pair| pair[1].starts_with("/32 host LOCAL"));
    let addresses = pairs.filter_map(|pair| pair[0].rsplit(' ').next()?.parse::<Ipv4Addr>().ok());
    addresses.filter(|address| !address.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_addresses_are_those_that_the_kernel_calls_local() {
        let table = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.42.0.5\n        /32 host LOCAL\n     |-- 10.42.0.63\n        /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert_eq!(local_addresses(table), [Ipv4Addr::new(10, 42, 0, 5)]);
    }
}
