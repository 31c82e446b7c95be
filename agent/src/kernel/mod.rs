//! The kernel's side of one host: makes it hold one action at a time, and tells what it holds.
//!
//! Reading order: [`programs`] (load, attach, pins) and [`maps`] (typed access) ; [`host`] (`remuda0`, uplinks,
//! settings), [`egress`], [`peers`] (nodes and routes), [`endpoint`] (containers), [`balance`] and [`rings`] (frontends),
//! [`flows`] ; [`observe`], [`deletions`] ; [`netlink`], [`bpf`], [`namespace`], [`settings`], [`cgroup`] below.
//!
//! Everything is pinned or lives in devices, so the agent may die at any point: the next one reads what is there and
//! repeats the step that was under way. Nothing of the plan is known here.

mod arena;
mod balance;
mod bpf;
mod cgroup;
mod deletions;
mod egress;
mod endpoint;
mod error;
mod flows;
mod host;
mod maps;
mod namespace;
pub(crate) mod netlink;
mod observe;
mod peers;
pub(crate) mod programs;
mod rings;
mod settings;
mod sockets;

use std::path::{Path, PathBuf};

use remuda_abi::counter::{Counter, DropReason};
use remuda_abi::host::Host;
use remuda_abi::names::program;

use self::balance::Balance;
pub use self::deletions::Deletions;
use self::error::Attempt;
pub use self::error::KernelError;
pub(crate) use self::host::HOST_DEVICE;
use self::maps::{Maps, Pins};
use self::netlink::Netlink;
use self::programs::Programs;
use self::settings::Record;
use crate::action::Action;
use crate::observed::ObservedKernel;

/// How many TCP flows that others opened are alive in the network namespace at `netns`.
pub fn inbound_flows(netns: &Path) -> std::io::Result<usize> {
    namespace::inside(netns, sockets::count_inbound_flows)
}

/// What does not come with the assignment.
#[derive(Clone, Debug)]
pub struct KernelOptions {
    /// Names the pins: one directory per node on a shared kernel.
    pub node_id: u16,
    /// Uplink interfaces hooked so far, for [`Kernel::remove_all`] when no assignment was ever applied.
    pub uplinks: Vec<String>,
    /// Where old settings are noted (`kernel.json`).
    pub data_dir: PathBuf,
}

/// One host's dataplane, in the network namespace of the thread that opened it.
pub struct Kernel {
    node_id: u16,
    options_uplinks: Vec<String>,
    maps: Maps,
    programs: Programs,
    netlink: Netlink,
    pins: Pins,
    record: Record,
    balance: Balance,
}

impl Kernel {
    /// Loads the programs, adopting the maps and links of an agent before this one. No packet is lost in between.
    ///
    /// Errors if the machine cannot run the programs, or if pinned maps of another layout are in use.
    pub async fn open(options: KernelOptions) -> Result<Kernel, KernelError> {
        let pins = Pins::of_node(options.node_id);
        let record = Record::open(&options.data_dir)?;
        let (programs, maps) = Programs::load(&pins)?;
        let balance = Balance::adopt(&maps, &options.data_dir)?;
        let netlink = Netlink::open().attempt(|| "open a netlink socket")?;
        let mut kernel = Kernel {
            node_id: options.node_id,
            options_uplinks: options.uplinks,
            maps,
            programs,
            netlink,
            pins,
            record,
            balance,
        };
        kernel.renew_filters()?;
        Ok(kernel)
    }

    /// Puts this agent's programs into the tc filters of the agent before it (Linux before 6.6; links were renewed
    /// when the programs were loaded).
    fn renew_filters(&mut self) -> Result<(), KernelError> {
        if self.programs.has_tcx() {
            return Ok(());
        }
        let uplinks = self.record.host.as_ref().map_or_else(Vec::new, |h| h.uplinks.clone());
        for device in self.netlink.devices().attempt(|| "list devices")? {
            if self.maps.endpoints.get(&device.index, 0).is_ok() {
                self.programs.attach(program::ENDPOINT, &device)?;
            }
            if uplinks.contains(&device.name) {
                self.programs.attach(program::UPLINK_INGRESS, &device)?;
                self.programs.attach(program::UPLINK_EGRESS, &device)?;
            }
        }
        Ok(())
    }

