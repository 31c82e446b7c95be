//! The physical network of a lab: one switch, a cable per host, an outside client, and a cable to this machine.

use crate::netns;
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;

/// Names and addresses of a lab's machines; pure, so that cleaning up finds all of it without a file.
#[derive(Clone, Debug)]
pub struct Underlay {
    /// Begins every namespace of the lab: `remuda` or `remuda-NAME`.
    pub prefix: String,
    /// Third octet of 192.168.X.0/24.
    pub subnet: u8,
}

/// First subnet tried; a lab whose subnet is taken on this machine moves up.
const FIRST_SUBNET: u8 = 77;
const SUBNETS: u8 = 100;
/// Last octet of host `h1` less one; leaves the low addresses to whoever needs a gateway.
const HOST_BASE: usize = 10;
const CLIENT: u8 = 250;
const MACHINE: u8 = 254;
/// An address behind the client: "the internet" for containers that leave the fleet.
pub const BEYOND: &str = "198.51.100.1";
/// The most hosts: 64 programs per cgroup and type is the kernel's limit.
pub const HOSTS_LIMIT: usize = 50;

impl Underlay {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), subnet: FIRST_SUBNET }
    }

    pub fn switch(&self) -> String {
        format!("{}-switch", self.prefix)
    }

    pub fn client(&self) -> String {
        format!("{}-client", self.prefix)
    }

    pub fn host(&self, index: usize) -> String {
        format!("{}-{}", self.prefix, host_name(index))
    }

    pub fn host_ip(&self, index: usize) -> String {
        self.ip(HOST_BASE + 1 + index)
    }

    pub fn client_ip(&self) -> String {
        self.ip(CLIENT.into())
    }

    fn ip(&self, last: usize) -> String {
        format!("192.168.{}.{last}", self.subnet)
    }

    /// This machine's interface on the lab's underlay; at most 15 characters.
    pub fn machine_link(&self) -> String {
        let hash = self.prefix.bytes().fold(0u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        format!("rlab{hash:08x}")
    }

    /// Whether a namespace of this name is of this lab, and not of one whose name begins alike.
    pub fn owns(&self, namespace: &str) -> bool {
        let rest = namespace.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('-'));
        rest.is_some_and(|rest| rest == "switch" || rest == "client" || is_host_name(rest))
    }

    /// Makes switch, client and `hosts` machines; picks a subnet this machine does not use.
    pub fn build(&mut self, hosts: usize) -> Result<()> {
        if hosts == 0 || hosts > HOSTS_LIMIT {
            bail!("a lab has 1 to {HOSTS_LIMIT} hosts, not {hosts}");
        }
        self.subnet = free_subnet()?;
        let switch = self.switch();
        netns::add(&switch)?;
        netns::ip(&[
            "-n",
            &switch,
            "link",
            "add",
            "br0",
            "type",
            "bridge",
            "forward_delay",
            "0",
            "mcast_snooping",
            "0",
        ])?;
        netns::ip(&["-n", &switch, "link", "set", "br0", "up"])?;
        for index in 0..hosts {
            self.plug(&host_name(index), &self.host(index), &self.host_ip(index))?;
            let gateway = self.client_ip();
            netns::ip(&["-n", &self.host(index), "route", "add", "default", "via", &gateway])?;
        }
        self.plug("client", &self.client(), &self.client_ip())?;
        netns::ip(&["-n", &self.client(), "address", "add", &format!("{BEYOND}/32"), "dev", "lo"])?;
        self.plug_machine()
    }

    /// The client, every host's way out, says at once that it leads nowhere: an engine that looks for a registry is told,
    /// instead of waiting for a name server that nothing leads to.
    pub fn answer_that_nothing_is_beyond(&self) -> Result<()> {
        let client = self.client();
        // Told once a second, a resolver that asks for two addresses at a time would wait for the rest.
        let settings = [("ip_forward", "1"), ("icmp_ratelimit", "0")];
        let set = |(name, value): (&str, &str)| fs::write(format!("/proc/sys/net/ipv4/{name}"), value);
        netns::inside(&client, || settings.into_iter().try_for_each(set))?.context("settings of the client")?;
        // The one refusal without a route that ends a wait for a datagram (ICMP type 3, code 13).
        netns::ip(&["-n", &client, "route", "add", "prohibit", "default"])
    }

    /// A machine in a namespace of its own with `eth0` on the switch's port `port`.
    fn plug(&self, port: &str, namespace: &str, ip: &str) -> Result<()> {
        let switch = self.switch();
        netns::add(namespace)?;
        netns::inside(namespace, set_debian_sysctls)??;
        netns::ip(&["-n", &switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace])?;
        netns::ip(&["-n", &switch, "link", "set", port, "master", "br0", "up"])?;
        netns::ip(&["-n", namespace, "address", "add", &format!("{ip}/24"), "dev", "eth0"])?;
        netns::ip(&["-n", namespace, "link", "set", "eth0", "up"])
    }

    /// This machine on the switch as well, so that `remuda` and a browser here reach the lab's API.
    fn plug_machine(&self) -> Result<()> {
        let (switch, link) = (self.switch(), self.machine_link());
        netns::ip(&["link", "add", &link, "type", "veth", "peer", "name", "machine", "netns", &switch])?;
        netns::ip(&["-n", &switch, "link", "set", "machine", "master", "br0", "up"])?;
        netns::ip(&["address", "add", &format!("{}/24", self.ip(MACHINE.into())), "dev", &link])?;
        netns::ip(&["link", "set", &link, "up"])
    }
}

/// `h1` for index 0.
pub fn host_name(index: usize) -> String {
    format!("h{}", index + 1)
}

pub fn is_host_name(name: &str) -> bool {
    name.strip_prefix('h').is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a fresh Debian 12 has: no forwarding, loose reverse-path filter (systemd's 50-default.conf).
/// A new namespace would take this machine's present values instead.
fn set_debian_sysctls() -> Result<()> {
    let values =
        [("ip_forward", "0"), ("conf/all/rp_filter", "0"), ("conf/default/rp_filter", "2"), ("conf/lo/rp_filter", "2")];
    for (name, value) in values {
        let path = format!("/proc/sys/net/ipv4/{name}");
        fs::write(&path, value).with_context(|| format!("writing {path}"))?;
    }
    Ok(())
}

/// A 192.168.X.0/24 that no address and no route of this machine touches.
fn free_subnet() -> Result<u8> {
    let out = Command::new("ip").args(["-4", "route", "show", "table", "all"]).output().context("cannot start `ip`")?;
    let routes = String::from_utf8_lossy(&out.stdout).into_owned();
    let is_free = |subnet: &u8| !routes.contains(&format!("192.168.{subnet}."));
    let found = (FIRST_SUBNET..FIRST_SUBNET + SUBNETS).find(is_free);
    found.context("every subnet from 192.168.77.0/24 to 192.168.176.0/24 is in use on this machine; end other labs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_owns_its_own_namespaces_and_no_other_labs() {
        let default = Underlay::new("remuda");
        assert!(default.owns("remuda-h1") && default.owns("remuda-switch") && default.owns("remuda-client"));
        assert!(!default.owns("remuda-t1-h1") && !default.owns("remuda-hx") && !default.owns("other-h1"));
    }

    #[test]
    fn interface_names_fit_the_kernels_limit_and_differ() {
        let (one, two) = (Underlay::new("remuda-t1").machine_link(), Underlay::new("remuda-t2").machine_link());
        assert!(one.len() <= 15 && one != two);
    }
}
