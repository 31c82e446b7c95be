//! What every name means on this host, and who may ask: immutable, built whole from the assignment, swapped by pointer.
//!
//! Names are kept in lower case as bytes, the form in which a question's labels are looked up. Visibility is decided
//! here once: a stack's services are found by `service.stack` by every asker of the environment; bare service names by
//! askers of the same stack or on a shared network; aliases by askers on the network that carries them.

use std::collections::{HashMap, HashSet};
use std::fmt::Arguments;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use remuda_api::assignment::{Assignment, Container, Endpoint, Service as ServiceRecord};

/// A fleet's names as one host answers them.
///
/// `View::default()` knows no asker, so every query is dropped until a real view is published.
#[derive(Default)]
pub struct View {
    pub(crate) generation: u64,
    pub(crate) host: String,
    pub(crate) environment: Label,
    pub(crate) dns_ip: Option<IpAddr>,
    services: Vec<Service>,
    /// Stack → names in it.
    stacks: HashMap<Label, Stack>,
    /// Full network name → bare name (service or alias) → services.
    networks: HashMap<Label, HashMap<Label, Vec<usize>>>,
    /// Container name → its address while it serves.
    containers: HashMap<Label, Option<IpAddr>>,
    /// Address → full name without the final dot.
    reverse: HashMap<IpAddr, String>,
    askers: HashMap<IpAddr, Asker>,
    pools: Vec<IpNetwork>,
    complaints: Vec<String>,
}

/// A name or part of one: lower case, no dots.
pub(crate) type Label = Box<[u8]>;

/// What the agent knows that the assignment does not say.
#[derive(Clone, Debug, Default)]
pub struct Local {
    /// Further addresses from which this host itself may ask.
    pub host_ips: Vec<IpAddr>,
    /// Endpoint ids known here to be dead or unhealthy, whatever `serving` says: they leave names at once.
    pub gone: HashSet<u32>,
}

/// Who sent a query: decides which bare names it sees and whether it may ask about the world outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// `None` for the host itself.
    pub(crate) stack: Option<Label>,
    pub(crate) networks: Vec<Label>,
    /// May not learn anything from outside the fleet.
    pub(crate) is_internal: bool,
}

/// A service's addresses.
#[derive(Debug, Default)]
pub(crate) struct Service {
    pub(crate) vip: Option<IpAddr>,
    pub(crate) answers_vip: bool,
    /// Of serving members, each once, in endpoint order; of an external service, what it leads to.
    pub(crate) members: Vec<IpAddr>,
    /// The name outside of the fleet that an external service leads to, without the final dot.
    pub(crate) alias: Option<String>,
}

#[derive(Default)]
struct Stack {
    services: HashMap<Label, usize>,
    containers: HashSet<Label>,
}

impl View {
    /// The view of `assignment`. Records that cannot be read are left out and named in [`View::complaints`]: one bad
    /// record must not take a host's names away.
    pub fn build(assignment: &Assignment, local: &Local) -> View {
        let mut view = View { generation: assignment.generation, ..View::default() };
        view.take_fleet(assignment);
        let position = view.take_services(&assignment.services);
        for endpoint in &assignment.endpoints {
            view.take_endpoint(endpoint, &position, &assignment.services, local);
        }
        view.take_host_askers(assignment, local);
        let no_egress = assignment.environment.as_ref().is_some_and(|environment| environment.no_egress);
        for container in &assignment.containers {
            view.take_asker(container, no_egress);
        }
        view
    }

    /// The store revision this view reflects.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Records that were left out, each with its reason.
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// Who asks from `ip`; `None` = nobody we know, do not answer.
    pub fn asker(&self, ip: IpAddr) -> Option<&Asker> {
        static HOST: Asker = Asker { stack: None, networks: Vec::new(), is_internal: false };
        let ip = ip.to_canonical();
        let fleet_is_known = !self.environment.is_empty();
        self.askers.get(&ip).or_else(|| (fleet_is_known && ip.is_loopback()).then_some(&HOST))
    }

    pub(crate) fn has_stack(&self, stack: &[u8]) -> bool {
        self.stacks.contains_key(stack)
    }

    pub(crate) fn service(&self, name: &[u8], stack: &[u8]) -> Option<&Service> {
        self.stacks.get(stack)?.services.get(name).map(|at| &self.services[*at])
    }

    /// Services that `asker` means by `name` alone: its own stack's first, else all on its networks.
    pub(crate) fn bare_services(&self, asker: &Asker, name: &[u8]) -> Vec<&Service> {
        let own = asker.stack.as_deref().and_then(|stack| self.service(name, stack));
        own.map_or_else(|| self.networked_services(asker, name), |service| vec![service])
    }

    fn networked_services(&self, asker: &Asker, name: &[u8]) -> Vec<&Service> {
        let mut at: Vec<usize> = Vec::new();
        for names in asker.networks.iter().filter_map(|network| self.networks.get(network)) {
            at.extend(names.get(name).into_iter().flatten());
        }
        at.sort_unstable();
        at.dedup();
        at.into_iter().map(|at| &self.services[at]).collect()
    }

    /// The container's address while it serves (inner), if there is such a container (outer).
    pub(crate) fn container(&self, name: &[u8]) -> Option<Option<IpAddr>> {
        self.containers.get(name).copied()
    }

    pub(crate) fn container_of(&self, name: &[u8], stack: &[u8]) -> Option<Option<IpAddr>> {
        self.stacks.get(stack)?.containers.get(name).and_then(|name| self.container(name))
    }

    /// Full name at `ip`, without the final dot.
    pub(crate) fn name_of(&self, ip: IpAddr) -> Option<&str> {
        self.reverse.get(&ip).map(String::as_str)
    }

