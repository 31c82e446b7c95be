//! Two hosts and an outside client on one wire, with the agent's kernel part and nothing else: no agent, no runtime.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use remuda_agent::action::{Action, Backend, Frontend, FrontendKey, HostConfig, Node, Plug, Route};
use remuda_agent::kernel::{Kernel, KernelOptions};
use remuda_agent::observed::ObservedKernel;
use remuda_lab::netns;

/// Containers of each host.
pub const CONTAINERS: u8 = 2;
pub const VIP: &str = "10.43.0.10";
const MTU: u16 = 1450;

/// The pair; everything is gone when it is dropped, also after a failure.
pub struct Pair {
    prefix: String,
    /// Pins of both hosts: far from what a lab uses, different in every test of this process.
    first_node_id: u16,
    dir: PathBuf,
}

impl Pair {
    /// Makes namespaces and wires; `slot` tells the tests of this program apart.
    pub fn new(slot: u16) -> Result<Pair> {
        let prefix = format!("pair{}-{slot}-", std::process::id());
        let dir = std::env::temp_dir().join(prefix.trim_end_matches('-'));
        let pair = Pair { prefix, first_node_id: 30_000 + 2 * slot, dir };
        std::fs::create_dir_all(&pair.dir)?;
        pair.lay()?;
        Ok(pair)
    }

    fn lay(&self) -> Result<()> {
        let client = self.client();
        netns::add(&client)?;
        netns::ip(&["-n", &client, "link", "set", "lo", "up"])?;
        netns::ip(&["-n", &client, "link", "add", "br0", "type", "bridge"])?;
        netns::ip(&["-n", &client, "link", "set", "br0", "up"])?;
        netns::ip(&["-n", &client, "addr", "add", "192.0.2.100/24", "dev", "br0"])?;
        for host in [1, 2] {
            self.lay_host(host)?;
        }
        Ok(())
    }

    fn lay_host(&self, host: u8) -> Result<()> {
        let (name, client, port) = (self.host(host), self.client(), format!("port{host}"));
        netns::add(&name)?;
        for n in 1..=CONTAINERS {
            netns::add(&self.container(host, n))?;
        }
        let (inside, outside) = (["up0", "netns", &name], ["name", &port, "netns", &client]);
        netns::ip(&[&["link", "add"], &inside[..], &["type", "veth", "peer"], &outside[..]].concat())?;
        netns::ip(&["-n", &client, "link", "set", &port, "master", "br0", "up"])?;
        netns::ip(&["-n", &name, "link", "set", "lo", "up"])?;
        netns::ip(&["-n", &name, "link", "set", "up0", "up"])?;
        netns::ip(&["-n", &name, "addr", "add", &format!("{}/24", underlay(host)), "dev", "up0"])
    }

    pub fn client(&self) -> String {
        format!("{}out", self.prefix)
    }
    pub fn host(&self, host: u8) -> String {
        format!("{}h{host}", self.prefix)
    }
    pub fn container(&self, host: u8, n: u8) -> String {
        format!("{}h{host}c{n}", self.prefix)
    }
    pub fn node_id(&self, host: u8) -> u16 {
        self.first_node_id + u16::from(host) - 1
    }
    pub fn pins(&self, host: u8) -> PathBuf {
        PathBuf::from(format!("/sys/fs/bpf/remuda/{}", self.node_id(host)))
    }

