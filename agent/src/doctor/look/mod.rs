//! Gathers what [`super::judge`] judges. Nothing of this host is changed, no server is asked, and what cannot be seen
//! is left out.

mod engine;
mod firewall;
mod fleet;
mod kernel;
mod limits;
mod network;
mod time;

use std::path::Path;

use ipnetwork::Ipv4Network;

use super::{Facts, network as judged, ports};
use crate::facts;
use crate::options::AgentOptions;

/// The idle device that holds the tunnel's port for an agent of ours.
const OWN_TUNNEL_DEVICE: &str = "/proc/sys/net/ipv4/conf/remuda-gro";

/// Looks at this host as an agent with these options would find it; `pools` are those of a fleet it may join.
pub async fn look(options: &AgentOptions, pools: &[Ipv4Network]) -> Facts {
    let (fleet, assignment) = fleet::look(&options.data_dir).await;
    let ports = ports();
    let is_server_here = ports
        .listeners
        .iter()
        .any(|held| held.port == remuda_abi::addr::API_PORT && held.program.as_deref() == Some("remuda"));
    let firewall = firewall::look(is_server_here);
    let network = network::look(options, pools, &assignment);
    Facts {
        kernel: kernel::look(),
        limits: limits::look(&options.data_dir),
        network: judged::Facts { has_docker_rules: firewall.has_docker_rules(), ..network },
        firewall,
        ports,
        time: time::look(),
        engine: engine::look(options.docker.as_deref()).await,
        fleet,
    }
}

fn ports() -> ports::Facts {
    let is_watched = |port| ports::WATCHED.iter().any(|(watched, ..)| *watched == port);
    let listener = |held: facts::Listener| ports::Listener {
        port: held.port,
        protocol: held.protocol.into(),
        program: held.program,
        is_everywhere: held.is_everywhere,
    };
    ports::Facts {
        listeners: facts::listeners(is_watched).into_iter().map(listener).collect(),
        has_own_tunnel: Path::new(OWN_TUNNEL_DEVICE).exists(),
    }
}

/// A number of a file below /proc or /sys; None if it is not there or says something else.
fn number(path: &str) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
