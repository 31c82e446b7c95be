//! The host's name server: started in-process on the fleet's DNS address, given a new view with every change.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use remuda_api::assignment::Assignment;
use remuda_api::link::DnsOrder;
use remuda_dns::{Local, Server, Stats, Upstreams, View};

/// DNS (RFC 1035, 4.2).
const PORT: u16 = 53;

/// The name server and what it was told last.
pub struct Names {
    server: Option<(Ipv4Addr, Server)>,
    host_ips: HashSet<IpAddr>,
    published: Option<(u64, BTreeSet<u32>)>,
}

impl Names {
    /// `host_ips`: every address from which this host itself may ask.
    pub fn new(host_ips: Vec<IpAddr>) -> Names {
        Names { server: None, host_ips: host_ips.into_iter().collect(), published: None }
    }

    /// The generation that is answered now; 0 = none, or the `unlisted` endpoints changed since.
    pub fn generation(&self, unlisted: &BTreeSet<u32>) -> u64 {
        self.published.as_ref().filter(|(_, published)| published == unlisted).map_or(0, |(generation, _)| *generation)
    }

    /// Answers from this assignment from now on, leaving out `unlisted` endpoints. The first call starts the
    /// server; an error says what is in its way, and the next call tries again.
    pub fn publish(
        &mut self,
        assignment: &Assignment,
        dns_ip: Ipv4Addr,
        unlisted: &BTreeSet<u32>,
    ) -> Result<(), String> {
        let local =
            Local { host_ips: self.host_ips.iter().copied().collect(), gone: unlisted.iter().copied().collect() };
        let view = View::build(assignment, &local);
        match &self.server {
            Some((ip, server)) if *ip == dns_ip => server.publish(view),
            _ => {
                self.server = None;
                let listen = vec![SocketAddr::from((dns_ip, PORT))];
                let server = Server::start(listen, view, Upstreams::host()).map_err(|error| error.to_string())?;
                self.server = Some((dns_ip, server));
            }
        }
        self.published = Some((assignment.generation, unlisted.clone()));
        Ok(())
    }

    /// What a container would be answered, as JSON of [`remuda_api::resource`]'s answer.
    pub async fn resolve(&self, assignment: &Assignment, order: &DnsOrder) -> Result<Vec<u8>, String> {
        let (_, server) = self.server.as_ref().ok_or("the name server of this host does not run yet")?;
        let asker = asker(assignment, &order.container)?;
        let answer = server.resolve(asker, &order.name, &order.kind).await.map_err(|error| error.to_string())?;
        serde_json::to_vec(&answer).map_err(|error| error.to_string())
    }

    pub fn stats(&self) -> Option<Stats> {
        self.server.as_ref().map(|(_, server)| server.stats())
    }
}

/// The address the question comes from: the container's own, or the host's for one without.
fn asker(assignment: &Assignment, container: &str) -> Result<IpAddr, String> {
    let found = assignment.containers.iter().find(|record| record.name == container);
    let record = found.ok_or_else(|| format!("container {container} is not on this host"))?;
    Ok(record.ip.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}
