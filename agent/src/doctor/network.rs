//! The network of this host: uplinks, routes, settings, and what else sits on the interfaces.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;

use super::{Finding, Section};

const SECTION: Section = Section("network");

/// What the tunnel adds to a packet.
const TUNNEL_BYTES: u32 = 50;
/// Smaller ones make every packet expensive, and some programs fail.
const MTU_MIN_BYTES: u32 = 1_280;
/// Source ports of translated connections begin here; the host's own should end before.
const SNAT_FIRST_PORT: u32 = 61_000;

#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Errors say which option helps.
    pub uplinks: Option<Result<Vec<Uplink>, String>>,
    pub underlay_ip: Option<Ipv4Addr>,
    /// What containers and VIPs get their addresses from.
    pub pools: Vec<Ipv4Network>,
    /// Of this host, without our own and the default route.
    pub routes: Vec<Ipv4Network>,
    /// What the fleet gives endpoints, where an agent has an assignment; bytes.
    pub endpoint_mtu: Option<u32>,
    /// By name below /proc/sys.
    pub settings: BTreeMap<String, String>,
    pub has_nft: bool,
    pub has_docker_rules: bool,
    pub has_iptables: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Uplink {
    pub name: String,
    pub mtu: u32,
    /// Generic receive offload; None = not known.
    pub has_gro: Option<bool>,
    /// The id of an XDP program on it.
    pub xdp: Option<u32>,
    /// Names of others' tc programs on it.
    pub foreign_tc: Vec<String>,
}

impl Facts {
    pub fn uplink_names(&self) -> Vec<String> {
        self.uplinks().iter().map(|uplink| uplink.name.clone()).collect()
    }

    fn uplinks(&self) -> &[Uplink] {
        match &self.uplinks {
            Some(Ok(uplinks)) => uplinks,
            _ => &[],
        }
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }
}

pub fn judge(facts: &Facts, is_agent_here: bool) -> Vec<Finding> {
    let mut findings = vec![uplinks(facts)];
    findings.extend(facts.uplinks().iter().flat_map(|uplink| one(uplink, facts.endpoint_mtu)));
    findings.push(pools(facts));
    findings.extend(forwarding(facts, is_agent_here));
    findings.extend(rp_filter(facts));
    findings.extend(own_ports(facts));
    findings.push(tools(facts));
    findings.push(trust(facts));
    findings
}

fn uplinks(facts: &Facts) -> Finding {
    match &facts.uplinks {
        Some(Ok(uplinks)) => {
            let names: Vec<&str> = uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
            let ip = facts.underlay_ip.map(|ip| ip.to_string()).unwrap_or_default();
            SECTION.ok("uplinks", format!("{} with {ip}", names.join(", ")))
        }
        Some(Err(why)) => {
            SECTION.fail("uplinks", why, "give --uplink INTERFACE and --advertise IP, here and to the agent")
        }
        None => SECTION.warn("uplinks", "the interfaces could not be listed", "sudo remuda doctor"),
    }
}

fn one(uplink: &Uplink, endpoint_mtu: Option<u32>) -> Vec<Finding> {
    let mut findings = vec![mtu(uplink, endpoint_mtu)];
    let name = &uplink.name;
    if uplink.has_gro == Some(false) {
        findings.push(SECTION.warn(
            "offloads",
            format!(
                "{name}: GRO is off: tunnel traffic is handled packet by packet, at about two thirds of the throughput"
            ),
            format!("ethtool -K {name} gro on"),
        ));
    }
    if let Some(id) = uplink.xdp {
        findings.push(SECTION.warn(
            "xdp",
            format!("{name}: an XDP program of somebody else (id {id}) sees every packet before we do"),
            format!("`bpftool prog show id {id}` says whose; `ip link set dev {name} xdp off` removes it"),
        ));
    }
    if !uplink.foreign_tc.is_empty() {
        let programs = uplink.foreign_tc.join(", ");
        findings.push(SECTION.warn(
            "tc",
            format!("{name}: tc programs of somebody else run in the same chain: {programs}"),
            format!("`bpftool net show dev {name}` says whose; two overlays on one interface get in each other's way"),
        ));
    }
    findings
}

