//! The way out: source NAT for containers that speak to the world, in one nftables table of our own.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use super::error::{Attempt, KernelError};
use super::settings::Record;
use crate::action::HostConfig;

/// Source ports of translated connections. Nothing can be published here, so a reply never looks like a request to a
/// published port.
pub(crate) const SNAT_PORTS: std::ops::RangeInclusive<u16> = 61_000..=65_535;

/// Replaces our table in one transaction; no other table is touched.
pub(crate) fn apply(host: &HostConfig, record: &mut Record) -> Result<(), KernelError> {
    nft(&script(host)).attempt(|| "write the nftables table for traffic to the outside (is nftables installed?)")?;
    admit_by_docker(record)
}

/// Deletes our table and our rules in Docker's chain.
pub(crate) fn remove(node_id: u16, record: &mut Record) -> Result<(), KernelError> {
    let table = table(node_id);
    // "table" first: deleting what is not there would be an error.
    nft(&format!("table ip {table}\ndelete table ip {table}\n"))
        .attempt(|| format!("delete nftables table {table}"))?;
    if record.docker_rule {
        for rule in DOCKER_RULES {
            let _ = iptables("-D", rule);
        }
        record.docker_rule = false;
    }
    Ok(())
}

/// Whether the table is there (somebody may have flushed the ruleset). Asked of the kernel itself: `nft` takes
/// milliseconds to start, and this is looked at each time.
pub(crate) fn is_applied(node_id: u16) -> bool {
    has_table(&table(node_id)).unwrap_or(false)
}

/// NFT_MSG_GETTABLE of one table by name; an unknown name is answered with ENOENT.
fn has_table(name: &str) -> io::Result<bool> {
    /// NFNL_SUBSYS_NFTABLES (10) and NFT_MSG_GETTABLE (1).
    const GET_TABLE: u16 = 10 << 8 | 1;
    const NLM_F_REQUEST: u16 = 1;
    const NLMSG_ERROR: u16 = 2;
    const NFTA_TABLE_NAME: u16 = 1;
    let attribute_len = 4 + name.len() + 1;
    let len = 16 + 4 + attribute_len.next_multiple_of(4);
    let mut message = Vec::with_capacity(len);
    message.extend((len as u32).to_ne_bytes());
    message.extend(GET_TABLE.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    // struct nfgenmsg: family, version, resource.
    message.extend([libc::AF_INET as u8, 0, 0, 0]);
    message.extend((attribute_len as u16).to_ne_bytes());
    message.extend(NFTA_TABLE_NAME.to_ne_bytes());
    message.extend(name.as_bytes());
    message.resize(len, 0);
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    socket.send(&message, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let kind = answer.get(4..6).and_then(|kind| kind.try_into().ok()).map_or(NLMSG_ERROR, u16::from_ne_bytes);
    Ok(kind != NLMSG_ERROR)
}

fn table(node_id: u16) -> String {
    format!("remuda_{node_id}")
}

/// The whole table as one transaction. An accept here overrules nobody's drop: nftables asks every table.
fn script(host: &HostConfig) -> String {
    let table = table(host.node_id);
    let mut text = format!("table ip {table}\ndelete table ip {table}\ntable ip {table} {{\n");
    let pools = join(host.overlay_pools.iter().map(ToString::to_string));
    let uplinks = join(host.uplinks.iter().map(|u| format!("{u:?}")));
    text.push_str(" chain postrouting {\n  type nat hook postrouting priority srcnat; policy accept;\n");
    if !host.no_egress && !pools.is_empty() && !uplinks.is_empty() {
        let outside = format!("oifname {{ {uplinks} }} ip saddr {{ {pools} }} ip daddr != {{ {pools} }}");
        let (low, high) = (SNAT_PORTS.start(), SNAT_PORTS.end());
        text.push_str(&format!("  {outside} meta l4proto {{ tcp, udp }} masquerade to :{low}-{high}\n"));
        text.push_str(&format!("  {outside} masquerade\n"));
    }
    text.push_str(" }\n}\n");
    text
}

fn join(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

fn nft(script: &str) -> io::Result<()> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_string()))
}

/// Docker drops what it does not know on its way through; its user chain is the place to say otherwise.
const DOCKER_RULES: [[&str; 6]; 2] =
    [["DOCKER-USER", "-i", "remuda0", "-j", "ACCEPT", "-w"], ["DOCKER-USER", "-o", "remuda0", "-j", "ACCEPT", "-w"]];

fn admit_by_docker(record: &mut Record) -> Result<(), KernelError> {
    if !docker_chain_exists() {
        return Ok(());
    }
    for rule in DOCKER_RULES {
        if !iptables("-C", rule) && iptables("-I", rule) && !record.docker_rule {
            record.docker_rule = true;
            record.save()?;
        }
    }
    Ok(())
}

fn docker_chain_exists() -> bool {
    quiet(Command::new("iptables").args(["-w", "-n", "-L", "DOCKER-USER"]))
}

fn iptables(verb: &str, rule: [&str; 6]) -> bool {
    quiet(Command::new("iptables").arg(verb).args(rule))
}

fn quiet(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> HostConfig {
        HostConfig {
            node_id: 7,
            vni: 1,
            underlay_ip: [192, 0, 2, 1].into(),
            overlay_ip: [10, 42, 0, 1].into(),
            endpoint_id: 1,
            dns_ip: [169, 254, 169, 250].into(),
            tunnel_port: 4789,
            endpoint_mtu: 1450,
            hash_seed: 1,
            overlay_pools: vec!["10.42.0.0/16".parse().unwrap()],
            vip_pools: vec!["10.43.0.0/16".parse().unwrap()],
            frontend_ips: vec![],
            uplinks: vec!["eth0".into()],
            no_egress: false,
            published: vec![],
        }
    }

    #[test]
    fn containers_leave_by_the_uplink_with_a_port_nothing_can_be_published_at() {
        let text = script(&host());
        assert!(text.contains(r#"oifname { "eth0" } ip saddr { 10.42.0.0/16 }"#), "{text}");
        assert!(text.contains("masquerade to :61000-65535"), "{text}");
    }

    #[test]
    fn an_environment_without_egress_translates_nothing() {
        let text = script(&HostConfig { no_egress: true, ..host() });
        assert!(!text.contains("masquerade"), "{text}");
    }
}
