//! What the benches run on: two hosts, a container on each, the second one behind a VIP.

use anyhow::Result;
use remuda_api::assignment::{Assignment, Container, Endpoint, Service};
use remuda_lab::{Lab, Options, assignment, process, wait_for};
use std::time::Duration;

/// Name of the benches' own lab, beside a default one that may run.
const LAB: &str = "bench";
const VIP: &str = "10.43.0.10";
const SERVICE_ID: u32 = 900;
/// Containers only lend their namespace; the odd number tells them from any other sleeper.
const SLEEP_SECONDS: [&str; 2] = ["8640901", "8640902"];
const START_LIMIT: Duration = Duration::from_secs(20);

pub struct Fleet {
    pub hosts: Vec<Host>,
    pub containers: [Place; 2],
    _lab: Lab,
}

/// Namespaces are paths.
pub struct Host {
    pub name: String,
    pub netns: String,
    pub ip: String,
    pub link: String,
    pub link_netns: String,
}

pub struct Place {
    pub netns: String,
    pub ip: String,
    /// VIP of its service.
    pub vip: String,
}

impl Fleet {
    pub fn two_containers() -> Result<Fleet> {
        let lab = Lab::up(&Options::new(LAB, 2).from_files())?;
        for index in 0..2 {
            let name = format!("h{}", index + 1);
            let told = lab.assignment(&name)?;
            lab.assign(&name, &with_containers(told, index))?;
        }
        let hosts = lab.state.hosts.iter().map(host).collect();
        let containers = [place(0)?, place(1)?];
        Ok(Fleet { hosts, containers, _lab: lab })
    }
}

fn host(host: &remuda_lab::Host) -> Host {
    Host {
        name: host.name.clone(),
        netns: format!("/run/netns/{}", host.netns),
        ip: host.underlay_ip.clone(),
        link: host.link.clone(),
        link_netns: format!("/run/netns/{}", host.link_netns),
    }
}

fn place(index: usize) -> Result<Place> {
    let argv = ["sleep", SLEEP_SECONDS[index]];
    let pid = wait_for(&format!("container {} runs", name(index)), START_LIMIT, || {
        Ok(process::all().into_iter().find(|pid| {
            let found = process::argv(*pid);
            found.len() == 2 && found[0].ends_with(argv[0]) && found[1] == argv[1]
        }))
    })?;
    Ok(Place { netns: format!("/proc/{pid}/ns/net"), ip: assignment::address(index, 2), vip: VIP.into() })
}

fn name(index: usize) -> String {
    format!("bench-peer-{}", index + 1)
}

/// The bare assignment of host `index` with both containers known and its own to run.
fn with_containers(mut told: Assignment, index: usize) -> Assignment {
    told.generation += 1;
    told.services = vec![Service {
        id: SERVICE_ID,
        stack: "bench".into(),
        name: "peer".into(),
        vip: VIP.into(),
        endpoint_mode: "list".into(),
        ..Service::default()
    }];
    told.endpoints = (0..2)
        .map(|i| Endpoint {
            id: 1000 + i as u32,
            name: name(i),
            service_id: SERVICE_ID,
            node_id: i as u32 + 1,
            ip: assignment::address(i, 2),
            // The first one dials, so only the second one serves.
            serving: i == 1,
            ..Endpoint::default()
        })
        .collect();
    told.containers = vec![Container {
        name: name(index),
        stack: "bench".into(),
        service: "peer".into(),
        endpoint_id: 1000 + index as u32,
        ip: assignment::address(index, 2),
        network_mode: "managed".into(),
        runtime: "process".into(),
        command: vec!["sleep".into(), SLEEP_SECONDS[index].into()],
        restart: "always".into(),
        spec_revision: 1,
        ..Container::default()
    }];
    told
}