    /// Opens the kernel part as a freshly started agent does, works with it, and drops it as a dying agent does.
    pub fn agent<T: Send>(&self, host: u8, work: impl AsyncFnOnce(Kernel) -> T + Send) -> Result<T> {
        let options = KernelOptions {
            node_id: self.node_id(host),
            uplinks: vec!["up0".into()],
            data_dir: self.dir.join(format!("h{host}")),
        };
        netns::inside(&self.host(host), move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async move {
                let kernel = Kernel::open(options).await.context("open the kernel part")?;
                Ok(work(kernel).await)
            })
        })?
    }

    /// Does actions with one agent; those that plug find the namespace by the container's name.
    pub fn apply(&self, host: u8, actions: &[Action]) -> Result<ObservedKernel> {
        self.agent(host, async |mut kernel| {
            for action in actions {
                let netns = match action {
                    Action::PlugEndpoint(plug) => Some(netns::path(&format!("{}{}", self.prefix, plug.name))),
                    _ => None,
                };
                kernel.apply(action, netns.as_deref()).await.with_context(|| action.to_string())?;
            }
            Ok::<_, anyhow::Error>(kernel.observe().await?)
        })?
    }

    /// Both hosts with their containers, the VIP and nothing published.
    pub fn up(&self) -> Result<()> {
        for host in [1, 2] {
            let observed = self.apply(host, &self.everything(host))?;
            ensure!(observed.host == Some(self.config(host)), "host {host} is not whole after it was set");
        }
        Ok(())
    }

    /// What an assignment of this pair makes, in publishing order.
    pub fn everything(&self, host: u8) -> Vec<Action> {
        let mut actions = vec![Action::SetHost(self.config(host))];
        let other = 3 - host;
        actions.push(Action::PutNode(Node { id: self.node_id(other), underlay_ip: underlay(other) }));
        let network = |text: &str| text.parse().expect("a network");
        for of in [1, 2] {
            let block = Route::Block { node_id: self.node_id(of), underlay_ip: underlay(of) };
            actions.push(Action::PutRoute(network(&format!("10.42.{of}.0/26")), block));
            let address = Route::HostAddress { node_id: self.node_id(of) };
            actions.push(Action::PutRoute(network(&format!("{}/32", underlay(of))), address));
        }
        actions.push(Action::PutRoute(network("10.42.0.0/16"), Route::Pool));
        actions.push(Action::PutRoute(network("10.43.0.0/16"), Route::Vip));
        actions.push(Action::PutRoute(network("169.254.169.250/32"), Route::Dns));
        actions.extend((1..=CONTAINERS).map(|n| self.plug(host, n)));
        for of in [1, 2] {
            actions.extend((1..=CONTAINERS).map(|n| Action::PutBackend(self.backend(of, n))));
        }
        actions.push(frontend(FrontendKey::Vip(VIP.parse().expect("an address")), 7, 0, &all_backends()));
        actions
    }

    pub fn plug(&self, host: u8, n: u8) -> Action {
        Action::PlugEndpoint(Plug {
            name: format!("h{host}c{n}"),
            endpoint_id: backend_id(host, n),
            ip: address(host, n),
            mtu: MTU,
            no_egress: false,
        })
    }

    pub fn backend(&self, host: u8, n: u8) -> Backend {
        Backend {
            id: backend_id(host, n),
            ip: address(host, n),
            node_id: self.node_id(host),
            node_underlay_ip: underlay(host),
            host_network: false,
            draining: false,
        }
    }

    pub fn config(&self, host: u8) -> HostConfig {
        HostConfig {
            node_id: self.node_id(host),
            vni: 5,
            underlay_ip: underlay(host),
            overlay_ip: [10, 42, host, 1].into(),
            endpoint_id: 100 * u32::from(host),
            dns_ip: [169, 254, 169, 250].into(),
            tunnel_port: 4789,
            endpoint_mtu: MTU,
            hash_seed: 0x1234_5678_9abc,
            overlay_pools: vec!["10.42.0.0/16".parse().expect("a network")],
            vip_pools: vec!["10.43.0.0/16".parse().expect("a network")],
            frontend_ips: vec![underlay(host)],
            uplinks: vec!["up0".into()],
            no_egress: false,
            published: vec![(6, 8080)],
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for host in [1, 2] {
            let _ = std::fs::remove_dir_all(self.pins(host));
        }
        for name in netns::names().into_iter().filter(|name| name.starts_with(&self.prefix)) {
            let _ = netns::delete(&name);
        }
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

pub fn underlay(host: u8) -> Ipv4Addr {
    [192, 0, 2, host].into()
}

/// The overlay address of a container.
pub fn address(host: u8, n: u8) -> Ipv4Addr {
    [10, 42, host, 1 + n].into()
}

pub fn backend_id(host: u8, n: u8) -> u32 {
    100 * u32::from(host) + u32::from(n)
}

pub fn all_backends() -> Vec<u32> {
    [1, 2].into_iter().flat_map(|host| (1..=CONTAINERS).map(move |n| backend_id(host, n))).collect()
}

pub fn frontend(key: FrontendKey, id: u32, target_port: u16, backends: &[u32]) -> Action {
    Action::PutFrontend(Frontend {
        key,
        by_port: false,
        id,
        target_port,
        backends: backends.to_vec(),
        draining: Vec::new(),
        silent: Vec::new(),
    })
}