fn mtu(uplink: &Uplink, endpoint_mtu: Option<u32>) -> Finding {
    let Uplink { name, mtu, .. } = uplink;
    let own = mtu.saturating_sub(TUNNEL_BYTES);
    match endpoint_mtu {
        Some(fleet) if fleet > own => SECTION.fail(
            "mtu",
            format!(
                "{name}: MTU {mtu}, and the fleet's containers send {fleet} bytes plus {TUNNEL_BYTES} of the tunnel"
            ),
            format!(
                "ip link set dev {name} mtu {}; or restart the agent, which tells the fleet of the smaller one",
                fleet + TUNNEL_BYTES
            ),
        ),
        Some(fleet) if fleet < own => SECTION.warn(
            "mtu",
            format!(
                "{name}: MTU {mtu}, but containers get {fleet}: another host's uplink has {}",
                fleet + TUNNEL_BYTES
            ),
            format!("raise the others' to {mtu} if their network carries it"),
        ),
        _ if *mtu < MTU_MIN_BYTES => SECTION.warn(
            "mtu",
            format!("{name}: MTU {mtu} leaves {own} bytes to containers"),
            format!("ip link set dev {name} mtu 1500, if its network carries it"),
        ),
        _ => SECTION.ok("mtu", format!("{name}: MTU {mtu}, so containers get at most {own}")),
    }
}

fn pools(facts: &Facts) -> Finding {
    let clash = facts.pools.iter().find_map(|pool| {
        let route = facts.routes.iter().find(|route| overlap(pool, route))?;
        Some((pool, route))
    });
    match clash {
        Some((pool, route)) => SECTION.fail(
            "pools",
            format!("pool {pool} overlaps a route of this host, {route}: such a host is refused"),
            "give the server other pools at its first start: --overlay-pool and --vip-pool",
        ),
        None => {
            let pools: Vec<String> = facts.pools.iter().map(ToString::to_string).collect();
            SECTION.ok("pools", format!("no route of this host overlaps {}", pools.join(", ")))
        }
    }
}

fn overlap(one: &Ipv4Network, other: &Ipv4Network) -> bool {
    one.contains(other.network()) || other.contains(one.network())
}

fn forwarding(facts: &Facts, is_agent_here: bool) -> Option<Finding> {
    Some(match (facts.setting("net/ipv4/ip_forward")?, is_agent_here) {
        ("1", _) => SECTION.ok("ip_forward", "on"),
        (_, false) => SECTION.ok("ip_forward", "off; the agent turns it on"),
        (_, true) => SECTION.fail(
            "ip_forward",
            "somebody has turned it off: containers do not reach the outside",
            "look for net.ipv4.ip_forward=0 in /etc/sysctl.d; the agent turns it on again when it starts",
        ),
    })
}

/// The stricter of the two settings counts (kernel, ip-sysctl). What enters by remuda0 passes a strict one; with
/// several uplinks an answer may come in where it would not go out.
fn rp_filter(facts: &Facts) -> Option<Finding> {
    let of = |name: &str| {
        facts.setting(&format!("net/ipv4/conf/{name}/rp_filter")).and_then(|value| value.parse::<u8>().ok())
    };
    let all = of("all")?;
    let names = facts.uplink_names();
    let strict: Vec<&String> = names.iter().filter(|name| of(name).map_or(all, |own| own.max(all)) == 1).collect();
    Some(match (strict.as_slice(), names.len()) {
        ([], _) => SECTION.ok("rp_filter", "not strict on the uplinks"),
        ([_], 0..=1) => SECTION.ok("rp_filter", "strict, which our traffic passes"),
        (strict, _) => {
            let names: Vec<&str> = strict.iter().map(|name| name.as_str()).collect();
            SECTION.warn(
                "rp_filter",
                format!("strict on {}: what another host sends over the other uplink is dropped", names.join(", ")),
                "sysctl -w net.ipv4.conf.all.rp_filter=2 (loose; and a line in /etc/sysctl.d)",
            )
        }
    })
}

/// The range the host takes source ports from.
fn own_ports(facts: &Facts) -> Option<Finding> {
    let text = facts.setting("net/ipv4/ip_local_port_range")?;
    let mut words = text.split_whitespace();
    let (low, high): (u32, u32) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(match high >= SNAT_FIRST_PORT {
        true => SECTION.warn(
            "port-range",
            format!("the host's own connections use ports {low} to {high}, which containers' connections to the outside use from {SNAT_FIRST_PORT} on"),
            format!("sysctl -w net.ipv4.ip_local_port_range=\"{low} {}\" (and a line in /etc/sysctl.d)", SNAT_FIRST_PORT - 1),
        ),
        false => SECTION.ok("port-range", format!("the host's own connections use ports {low} to {high}")),
    })
}

fn tools(facts: &Facts) -> Finding {
    match (facts.has_nft, facts.has_docker_rules && !facts.has_iptables) {
        (false, _) => SECTION.fail(
            "nft",
            "the program nft is missing: containers do not reach the outside",
            "apt install nftables",
        ),
        (true, true) => SECTION.fail(
            "iptables",
            "Docker's chain DOCKER-USER is here, and the program iptables, which puts our rule there, is not",
            "apt install iptables",
        ),
        (true, false) => SECTION.ok("nft", "the programs that write rules are there"),
    }
}

