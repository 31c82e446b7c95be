//! Everything the orchestrator knows, as data: what the store keeps, plus which hosts are there now.
//!
//! Records are shared (`Arc`), so a change works on a cheap copy ([`State::clone`]) and what changed is found by
//! comparing pointers ([`crate::persist`]). Ids are unique in the fleet; 0 means none.

mod container;
mod live;
mod registry;
mod volume;

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnetwork::Ipv4Network;
use remuda_api::link::HostFacts;
use remuda_api::resource::{Availability, Event, Health, HostState};
use remuda_api::spec::{NetworkSpec, PortSpec, Protocol, PublishMode, ServiceMode, ServiceSpec, VolumeSpec};
use serde::{Deserialize, Serialize};

use crate::clock::rfc3339;
use crate::health::Recreation;
use crate::health::checkers::Checkers;

pub use container::{Claim, Container, Stage, Verdict};
pub use live::{Live, Vote};
pub use registry::Registry;
pub use volume::Volume;

/// Events kept, oldest forgotten first: a day of a busy small fleet.
pub const EVENTS_MAX: usize = 2_000;

#[derive(Clone, Debug, Default)]
pub struct State {
    /// The store revision this is; inside a change, the revision the change will get.
    pub revision: u64,
    pub fleet: Arc<FleetRecord>,
    pub nodes: BTreeMap<u32, Arc<Node>>,
    pub stacks: BTreeMap<String, Arc<Stack>>,
    pub services: BTreeMap<u32, Arc<Service>>,
    /// By address.
    pub registries: BTreeMap<String, Arc<Registry>>,
    /// By full name.
    pub volumes: BTreeMap<String, Arc<Volume>>,
    /// By container name.
    pub containers: BTreeMap<String, Arc<Container>>,
    /// By hex SHA-256 of the secret.
    pub tokens: BTreeMap<String, Arc<Token>>,
    /// By hex SHA-256 of the key.
    pub keys: BTreeMap<String, Arc<ApiKey>>,
    /// Oldest first, ids growing.
    pub events: VecDeque<Arc<Event>>,
    /// Not stored: what is known of each host since this server started.
    pub live: BTreeMap<u32, Live>,
    /// Not stored: which hosts check which containers.
    pub checkers: Arc<Checkers>,
}

/// What belongs to the fleet as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetRecord {
    pub overlay_pools: Vec<Ipv4Network>,
    pub vip_pools: Vec<Ipv4Network>,
    pub environment_id: u32,
    pub environment: String,
    /// Secret seed of flow hashes and rings.
    pub hash_seed: u64,
    /// Seals the gossip between agents: 32 bytes in hex.
    #[serde(default)]
    pub gossip_key: String,
    pub cursors: Cursors,
}

impl FleetRecord {
    /// Every pool, of endpoints and of VIPs.
    pub fn pools(&self) -> Vec<Ipv4Network> {
        self.overlay_pools.iter().chain(&self.vip_pools).copied().collect()
    }
}

/// Where the next allocation of each kind starts looking, so that nothing is reused at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cursors {
    pub node_id: u32,
    pub endpoint_id: u32,
    /// Of services and of published ports: they share one space.
    pub frontend_id: u32,
    pub vip: u32,
    pub block: u32,
}

impl Default for FleetRecord {
    fn default() -> Self {
        Self {
            overlay_pools: Vec::new(),
            vip_pools: Vec::new(),
            environment_id: 1,
            environment: "default".into(),
            hash_seed: 0,
            gossip_key: String::new(),
            cursors: Cursors::default(),
        }
    }
}

/// A host that joined.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    pub id: u32,
    pub name: String,
    pub facts: HostFacts,
    pub labels: BTreeMap<String, String>,
    pub availability: Availability,
    pub blocks: Vec<Ipv4Network>,
    pub host_endpoint_id: u32,
    /// Where the next address is looked for, an index into all addresses of `blocks`.
    pub address_cursor: u32,
    /// Hex SHA-256 of the public keys its certificate may carry: the current one, and the one before a renewal.
    pub keys: Vec<String>,
    pub created_ms: u64,
    /// The generation it goes by, if this store never reached it: the store is a copy from before, and the host is told
    /// nothing more. 0 = all is well.
    pub ahead_generation: u64,
    /// Containers that were placed elsewhere while it was lost; it may still run them.
    pub leftovers: Vec<Leftover>,
    /// Kept so that a restarted server neither moves what the brake holds nor counts old losses as new ones.
    pub loss: Loss,
}

/// What becomes of what ran on a host that is gone; over when the host reports again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    #[default]
    None,
    /// Too many hosts went at once: it stays where it is until the host is removed.
    Held,
    /// It is placed elsewhere.
    Lost,
}

