//! What hosts say about themselves, made harmless before it is kept: one host's nonsense must not reach all others.

use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use remuda_api::link::HostFacts;

/// More of anything than a machine has.
const LIST_MAX: usize = 1_000;
const TEXT_MAX_BYTES: usize = 253;
/// Below this, IPv4 does not work (RFC 791) with the tunnel's 50 bytes taken off; above, no interface is.
const UPLINK_MTU_BYTES: std::ops::RangeInclusive<u32> = 626..=65_535;
/// 1,024 cores and 1 PiB: sums over a fleet stay far from overflow.
const CPU_MAX_MILLI: u64 = 1_024_000;
const MEMORY_MAX_BYTES: u64 = 1 << 50;

/// The same facts, with what others could stumble over left out. `pools` are the fleet's: nothing in them is an
/// address of a host's uplink.
pub fn clean(facts: &HostFacts, pools: &[Ipv4Network]) -> HostFacts {
    let is_frontend = |text: &&String| {
        let foreign = |ip: &Ipv4Addr| ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast();
        let ip = text.parse::<Ipv4Addr>();
        ip.is_ok_and(|ip| !foreign(&ip) && !pools.iter().any(|pool| pool.contains(ip)))
    };
    HostFacts {
        name: shorten(&facts.name),
        underlay_ip: shorten(&facts.underlay_ip),
        frontend_ips: unique(facts.frontend_ips.iter().filter(is_frontend)),
        uplink_mtu: if UPLINK_MTU_BYTES.contains(&facts.uplink_mtu) { facts.uplink_mtu } else { 0 },
        cpu_milli: facts.cpu_milli.min(CPU_MAX_MILLI),
        memory_bytes: facts.memory_bytes.min(MEMORY_MAX_BYTES),
        labels: list(&facts.labels),
        routes: list(&facts.routes),
        product_version: shorten(&facts.product_version),
        runtimes: list(&facts.runtimes),
        listening: list(&facts.listening),
        ..facts.clone()
    }
}

fn list(texts: &[String]) -> Vec<String> {
    texts.iter().take(LIST_MAX).map(|text| shorten(text)).collect()
}

fn unique<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut kept: Vec<String> = texts.take(LIST_MAX).cloned().collect();
    kept.sort_unstable();
    kept.dedup();
    kept
}

fn shorten(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    let mut kept = String::new();
    for c in clean {
        if kept.len() + c.len_utf8() > TEXT_MAX_BYTES {
            break;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_none_or_of_the_overlay_never_reach_other_hosts() {
        let said = ["192.0.2.7", "10.42.0.1", "127.0.0.1", "::1", "nonsense", "0.0.0.0", "192.0.2.7"];
        let facts = HostFacts { frontend_ips: said.map(str::to_owned).to_vec(), uplink_mtu: 1, ..HostFacts::default() };
        let clean = clean(&facts, &["10.42.0.0/16".parse().expect("a pool")]);
        assert_eq!((clean.frontend_ips, clean.uplink_mtu), (vec!["192.0.2.7".to_owned()], 0));
    }
}
