//! Foreign rules that would drop our traffic: nftables (and iptables on top of it) and the older iptables.
//!
//! Tunnel packets and traffic to published ports are taken at the interface before any rule sees them; what the host's
//! own stack receives or forwards is not. A packet of each kind is led through the rules as the kernel would.

pub mod legacy;
pub mod nft;
mod walk;

use remuda_abi::addr::{API_PORT, GOSSIP_PORT};

use super::{Finding, Section, Verdict};
pub use walk::{Action, Base, Chain, Fate, Packet, Rule, Ruleset, Test, walk};

const SECTION: Section = Section("network");
/// Ours, and leads through nothing that drops.
const OUR_TABLES: &str = "remuda_";
/// The host's own endpoint: what hosts and containers send each other comes and goes by it.
const HOST_DEVICE: &str = "remuda0";
/// Where the agent puts a rule of its own.
const DOCKER_CHAIN: &str = "DOCKER-USER";
/// What containers do outside, as an example.
const HTTPS_PORT: u16 = 443;

#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// None = the rules could not be read; then why.
    pub ruleset: Option<Ruleset>,
    pub unread: String,
    /// The server listens on this host.
    pub is_server_here: bool,
    /// `ufw` or `firewalld`, whose commands change the rules; empty = neither.
    pub manager: String,
}

impl Facts {
    /// Docker manages rules here, and has a chain for those of others.
    pub fn has_docker_rules(&self) -> bool {
        self.ruleset.as_ref().is_some_and(|ruleset| ruleset.chains.iter().any(|chain| chain.name == DOCKER_CHAIN))
    }
}

pub fn judge(facts: &Facts, uplinks: &[String], is_agent_here: bool) -> Vec<Finding> {
    let Some(ruleset) = &facts.ruleset else {
        let why = if facts.unread.is_empty() { "were not read" } else { &facts.unread };
        return vec![SECTION.warn(
            "firewall",
            format!("the rules {why}"),
            "apt install nftables, then sudo remuda doctor",
        )];
    };
    let foreign = Ruleset {
        chains: ruleset.chains.iter().filter(|chain| !chain.table.starts_with(OUR_TABLES)).cloned().collect(),
    };
    let uplink = uplinks.first().map_or("eth0", String::as_str);
    let mut findings: Vec<Finding> = wants(uplink, facts.is_server_here)
        .iter()
        .filter_map(|want| troubled(want, &foreign, facts, is_agent_here))
        .collect();
    if findings.is_empty() {
        let count = foreign.chains.iter().filter(|chain| chain.base.is_some()).count();
        findings.push(SECTION.ok("firewall", format!("nothing in {count} foreign chains drops our traffic")));
    }
    findings
}

/// A packet that has to get through, and what it means if it does not.
struct Want {
    check: &'static str,
    packet: Packet,
    verdict: Verdict,
    meaning: &'static str,
    /// `8445/udp`; empty = it is not about a port.
    port: String,
}

fn wants(uplink: &str, is_server_here: bool) -> Vec<Want> {
    let input = |iif: &str, protocol: &str, port: Option<u16>| Packet::input(iif, protocol, port);
    let port = |port: u16, protocol: &str| format!("{port}/{protocol}");
    let mut wants = vec![
        Want {
            check: "firewall-gossip",
            packet: input(uplink, "udp", Some(GOSSIP_PORT)),
            verdict: Verdict::Fail,
            meaning: "hosts do not hear each other, and a silent agent is taken for a dead host",
            port: port(GOSSIP_PORT, "udp"),
        },
        Want {
            check: "firewall-overlay",
            packet: input(HOST_DEVICE, "icmp", None),
            verdict: Verdict::Warn,
            meaning: "witnesses' probes of this host are not answered",
            port: String::new(),
        },
        Want {
            check: "firewall-forward",
            packet: Packet::forward(HOST_DEVICE, uplink, "tcp", Some(HTTPS_PORT)),
            verdict: Verdict::Fail,
            meaning: "containers do not reach the outside",
            port: String::new(),
        },
    ];
    if is_server_here {
        wants.push(Want {
            check: "firewall-api",
            packet: input(uplink, "tcp", Some(API_PORT)),
            verdict: Verdict::Fail,
            meaning: "no host and nobody else reaches the server here",
            port: port(API_PORT, "tcp"),
        });
    }
    wants
}

fn troubled(want: &Want, ruleset: &Ruleset, facts: &Facts, is_agent_here: bool) -> Option<Finding> {
    let (by, is_certain) = match walk(ruleset, &want.packet) {
        Fate::Passes => return None,
        Fate::Dropped { by } => (by, true),
        Fate::Unsure { by } => (by, false),
    };
    let is_forwarded = want.packet.oif.is_some();
    if is_forwarded && !is_agent_here && facts.has_docker_rules() {
        return Some(
            SECTION.ok(want.check, format!("{by} drops what is forwarded; the agent puts its rule into DOCKER-USER")),
        );
    }
    let message = match is_certain {
        true => format!("{by} drops it: {}", want.meaning),
        false => format!("{by} drops it unless one of its exceptions fits: {}", want.meaning),
    };
    let cure = cure(want, &facts.manager, &by);
    Some(match (want.verdict, is_certain) {
        (Verdict::Fail, true) => SECTION.fail(want.check, message, cure),
        _ => SECTION.warn(want.check, message, cure),
    })
}

