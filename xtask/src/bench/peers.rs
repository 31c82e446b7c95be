//! The peers, built by hand the way others build them: kernel VXLAN with a bridge per host, iptables DNAT.

use anyhow::Result;
use remuda_lab::netns;

fn words(netns: &str, line: &str) -> Result<String> {
    netns::output(netns, &line.split_whitespace().collect::<Vec<_>>())
}

/// Kernel VXLAN as flannel sets it up: per host a bridge, a vxlan device, a route to the other host's subnet.
pub struct KernelVxlan {
    hosts: [String; 2],
    /// Namespace names of the two "containers".
    pub containers: [String; 2],
}

impl KernelVxlan {
    /// `hosts`: namespace paths; `underlay`: their addresses.
    pub fn build(hosts: [&str; 2], underlay: [&str; 2]) -> Result<Self> {
        let pid = std::process::id();
        let containers = [0, 1].map(|i| format!("rmbench{pid}-{i}"));
        let built = Self { hosts: hosts.map(str::to_owned), containers };
        for i in 0..2 {
            built.container(i)?;
            built.device(i, underlay)?;
        }
        Ok(built)
    }

    pub fn netns(&self, i: usize) -> String {
        format!("/run/netns/{}", self.containers[i])
    }

    /// Address of the container on host `i`.
    pub fn address(i: usize) -> &'static str {
        ["10.99.1.2", "10.99.2.2"][i]
    }

    fn container(&self, i: usize) -> Result<()> {
        let (host, name, net) = (&self.hosts[i], &self.containers[i], i + 1);
        netns::add(name)?;
        words(host, "ip link add rmb-br type bridge")?;
        words(host, &format!("ip addr add 10.99.{net}.1/24 dev rmb-br"))?;
        words(host, "ip link set rmb-br mtu 1450 up")?;
        words(host, &format!("ip link add rmb-ve type veth peer name eth0 netns {name}"))?;
        words(host, "ip link set rmb-ve mtu 1450 master rmb-br up")?;
        let inner = self.netns(i);
        for line in [
            format!("ip addr add 10.99.{net}.2/24 dev eth0"),
            "ip link set eth0 mtu 1450 up".into(),
            format!("ip route add default via 10.99.{net}.1"),
        ] {
            words(&inner, &line)?;
        }
        Ok(())
    }

    fn device(&self, i: usize, underlay: [&str; 2]) -> Result<()> {
        let (host, other) = (&self.hosts[i], 1 - i);
        let (net, far) = (i + 1, other + 1);
        for line in [
            format!(
                "ip link add rmb-vx address 02:99:00:00:00:0{net} type vxlan id 99 dstport 8472 local {} nolearning",
                underlay[i]
            ),
            format!("ip addr add 10.99.{net}.0/32 dev rmb-vx"),
            "ip link set rmb-vx mtu 1450 up".into(),
            format!("bridge fdb append 02:99:00:00:00:0{far} dev rmb-vx dst {}", underlay[other]),
            format!("ip neigh add 10.99.{far}.0 lladdr 02:99:00:00:00:0{far} dev rmb-vx nud permanent"),
            format!("ip route add 10.99.{far}.0/24 via 10.99.{far}.0 dev rmb-vx onlink"),
            "sysctl -qw net.ipv4.ip_forward=1".into(),
        ] {
            words(host, &line)?;
        }
        Ok(())
    }
}

impl Drop for KernelVxlan {
    fn drop(&mut self) {
        for i in 0..2 {
            // Best effort: the lab's own teardown removes the host namespaces and all in them.
            let _ = words(&self.hosts[i], "ip link del rmb-vx");
            let _ = words(&self.hosts[i], "ip link del rmb-br");
            let _ = netns::delete(&self.containers[i]);
        }
    }
}

/// One DNAT rule as kube-proxy's iptables mode writes it, in the client's namespace; removed when dropped.
pub struct IptablesDnat {
    netns: String,
}

impl IptablesDnat {
    /// `vip` (tcp, `port`) leads to the same port of `backend`.
    pub fn install(netns: &str, vip: &str, port: u16, backend: &str) -> Result<Self> {
        let this = Self { netns: netns.into() };
        for line in [
            "iptables -t nat -N RM-SVC".to_owned(),
            "iptables -t nat -N RM-SEP".into(),
            "iptables -t nat -A OUTPUT -j RM-SVC".into(),
            format!("iptables -t nat -A RM-SVC -d {vip}/32 -p tcp --dport {port} -j RM-SEP"),
            format!("iptables -t nat -A RM-SEP -p tcp -j DNAT --to-destination {backend}:{port}"),
        ] {
            words(netns, &line)?;
        }
        Ok(this)
    }
}

impl Drop for IptablesDnat {
    fn drop(&mut self) {
        for line in [
            "iptables -t nat -D OUTPUT -j RM-SVC",
            "iptables -t nat -F RM-SVC",
            "iptables -t nat -F RM-SEP",
            "iptables -t nat -X RM-SVC",
            "iptables -t nat -X RM-SEP",
        ] {
            let _ = words(&self.netns, line);
        }
    }
}
