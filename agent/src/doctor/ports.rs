//! Our own ports on this host, and who holds them if it is somebody else.

use remuda_abi::addr::{API_PORT, DNS_PORT, GOSSIP_PORT, METRICS_PORT, TUNNEL_PORT};

use super::{Finding, Section, Verdict};

const SECTION: Section = Section("network");
/// How our own programs call themselves.
const OURS: &str = "remuda";

/// Ports that are looked at: number, protocol, for what, and what follows if another program has it.
pub const WATCHED: [(u16, &str, &str, Verdict); 5] = [
    (API_PORT, "tcp", "API and agents' connections (only where the server runs)", Verdict::Warn),
    (METRICS_PORT, "tcp", "the agent's metrics and health", Verdict::Warn),
    (GOSSIP_PORT, "udp", "gossip between hosts", Verdict::Fail),
    (TUNNEL_PORT, "udp", "the tunnel between hosts", Verdict::Fail),
    (DNS_PORT, "udp", "the name server at 169.254.169.250", Verdict::Fail),
];

#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub listeners: Vec<Listener>,
    /// The agent's idle device holds the tunnel's port.
    pub has_own_tunnel: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    pub port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// None = the kernel's, or not to be seen without root.
    pub program: Option<String>,
    /// It listens on every address of this host.
    pub is_everywhere: bool,
}

pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = WATCHED
        .iter()
        .filter_map(|(port, protocol, what, verdict)| taken(facts, *port, protocol, what, *verdict))
        .collect();
    if findings.is_empty() {
        findings.push(SECTION.ok("ports", "8443/tcp, 8444/tcp, 8445/udp, 4789/udp and 53/udp are free or ours"));
    }
    findings
}

fn taken(facts: &Facts, port: u16, protocol: &str, what: &str, verdict: Verdict) -> Option<Finding> {
    let is_held = |held: &&Listener| {
        held.port == port
            && held.protocol == protocol
            && held.program.as_deref() != Some(OURS)
            // A name server at one address is in nobody's way.
            && (port != DNS_PORT || held.is_everywhere)
            && (port != TUNNEL_PORT || !facts.has_own_tunnel)
    };
    let holder = facts.listeners.iter().find(is_held)?;
    let who = match &holder.program {
        Some(program) => format!("`{program}`"),
        None if port == TUNNEL_PORT => "the kernel: a VXLAN device of Docker Swarm, flannel or another overlay".into(),
        None => "a program that cannot be seen".into(),
    };
    let message = format!("{port}/{protocol} is held by {who}; it is for {what}");
    let cure = cure(port, protocol);
    Some(match verdict {
        Verdict::Fail => SECTION.fail("ports", message, cure),
        _ => SECTION.warn("ports", message, cure),
    })
}

fn cure(port: u16, protocol: &str) -> String {
    match port {
        DNS_PORT => "let it listen at named addresses only (dnsmasq: bind-interfaces; unbound: interface:)".into(),
        TUNNEL_PORT => {
            "`ip -d link show type vxlan` shows the device: leave that overlay (docker swarm leave) or delete it".into()
        }
        API_PORT => "stop it, or start the server with --listen ADDRESS:PORT".into(),
        _ => format!(
            "`ss -lnp{} sport = :{port}` shows it: stop it or move it to another port",
            protocol.get(..1).unwrap_or("t")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::troubles;
    use super::*;

    fn held(port: u16, protocol: &str, program: Option<&str>) -> Facts {
        let listener =
            Listener { port, protocol: protocol.into(), program: program.map(Into::into), is_everywhere: true };
        Facts { listeners: vec![listener], has_own_tunnel: false }
    }

    #[test]
    fn ports_of_ours_and_of_others_are_told_apart() {
        assert_eq!(troubles(&judge(&Facts::default())), []);
        assert_eq!(troubles(&judge(&held(8445, "udp", Some("remuda")))), []);
        assert_eq!(troubles(&judge(&held(8445, "tcp", Some("nginx")))), [], "another protocol");
        for (facts, verdict) in [
            (held(8443, "tcp", Some("tomcat")), Verdict::Warn),
            (held(8444, "tcp", Some("nginx")), Verdict::Warn),
            (held(8445, "udp", Some("nc")), Verdict::Fail),
            (held(4789, "udp", None), Verdict::Fail),
            (held(53, "udp", Some("dnsmasq")), Verdict::Fail),
        ] {
            assert_eq!(troubles(&judge(&facts)), [(verdict, "ports")]);
        }
    }

    #[test]
    fn our_own_idle_device_and_a_name_server_at_one_address_are_no_trouble() {
        assert_eq!(troubles(&judge(&Facts { has_own_tunnel: true, ..held(4789, "udp", None) })), []);
        let mut local = held(53, "udp", Some("systemd-resolve"));
        local.listeners[0].is_everywhere = false;
        assert_eq!(troubles(&judge(&local)), []);
    }
}