/// In the words of what manages the rules. `by` names the chain: `chain inet filter input`.
fn cure(want: &Want, manager: &str, by: &str) -> String {
    let Packet { iif, oif, protocol, port, .. } = &want.packet;
    match (manager, oif, port) {
        ("ufw", None, Some(_)) => format!("ufw allow {}", want.port),
        ("ufw", None, None) => format!("ufw allow in on {iif}"),
        ("ufw", Some(out), _) => format!("ufw route allow in on {iif} out on {out}"),
        ("firewalld", None, Some(_)) => {
            format!("firewall-cmd --permanent --add-port={} && firewall-cmd --reload", want.port)
        }
        ("firewalld", ..) => {
            format!("firewall-cmd --permanent --zone=trusted --add-interface={iif} && firewall-cmd --reload")
        }
        (_, None, Some(port)) => format!("{} {protocol} dport {port} accept", insert(by, "input")),
        (_, None, None) => format!("{} iifname \"{iif}\" accept", insert(by, "input")),
        (_, Some(_), _) => {
            let first = insert(by, "forward");
            format!("{first} iifname \"{iif}\" accept; {first} oifname \"{iif}\" accept")
        }
    }
}

/// `nft insert rule inet filter input`, where the chain is known.
fn insert(by: &str, hook: &str) -> String {
    let words: Vec<&str> = by.rsplit(' ').take(3).collect();
    match (by.contains("chain "), words.as_slice()) {
        (true, [chain, table, family]) => format!("nft insert rule {family} {table} {chain}"),
        _ => format!("nft insert rule inet filter {hook}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::troubles;
    use super::*;

    fn facts(script: &str) -> Facts {
        Facts { ruleset: Some(nft::parse(script).expect("nft's own words")), is_server_here: true, ..Facts::default() }
    }

    fn of(facts: &Facts) -> Vec<Finding> {
        judge(facts, &["eth0".into()], false)
    }

    /// `nft -j list ruleset` of a Debian host whose administrator lets ssh in and nothing else.
    const CLOSED: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "inet", "name": "filter", "handle": 1}},
        {"chain": {"family": "inet", "table": "filter", "name": "input", "handle": 1, "type": "filter", "hook": "input",
                   "prio": 0, "policy": "drop"}},
        {"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 2, "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "lo"}}, {"accept": null}]}},
        {"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 3, "expr": [
            {"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}},
            {"accept": null}]}},
        {"rule": {"family": "inet", "table": "filter", "chain": "input", "handle": 4, "expr": [
            {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                       "right": {"set": [22, {"range": [8000, 8443]}]}}}, {"accept": null}]}}
    ]}"#;

    #[test]
    fn a_closed_input_chain_keeps_gossip_and_probes_out() {
        let findings = of(&facts(CLOSED));
        let expected = [(Verdict::Fail, "firewall-gossip"), (Verdict::Warn, "firewall-overlay")];
        assert_eq!(troubles(&findings), expected, "8443 is let in");
        assert!(findings[0].message.starts_with("the policy of chain inet filter input drops it"), "{findings:#?}");
        assert_eq!(findings[0].cure.as_deref(), Some("nft insert rule inet filter input udp dport 8445 accept"));
    }

    #[test]
    fn the_cure_is_in_the_words_of_what_manages_the_rules() {
        let cures = |manager: &str| {
            let findings = of(&Facts { manager: manager.into(), ..facts(CLOSED) });
            findings.into_iter().filter_map(|found| found.cure).collect::<Vec<_>>()
        };
        assert_eq!(cures("ufw"), ["ufw allow 8445/udp", "ufw allow in on remuda0"]);
        assert!(cures("firewalld")[0].contains("--add-port=8445/udp"));
    }

    /// As Docker leaves the forward chain (iptables-nft).
    const DOCKER: &str = r#"{"nftables": [
        {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "handle": 1, "type": "filter", "hook": "forward",
                   "prio": 0, "policy": "drop"}},
        {"chain": {"family": "ip", "table": "filter", "name": "DOCKER-USER", "handle": 2}},
        {"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "handle": 3, "expr": [
            {"counter": {"packets": 0, "bytes": 0}}, {"jump": {"target": "DOCKER-USER"}}]}},
        {"rule": {"family": "ip", "table": "filter", "chain": "DOCKER-USER", "handle": 4, "expr": [{"return": null}]}}
    ]}"#;

    #[test]
    fn dockers_forward_chain_is_no_trouble_before_the_agent_runs_and_one_when_its_rule_is_gone() {
        assert_eq!(troubles(&of(&facts(DOCKER))), []);
        let findings = judge(&facts(DOCKER), &["eth0".into()], true);
        assert_eq!(troubles(&findings), [(Verdict::Fail, "firewall-forward")]);
        assert!(
            findings[0]
                .cure
                .as_deref()
                .is_some_and(|cure| cure.starts_with("nft insert rule ip filter FORWARD iifname"))
        );
        let with_rule = DOCKER.replace(
            r#""expr": [{"return": null}]"#,
            r#""expr": [{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "remuda0"}}, {"accept": null}]"#,
        );
        assert_eq!(troubles(&judge(&facts(&with_rule), &["eth0".into()], true)), []);
    }

    #[test]
    fn rules_that_cannot_be_read_are_said_to_be_unread() {
        assert_eq!(troubles(&judge(&Facts::default(), &[], false)), [(Verdict::Warn, "firewall")]);
    }
}