    /// The fleet pool that holds `ip`.
    pub(crate) fn pool_of(&self, ip: IpAddr) -> Option<IpNetwork> {
        self.pools.iter().find(|pool| pool.contains(ip)).copied()
    }

    fn take_fleet(&mut self, assignment: &Assignment) {
        self.host = assignment.own_node().map(|node| node.name.clone()).unwrap_or_default();
        let named = assignment.environment.as_ref().map(|environment| environment.name.as_str());
        self.environment = label(named.filter(|name| !name.is_empty()).unwrap_or("default"));
        let Some(fleet) = &assignment.fleet else { return };
        self.dns_ip = self.read(format_args!("fleet dns_ip"), &fleet.dns_ip);
        for pool in fleet.overlay_pools.iter().chain(&fleet.vip_pools) {
            match pool.parse() {
                Ok(pool) => self.pools.push(pool),
                Err(cause) => self.complaints.push(format!("fleet pool `{pool}`: {cause}")),
            }
        }
    }

    /// Service id → position in `self.services`.
    fn take_services(&mut self, records: &[ServiceRecord]) -> HashMap<u32, usize> {
        let mut position = HashMap::with_capacity(records.len());
        for record in records {
            let at = self.services.len();
            let vip = self.read(format_args!("VIP of {}/{}", record.stack, record.name), &record.vip);
            let mut members: Vec<IpAddr> = Vec::new();
            for text in &record.addresses {
                let ip = self.read(format_args!("address of {}/{}", record.stack, record.name), text);
                members.extend(ip.filter(|ip| !members.contains(ip)));
            }
            let alias = Some(record.hostname.trim_end_matches('.').to_owned()).filter(|name| !name.is_empty());
            self.services.push(Service { vip, answers_vip: record.endpoint_mode == "vip", members, alias });
            position.insert(record.id, at);
            self.stacks.entry(label(&record.stack)).or_default().services.insert(label(&record.name), at);
            for attachment in &record.networks {
                let names = self.networks.entry(label(&attachment.network)).or_default();
                for name in attachment.aliases.iter().chain([&record.name]) {
                    names.entry(label(name)).or_default().push(at);
                }
            }
            if let Some(vip) = vip {
                let name = self.full_name(&format!("vip.{}", record.name), &record.stack);
                self.reverse.insert(vip, name);
            }
        }
        position
    }

    fn take_endpoint(
        &mut self,
        endpoint: &Endpoint,
        position: &HashMap<u32, usize>,
        services: &[ServiceRecord],
        local: &Local,
    ) {
        let ip = self.read(format_args!("address of container {}", endpoint.name), &endpoint.ip);
        let answered = ip.filter(|_| endpoint.serving && !endpoint.draining && !local.gone.contains(&endpoint.id));
        self.containers.insert(label(&endpoint.name), answered);
        let Some(&at) = position.get(&endpoint.service_id) else {
            let (name, service) = (&endpoint.name, endpoint.service_id);
            self.complaints.push(format!("container {name}: its service id {service} is not in the assignment"));
            return;
        };
        let stack = &services[at].stack;
        self.stacks.entry(label(stack)).or_default().containers.insert(label(&endpoint.name));
        if let Some(ip) = ip.filter(|_| !endpoint.host_network) {
            let name = self.full_name(&endpoint.name, stack);
            self.reverse.insert(ip, name);
        }
        let members = &mut self.services[at].members;
        // Overlay addresses are unique; only members on their host's network may share one.
        members.extend(answered.filter(|ip| !endpoint.host_network || !members.contains(ip)));
    }

    fn take_host_askers(&mut self, assignment: &Assignment, local: &Local) {
        let mut ips = local.host_ips.clone();
        ips.extend(self.dns_ip);
        if let Some(node) = assignment.own_node() {
            for text in node.frontend_ips.iter().chain([&node.underlay_ip]) {
                ips.extend(self.read(format_args!("address of this host"), text));
            }
            ips.extend(node.blocks.first().and_then(|block| first_address(block)));
        }
        self.askers.extend(ips.into_iter().map(|ip| (ip.to_canonical(), Asker::default())));
    }

    fn take_asker(&mut self, container: &Container, no_egress: bool) {
        let Some(ip) = self.read(format_args!("address of container {}", container.name), &container.ip) else {
            return;
        };
        let asker = Asker {
            stack: Some(label(&container.stack)),
            networks: container.networks.iter().map(|network| label(network)).collect(),
            is_internal: container.internal || no_egress,
        };
        self.askers.insert(ip, asker);
    }

    /// `text` as an address; empty = none, unreadable = none and a complaint.
    fn read(&mut self, what: Arguments, text: &str) -> Option<IpAddr> {
        if text.is_empty() {
            return None;
        }
        text.parse().inspect_err(|_| self.complaints.push(format!("{what}: `{text}` is no address"))).ok()
    }

    fn full_name(&self, name: &str, stack: &str) -> String {
        let environment = String::from_utf8_lossy(&self.environment);
        format!("{name}.{stack}.{environment}.{ZONE}").to_ascii_lowercase()
    }
}

/// The zone under which every fleet name has its full form.
pub const ZONE: &str = "remuda.internal";

fn label(text: &str) -> Label {
    text.to_ascii_lowercase().into_bytes().into_boxed_slice()
}

/// The host endpoint's: the first address behind the block's own.
fn first_address(block: &str) -> Option<IpAddr> {
    match block.parse::<IpNetwork>().ok()? {
        IpNetwork::V4(block) => block.nth(1).map(IpAddr::V4),
        IpNetwork::V6(block) => block.nth(1).map(IpAddr::V6),
    }
}
