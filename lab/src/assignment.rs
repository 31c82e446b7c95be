//! What hosts are told in file mode: the stream's own message, one file per host.

use crate::underlay::host_name;
use anyhow::{Context, Result};
use remuda_api::assignment::{Assignment, Environment, Fleet, Node};
use std::fs;
use std::path::Path;

/// Block of the host with this index: a /26 of 10.42.0.0/16; its first address is the host endpoint's.
pub fn block(index: usize) -> String {
    let start = index * 64;
    format!("10.42.{}.{}/26", start / 256, start % 256)
}

/// The `n`th address of that block; 1 is the host endpoint's.
pub fn address(index: usize, n: usize) -> String {
    let start = index * 64 + n;
    format!("10.42.{}.{}", start / 256, start % 256)
}

/// What host `index` of a fleet with these underlay addresses is told before anything runs on it.
///
/// Node ids are index + 1, host endpoints have the same ids; workloads take ids from 1,000 up.
pub fn bare(index: usize, underlay_ips: &[String], endpoint_mtu: u32) -> Assignment {
    Assignment {
        generation: 1,
        node_id: index as u32 + 1,
        fleet: Some(Fleet {
            overlay_pools: vec!["10.42.0.0/16".into()],
            vip_pools: vec!["10.43.0.0/16".into()],
            dns_ip: "169.254.169.250".into(),
            tunnel_port: 4789,
            endpoint_mtu,
            wire_version: 1,
            gossip_key: String::new(),
        }),
        environment: Some(Environment {
            id: 1,
            name: "default".into(),
            hash_seed: 0x5eed_0000_0000_0001,
            endpoint_mode: "list".into(),
            no_egress: false,
            registries: Vec::new(),
        }),
        nodes: underlay_ips.iter().enumerate().map(|(index, ip)| node(index, ip)).collect(),
        ..Assignment::default()
    }
}

fn node(index: usize, underlay_ip: &str) -> Node {
    let id = index as u32 + 1;
    Node {
        id,
        name: host_name(index),
        underlay_ip: underlay_ip.to_owned(),
        blocks: vec![block(index)],
        host_endpoint_id: id,
        frontend_ips: vec![underlay_ip.to_owned()],
    }
}

/// The assignment in a file.
pub fn read(path: &Path) -> Result<Assignment> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no assignment", path.display()))
}

/// Replaces the file in one step, so that an agent never reads half of it. JSON, which is YAML as well.
pub fn write(path: &Path, assignment: &Assignment) -> Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, serde_json::to_vec_pretty(assignment)?)
        .with_context(|| format!("writing {}", draft.display()))?;
    fs::rename(&draft, path).with_context(|| format!("replacing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap_and_addresses_lie_in_them() {
        assert_eq!(
            (block(0), block(1), block(4)),
            ("10.42.0.0/26".into(), "10.42.0.64/26".into(), "10.42.1.0/26".into())
        );
        assert_eq!((address(0, 1), address(5, 2)), ("10.42.0.1".into(), "10.42.1.66".into()));
    }

    #[test]
    fn every_host_knows_every_other_and_itself() {
        let told = bare(1, &["192.168.77.11".into(), "192.168.77.12".into()], 1450);
        assert_eq!(told.own_node().map(|node| node.name.as_str()), Some("h2"));
        assert_eq!(told.nodes.len(), 2);
    }
}