fn trust(facts: &Facts) -> Finding {
    let place = match facts.underlay_ip {
        Some(ip) if !is_private(ip) => format!("{ip} is a public address, and the tunnel"),
        _ => "the tunnel".to_owned(),
    };
    SECTION.warn(
        "trust",
        format!("{place} believes source addresses: whoever can send UDP 4789 in a host's name gets packets into the overlay"),
        "let only the fleet's hosts reach UDP 4789 and 8445 of each other: a network of their own, or a filter in front of it",
    )
}

fn is_private(ip: Ipv4Addr) -> bool {
    let is_shared = ip.octets()[0] == 100 && (64..128).contains(&ip.octets()[1]);
    ip.is_private() || ip.is_link_local() || ip.is_loopback() || ip.is_documentation() || is_shared
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::tests::troubles;
    use super::*;

    const TRUST: (Verdict, &str) = (Verdict::Warn, "trust");

    fn uplink() -> Uplink {
        Uplink { name: "eth0".into(), mtu: 1500, has_gro: Some(true), ..Uplink::default() }
    }

    fn good() -> Facts {
        let settings = [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/eth0/rp_filter", "1"),
            ("net/ipv4/ip_local_port_range", "32768\t60999"),
        ];
        Facts {
            uplinks: Some(Ok(vec![uplink()])),
            underlay_ip: Some(Ipv4Addr::new(192, 168, 1, 5)),
            pools: vec!["10.42.0.0/16".parse().expect("a pool")],
            routes: vec!["192.168.1.0/24".parse().expect("a route")],
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            has_nft: true,
            ..Facts::default()
        }
    }

    fn with(name: &str, value: &str) -> Facts {
        let mut facts = good();
        facts.settings.insert(name.into(), value.into());
        facts
    }

    #[test]
    fn a_plain_host_is_told_only_whom_the_tunnel_trusts() {
        assert_eq!(troubles(&judge(&good(), true)), [TRUST]);
        assert_eq!(troubles(&judge(&with("net/ipv4/ip_forward", "0"), false)), [TRUST], "the agent turns it on");
    }

    #[test]
    fn each_thing_in_the_way_is_named() {
        let of = |uplink: Uplink| Facts { uplinks: Some(Ok(vec![uplink])), ..good() };
        let two = vec![uplink(), Uplink { name: "eth1".into(), ..uplink() }];
        let routes = |route: &str| Facts { routes: vec![route.parse().expect("a route")], ..good() };
        for (facts, trouble) in [
            (Facts { uplinks: Some(Err("no default route".into())), ..good() }, (Verdict::Fail, "uplinks")),
            (of(Uplink { mtu: 1200, ..uplink() }), (Verdict::Warn, "mtu")),
            (Facts { endpoint_mtu: Some(8950), ..good() }, (Verdict::Fail, "mtu")),
            (Facts { endpoint_mtu: Some(1350), ..good() }, (Verdict::Warn, "mtu")),
            (of(Uplink { has_gro: Some(false), ..uplink() }), (Verdict::Warn, "offloads")),
            (of(Uplink { xdp: Some(7), ..uplink() }), (Verdict::Warn, "xdp")),
            (of(Uplink { foreign_tc: vec!["cil_from_netdev".into()], ..uplink() }), (Verdict::Warn, "tc")),
            (routes("10.42.7.0/24"), (Verdict::Fail, "pools")),
            (routes("10.0.0.0/8"), (Verdict::Fail, "pools")),
            (with("net/ipv4/ip_forward", "0"), (Verdict::Fail, "ip_forward")),
            (with("net/ipv4/ip_local_port_range", "1024 65535"), (Verdict::Warn, "port-range")),
            (Facts { uplinks: Some(Ok(two)), ..good() }, (Verdict::Warn, "rp_filter")),
            (Facts { has_nft: false, ..good() }, (Verdict::Fail, "nft")),
            (Facts { has_docker_rules: true, ..good() }, (Verdict::Fail, "iptables")),
        ] {
            assert_eq!(troubles(&judge(&facts, true)), [trouble, TRUST]);
        }
    }

    #[test]
    fn a_public_address_is_said_to_be_one() {
        let said = |ip: [u8; 4]| trust(&Facts { underlay_ip: Some(ip.into()), ..good() }).message;
        assert!(said([198, 51, 7, 7]).contains("public"));
        assert!(!said([10, 0, 0, 7]).contains("public") && !said([100, 64, 0, 1]).contains("public"));
    }
}
