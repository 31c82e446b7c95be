//! A named volume: whose it is, and which hosts have data of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// A named volume that a service mounts or once did; kept when its stack goes, as its data is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Full name: what the engine knows it by.
    pub name: String,
    /// The stack that named it first; empty for an external one.
    pub stack: String,
    pub driver: String,
    /// It must exist, and is never made or removed by us.
    pub is_external: bool,
    /// Who mounts it runs on this host, because its data is there; 0 = on none yet, or it may be anywhere.
    pub node_id: u32,
    /// Name of that host: what is said of it when it has left the fleet.
    pub host: String,
    /// Hosts with data of it of their own: those of containers that run once per host, or that may run anywhere.
    pub copies: BTreeSet<u32>,
    /// What of its host its options lead to; the engine keeps those it was made with, so it stays when they change.
    /// Empty = nothing.
    pub host_path: String,
}