    /// What the kernel holds now: maps, links and devices are read each time.
    pub async fn observe(&mut self) -> Result<ObservedKernel, KernelError> {
        observe::observe(self)
    }

    /// Does one action; `netns` is the unit's network namespace and needed by `PlugEndpoint` alone.
    /// Actions of the runtime and of names are not for here and do nothing.
    pub async fn apply(&mut self, action: &Action, netns: Option<&Path>) -> Result<(), KernelError> {
        match action {
            Action::SetHost(config) => host::apply(self, config),
            Action::PutRoute(prefix, route) => peers::put_route(self, *prefix, *route),
            Action::RemoveRoute(prefix) => peers::remove_route(self, *prefix),
            Action::PutNode(node) => peers::put_node(self, *node),
            Action::RemoveNode(node) => peers::remove_node(self, *node),
            Action::PlugEndpoint(plug) => match netns {
                Some(netns) => endpoint::plug(self, plug, netns),
                None => {
                    Err(KernelError::Unusable(format!("{} has no network namespace: create the unit first", plug.name)))
                }
            },
            Action::UnplugEndpoint { name, ip } => endpoint::unplug(self, name, *ip),
            Action::PutBackend(backend) => balance::put_backend(self, backend),
            Action::RemoveBackend { id } => balance::remove_backend(self, *id),
            Action::PutFrontend(frontend) => balance::put_frontend(self, frontend),
            Action::RemoveFrontend(key) => balance::remove_frontend(self, *key),
            Action::BreakFlows { ips } => flows::break_flows(self, ips),
            Action::CreateUnit(_)
            | Action::StartUnit(_)
            | Action::StopUnit { .. }
            | Action::RemoveUnit(_)
            | Action::PublishNames { .. } => Ok(()),
        }
    }

    /// Every counter and drop reason by name, summed over CPUs.
    pub fn counters(&self) -> Result<Vec<(String, u64)>, KernelError> {
        let counters = Counter::ALL.iter().map(|c| (c.index(), c.name()));
        let drops = DropReason::ALL.iter().map(|r| (r.index(), r.name()));
        let read = counters.chain(drops).map(|(index, name)| {
            let values = self.maps.counters.get(&index, 0).attempt(|| format!("read counter {name}"))?;
            Ok((name.to_string(), values.iter().sum()))
        });
        read.collect()
    }

    /// Takes everything of ours out of the kernel and restores its settings: endpoints, `remuda0`, hooks, pins,
    /// nftables table. Goes on past failures and reports the first.
    pub async fn remove_all(mut self) -> Result<(), KernelError> {
        let endpoints = endpoint::remove_all(&mut self);
        let peers = peers::remove_all(&mut self);
        let host = host::remove(&mut self);
        let pins = self.pins.remove_all();
        balance::remove_all(&mut self);
        endpoints.and(peers).and(host).and(pins)?;
        self.record.forget()
    }

    /// What the programs know of the host; an error before the first `SetHost`.
    fn host(&self) -> Result<Host, KernelError> {
        let host = self.maps.host.get(&0, 0).attempt(|| "read map HOST")?.0;
        if host.abi_version == 0 { Err(KernelError::HostNotSet) } else { Ok(host) }
    }

    fn vni(&self) -> Result<u32, KernelError> {
        self.host().map(|host| host.vni)
    }

    fn uplinks(&self) -> Vec<String> {
        self.record.host.as_ref().map_or_else(|| self.options_uplinks.clone(), |h| h.uplinks.clone())
    }

    /// 0 while the node is unknown; its route is written again when it is.
    fn tunnel_address_be(&self, node_id: u16) -> Result<u32, KernelError> {
        let host = self.maps.host.get(&0, 0).attempt(|| "read map HOST")?.0;
        if host.node_id == node_id {
            return Ok(host.node_underlay_ip_be);
        }
        Ok(self.maps.node_addresses.get(&u32::from(node_id), 0).unwrap_or(0))
    }
}
