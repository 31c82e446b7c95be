//! `lab.json`: what scripts and tests know of a running lab (DESIGN.md section 5).

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A running lab. In file mode there is no server: `api`, `ca`, `key_file` and `server` are null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// `https://ADDR:8443`, reachable from this machine.
    pub api: Option<String>,
    pub ca: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// What `remuda version` said.
    pub version: String,
    /// An address that any host serves; null until `remuda address` exists.
    pub external_ip: Option<String>,
    pub server: Option<Server>,
    pub client: Client,
    pub hosts: Vec<Host>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub pid: u32,
    pub netns: String,
    pub data_dir: PathBuf,
    pub argv: Vec<String>,
}

/// An outside machine on the underlay; it runs nothing of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub netns: String,
    pub ip: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub name: String,
    pub node_id: u32,
    /// Name under /run/netns.
    pub netns: String,
    pub underlay_ip: String,
    /// The switch's end of this host's cable, in `link_netns`: bringing it down cuts the host off.
    pub link: String,
    pub link_netns: String,
    /// The process that is this host's agent; of the server's host it may be the server itself.
    pub agent_pid: u32,
    pub data_dir: PathBuf,
    /// Starts this agent again.
    pub argv: Vec<String>,
    pub admin_socket: PathBuf,
    pub bpf_dir: PathBuf,
    /// Where this host's own dockerd listens; null in a lab without engines.
    pub docker: Option<PathBuf>,
}

impl State {
    /// The environment in which plain `remuda …` talks to this lab.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let all = [
            ("REMUDA_API", self.api.clone()),
            ("REMUDA_CA", path(&self.ca)),
            ("REMUDA_KEY_FILE", path(&self.key_file)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
