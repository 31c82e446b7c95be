//! A fleet under test for faults: many backends of one service, and on every host a container to look from.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use remuda_lab::netns;
use serde_json::Value;

use crate::lookup::{Reply, look_up};
use crate::probe::ask_line;
use crate::stack::{Fleet, text};

/// Where the backends answer lines and datagrams.
pub const LINES: u16 = 7000;
/// Where they answer HTTP.
pub const HTTP: u16 = 7001;
/// Where `web` is published.
pub const PUBLISHED: u16 = 8080;
/// The stack's name.
pub const STACK: &str = "app";

/// A fleet that runs `app/web` (the backends) and `app/client` (one on each host).
pub struct Crowd {
    pub fleet: Fleet,
    vip: Ipv4Addr,
    /// Host to network namespace of its client: known also while no server answers.
    clients: BTreeMap<String, String>,
}

/// A container as `remuda ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub host: String,
    pub ip: Ipv4Addr,
    pub pid: u32,
}

impl Crowd {
    /// `backend`: path of the backend program. `service`: more keys of `web`, each line indented by four.
    pub fn up(name: &str, hosts: usize, replicas: usize, backend: &str, service: &str) -> Result<Crowd> {
        let fleet = Fleet::up(name, hosts)?;
        fleet.deploy(STACK, &compose(replicas, backend, service))?;
        Crowd::of(fleet)
    }

    /// The same of a fleet on which the stack runs already.
    pub fn of(fleet: Fleet) -> Result<Crowd> {
        let services = fleet.list(&["services"])?;
        let web = services.iter().find(|service| service["name"] == "web").context("no service web")?;
        let vip = text(web, "vip").parse().context("web has no VIP")?;
        let mut crowd = Crowd { fleet, vip, clients: BTreeMap::new() };
        for host in crowd.fleet.lab.state.hosts.clone() {
            crowd.clients.insert(host.name.clone(), crowd.find_client(&host.name)?);
        }
        crowd.wait_answering()?;
        Ok(crowd)
    }

    /// Tells the fleet another wish for the same stack.
    pub fn change(&self, replicas: usize, backend: &str, service: &str) -> Result<()> {
        self.fleet.deploy(STACK, &compose(replicas, backend, service))?;
        self.wait_answering()
    }

    /// The same without waiting: some may be unwell on purpose.
    pub fn declare(&self, replicas: usize, backend: &str, service: &str) -> Result<()> {
        let path = self.fleet.file("declared.yml", &compose(replicas, backend, service))?;
        self.fleet.remuda(&["up", "-d", "-f", &path.display().to_string(), "-s", STACK]).map(drop)
    }

    /// A container runs a moment before its program listens.
    fn wait_answering(&self) -> Result<()> {
        let members = self.members()?;
        let from = self.client("h1")?;
        for member in &members {
            let to = SocketAddr::from((member.ip, LINES));
            remuda_lab::wait_for(&format!("{} answers", member.name), LISTEN_LIMIT, || {
                netns::inside(&from, || ask_line(to))?.map(Some).map_err(Into::into)
            })?;
        }
        Ok(())
    }

    /// Running backends.
    pub fn members(&self) -> Result<Vec<Member>> {
        let all = self.fleet.containers()?;
        Ok(all.iter().filter(|c| c["service"] == "web" && c["state"] == "running").filter_map(member).collect())
    }

    /// Those on this host.
    pub fn members_on(&self, host: &str) -> Result<Vec<Member>> {
        Ok(self.members()?.into_iter().filter(|member| member.host == host).collect())
    }

    /// Process of each running backend: who was restarted has another.
    pub fn pids(&self) -> Result<BTreeMap<String, u32>> {
        Ok(self.members()?.into_iter().map(|member| (member.name, member.pid)).collect())
    }

    /// Network namespace of the container to look from on this host, as it was at first.
    pub fn client(&self, host: &str) -> Result<String> {
        self.clients.get(host).cloned().with_context(|| format!("no client on {host}"))
    }

    fn find_client(&self, host: &str) -> Result<String> {
        let pid = self.fleet.wait(&format!("a client runs on {host}"), |all| {
            let mine = |c: &&Value| c["service"] == "client" && c["host"] == host && c["state"] == "running";
            all.iter().find(mine)?["pid"].as_u64()
        })?;
        Ok(format!("/proc/{pid}/ns/net"))
    }

    /// What a container on this host is told of `name` now.
    pub fn look_up(&self, host: &str, name: &str) -> Result<Reply> {
        Ok(netns::inside(&self.client(host)?, || look_up(name))??)
    }

    pub fn vip(&self) -> SocketAddr {
        SocketAddr::from((self.vip, LINES))
    }

    /// The published port on this host.
    pub fn published(&self, host: &str) -> Result<SocketAddr> {
        let ip: Ipv4Addr = self.fleet.lab.host(host)?.underlay_ip.parse()?;
        Ok(SocketAddr::from((ip, PUBLISHED)))
    }

    /// Network namespace of the outside client.
    pub fn outside(&self) -> Result<String> {
        self.fleet.lab.netns("client")
    }

    /// State of each host as the server lists it.
    pub fn host_states(&self) -> Result<BTreeMap<String, String>> {
        let hosts = self.fleet.list(&["hosts"])?;
        Ok(hosts.iter().map(|host| (text(host, "name").to_owned(), text(host, "state").to_owned())).collect())
    }
}

/// A program that has been started listens within this, also on a machine that compiles meanwhile.
const LISTEN_LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

fn member(container: &Value) -> Option<Member> {
    Some(Member {
        name: text(container, "name").to_owned(),
        host: text(container, "host").to_owned(),
        ip: text(container, "ip").parse().ok()?,
        pid: container["pid"].as_u64()?.try_into().ok()?,
    })
}

fn compose(replicas: usize, backend: &str, service: &str) -> String {
    let backend = Path::new(backend).display();
    format!(
        "services:
  web:
    command: ['{backend}']
    ports: ['{PUBLISHED}:{LINES}', '{PUBLISHED}:{LINES}/udp']
    deploy: {{replicas: {replicas}}}
{service}
  client:
    command: [sleep, '86400']
    deploy: {{mode: global}}
"
    )
}