/// What a lost host may still run: nobody else gets its address before the host has said that it is gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Leftover {
    pub name: String,
    pub endpoint_id: u32,
    pub ip: Option<Ipv4Addr>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stack {
    pub name: String,
    pub networks: BTreeMap<String, NetworkSpec>,
    pub volumes: BTreeMap<String, VolumeSpec>,
    /// The revision that last changed it.
    pub generation: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    pub id: u32,
    pub stack: String,
    pub name: String,
    pub spec: ServiceSpec,
    /// Declared replicas; means nothing for a global service.
    pub scale: u32,
    pub vip: Option<Ipv4Addr>,
    /// One per `spec.ports`; 0 for ports that are not published by ingress.
    pub frontend_ids: Vec<u32>,
    /// The revision that last changed what its containers are made of.
    pub spec_revision: u64,
    /// The revision that last changed anything of it.
    pub generation: u64,
    /// Its containers leave; forgotten with the last one.
    pub removing: bool,
    /// What it depends on was there once: later containers do not wait again.
    pub released: bool,
    /// Why it has no containers, although it may have; None = it is to run.
    pub rest: Option<Rest>,
    /// When an unhealthy container of it was replaced last.
    pub recreation: Recreation,
    /// Of a balancer: what the events said last.
    pub announced: Health,
}

/// Why a service is inactive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rest {
    /// `start_on_create: false`, and nobody has started it.
    NotStarted,
    /// Somebody stopped it.
    Stopped,
}

impl Service {
    /// It is to have containers.
    pub fn is_active(&self) -> bool {
        !self.removing && self.rest.is_none()
    }
    /// How many containers a replicated service is to have now.
    pub fn wanted(&self) -> u32 {
        if self.is_active() { self.scale } else { 0 }
    }
    pub fn is_global(&self) -> bool {
        self.spec.mode == ServiceMode::Global
    }
    /// `stack/service`, as people write it.
    pub fn path(&self) -> String {
        format!("{}/{}", self.stack, self.name)
    }
    /// Ports that take a port of the host a container runs on.
    pub fn host_ports(&self) -> impl Iterator<Item = HostPort> {
        self.spec.ports.iter().filter(|port| port.mode == PublishMode::Host).filter_map(HostPort::of)
    }
}

/// A published port: protocol and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostPort {
    pub protocol: Protocol,
    pub port: u16,
}

impl HostPort {
    pub fn of(port: &PortSpec) -> Option<HostPort> {
        port.published.map(|number| HostPort { protocol: port.protocol, port: number })
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol.name())
    }
}

/// A join token; its secret is known to nobody but who holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    pub uses_left: u32,
    pub expires_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiKey {
    pub name: String,
    pub created_ms: u64,
    /// It may declare what gives power over a host. Keys of a version without this right had all there was.
    #[serde(default = "yes")]
    pub host_access: bool,
}

fn yes() -> bool {
    true
}

impl State {
    pub fn host_state(&self, node_id: u32) -> HostState {
        self.live.get(&node_id).map_or(HostState::Joining, |live| live.state)
    }

    /// What ran there is placed elsewhere.
    pub fn is_lost(&self, node_id: u32) -> bool {
        self.live.get(&node_id).is_some_and(|live| live.is_lost)
    }

    pub fn is_avoided(&self, node_id: u32) -> bool {
        self.live.get(&node_id).is_some_and(|live| live.is_avoided)
    }

    pub fn node_by_name(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.values().find(|node| node.name.eq_ignore_ascii_case(name))
    }

    pub fn service(&self, stack: &str, name: &str) -> Option<&Arc<Service>> {
        self.services.values().find(|service| service.stack == stack && service.name == name)
    }

    pub fn services_of<'a>(&'a self, stack: &'a str) -> impl Iterator<Item = &'a Arc<Service>> {
        self.services.values().filter(move |service| service.stack == stack)
    }

    pub fn containers_of(&self, service_id: u32) -> impl Iterator<Item = &Arc<Container>> {
        self.containers.values().filter(move |container| container.service_id == service_id)
    }

    /// Changes one container in place; nothing happens when it is gone.
    pub fn edit_container(&mut self, name: &str, edit: impl FnOnce(&mut Container)) {
        if let Some(container) = self.containers.get_mut(name) {
            edit(Arc::make_mut(container));
        }
    }

    /// Remembers that something happened.
    pub fn record(&mut self, now_ms: u64, kind: &str, object: impl Into<String>, message: impl Into<String>) {
        let id = self.events.back().map_or(1, |last| last.id + 1);
        let (kind, object, message) = (kind.to_owned(), object.into(), message.into());
        self.events.push_back(Arc::new(Event { id, time: rfc3339(now_ms), kind, object, message }));
        while self.events.len() > EVENTS_MAX {
            self.events.pop_front();
        }
    }
}
