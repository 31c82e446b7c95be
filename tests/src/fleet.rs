//! A lab whose hosts read their assignments from files, with containers that only sleep: tests bring the sockets.

use std::time::Duration;

use anyhow::{Context, Result};
use remuda_api::assignment::{Assignment, Container, Endpoint, Service};
use remuda_lab::{Lab, Options, assignment, process, wait_for};

/// Containers of a test run within this, or the agent is stuck.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Ids below belong to hosts.
const FIRST_ENDPOINT_ID: u32 = 1000;

/// What a test wants to run.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub name: &'static str,
    /// Index of the host, 0 = h1.
    pub host: usize,
    /// 0 = serves nothing.
    pub service_id: u32,
    /// Keeps its connections and takes no new ones.
    pub draining: bool,
    /// Only on `internal` networks.
    pub internal: bool,
    /// In the host's own network namespace.
    pub host_network: bool,
}

/// A lab with these containers running.
pub struct Fleet {
    pub lab: Lab,
    wanted: Vec<Wanted>,
    services: Vec<Service>,
    generation: u64,
}

impl Fleet {
    /// `hosts` hosts, told from files; ends when dropped.
    pub fn up(name: &str, hosts: usize) -> Result<Fleet> {
        let lab = Lab::up(&Options::new(&format!("{name}-{}", std::process::id()), hosts).from_files())?;
        Ok(Fleet { lab, wanted: Vec::new(), services: Vec::new(), generation: 1 })
    }

    /// Tells every host of exactly these services and containers, and waits until the containers run.
    pub fn assign(&mut self, services: &[Service], wanted: &[Wanted]) -> Result<()> {
        self.wanted = wanted.to_vec();
        self.services = services.to_vec();
        self.generation += 1;
        for index in 0..self.lab.state.hosts.len() {
            let host = format!("h{}", index + 1);
            let told = self.told(self.lab.assignment(&host)?, index);
            self.lab.assign(&host, &told)?;
        }
        for container in wanted {
            self.pid(container.name)?;
        }
        Ok(())
    }

    /// Waits until every host has done what it was told last.
    pub fn synced(&self, limit: Duration) -> Result<()> {
        self.lab.host_names().into_iter().try_for_each(|host| self.lab.wait_synced(host, self.generation, limit))
    }

    /// Overlay address of a container.
    pub fn ip(&self, name: &str) -> Result<String> {
        let at = self.index(name)?;
        Ok(address(&self.wanted, at))
    }

    /// Path of the network namespace a container lives in.
    pub fn netns(&self, name: &str) -> Result<String> {
        Ok(format!("/proc/{}/ns/net", self.pid(name)?))
    }

    /// Name of a host's network namespace.
    pub fn host_netns(&self, host: &str) -> Result<String> {
        self.lab.netns(host)
    }

    /// The container's first process.
    pub fn pid(&self, name: &str) -> Result<u32> {
        let mark = self.mark(self.index(name)?);
        wait_for(&format!("container {name} runs"), START_LIMIT, || {
            Ok(process::all().into_iter().find(|pid| {
                let argv = process::argv(*pid);
                argv.len() == 2 && argv[0].ends_with("sleep") && argv[1] == mark
            }))
        })
    }

    fn index(&self, name: &str) -> Result<usize> {
        self.wanted.iter().position(|w| w.name == name).with_context(|| format!("no container {name} in this test"))
    }

    /// How long this container sleeps: a number no other process on the machine uses.
    fn mark(&self, index: usize) -> String {
        format!("9{:07}{index:02}", std::process::id())
    }

    fn told(&self, mut told: Assignment, host: usize) -> Assignment {
        told.generation = self.generation;
        told.services = self.services.clone();
        told.endpoints = (0..self.wanted.len()).map(|at| self.endpoint(at, &told)).collect();
        told.containers =
            (0..self.wanted.len()).filter(|at| self.wanted[*at].host == host).map(|at| self.container(at)).collect();
        told.sort();
        told
    }

    fn endpoint(&self, at: usize, told: &Assignment) -> Endpoint {
        let wanted = &self.wanted[at];
        let host_ip = told.nodes.get(wanted.host).map(|node| node.underlay_ip.clone()).unwrap_or_default();
        Endpoint {
            id: FIRST_ENDPOINT_ID + at as u32,
            name: wanted.name.into(),
            service_id: wanted.service_id,
            node_id: wanted.host as u32 + 1,
            ip: if wanted.host_network { host_ip } else { address(&self.wanted, at) },
            serving: wanted.service_id != 0 && !wanted.draining,
            draining: wanted.draining,
            host_network: wanted.host_network,
            ..Endpoint::default()
        }
    }

    fn container(&self, at: usize) -> Container {
        let wanted = &self.wanted[at];
        let service = self.services.iter().find(|s| s.id == wanted.service_id);
        Container {
            name: wanted.name.into(),
            stack: service.map_or("test", |s| &s.stack).into(),
            service: service.map_or("loose", |s| &s.name).into(),
            endpoint_id: FIRST_ENDPOINT_ID + at as u32,
            ip: if wanted.host_network { String::new() } else { address(&self.wanted, at) },
            network_mode: if wanted.host_network { "host" } else { "managed" }.into(),
            runtime: "process".into(),
            command: vec!["sleep".into(), self.mark(at)],
            restart: "always".into(),
            networks: vec!["test_default".into()],
            internal: wanted.internal,
            spec_revision: 1,
            ..Container::default()
        }
    }
}

/// The first addresses of a block are the host endpoint's and, here, left free.
fn address(wanted: &[Wanted], at: usize) -> String {
    assignment::address(wanted[at].host, 10 + at)
}

/// A service for tests: its id, name and VIP; ports are added by the caller.
pub fn service(id: u32, name: &str, vip: &str) -> Service {
    Service {
        id,
        stack: "test".into(),
        name: name.into(),
        vip: vip.into(),
        endpoint_mode: "list".into(),
        ..Service::default()
    }
}
