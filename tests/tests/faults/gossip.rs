//! Datagrams at the gossip port that nobody of the fleet meant: dropped, counted by reason, and nothing changes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::LIMIT;
use remuda_abi::addr::{GOSSIP_PORT, METRICS_PORT};
use remuda_agent::peers::seal::DATAGRAM_MAX_BYTES;
use remuda_lab::{netns, wait_for};
use remuda_tests::crowd::Crowd;
use remuda_tests::stack::text;
use remuda_tests::wire::Datagram;

/// Of each kind.
const COUNT: usize = 50;

#[test]
fn forged_replayed_truncated_and_oversized_gossip_is_counted_and_changes_nothing() {
    let crowd = super::crowd("f-gossip", 3, 6);
    let (pids, events) = (crowd.pids().unwrap(), host_events(&crowd));
    let (h2, h3) = (ip(&crowd, "h2"), ip(&crowd, "h3"));
    let (switch, liar) = (crowd.fleet.lab.netns("switch").unwrap(), crowd.fleet.lab.netns("h3").unwrap());
    let before = dropped(&crowd);
    for _ in 0..COUNT {
        let genuine = Datagram::capture(&switch, h3, GOSSIP_PORT, LIMIT).unwrap();
        let mut forged = genuine.payload().to_vec();
        *forged.last_mut().unwrap() ^= 1;
        let mut oversized = genuine.payload().to_vec();
        oversized.resize(DATAGRAM_MAX_BYTES + 1, 0);
        for datagram in [
            genuine.with_payload(genuine.payload()),
            genuine.with_payload(&forged),
            genuine.with_payload(&genuine.payload()[..8]),
            genuine.with_payload(&oversized),
            genuine.with_payload(b"GET / HTTP/1.0"),
        ] {
            datagram.send(&liar).unwrap();
        }
        strangers(&crowd, h2, genuine.payload());
    }
    let reasons = ["replayed", "forged", "truncated", "oversized", "source-address"];
    let after = wait_for("every kind is counted", LIMIT, || {
        let now = dropped(&crowd);
        let missing = reasons.iter().find(|reason| now.get(**reason) <= before.get(**reason));
        match missing {
            None => Ok(Some(now)),
            Some(reason) => anyhow::bail!("no {reason} in {now:?}"),
        }
    });
    println!("dropped: {:?}", after.unwrap());
    super::pass(Duration::from_secs(3));
    assert!(crowd.host_states().unwrap().values().all(|state| state == "ready"));
    assert_eq!(host_events(&crowd), events, "a verdict changed");
    assert_eq!(crowd.pids().unwrap(), pids);
    super::end(crowd);
}

/// The same from a machine that is no host, and noise.
fn strangers(crowd: &Crowd, to: Ipv4Addr, genuine: &[u8]) {
    netns::inside(&crowd.outside().unwrap(), || -> std::io::Result<()> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        for payload in [genuine, b"", b"RG", &[0xff; 1400]] {
            socket.send_to(payload, (to, GOSSIP_PORT))?;
        }
        Ok(())
    })
    .unwrap()
    .unwrap();
}

fn ip(crowd: &Crowd, host: &str) -> Ipv4Addr {
    crowd.fleet.lab.host(host).unwrap().underlay_ip.parse().unwrap()
}

/// What h1 and h2 have dropped, by reason.
fn dropped(crowd: &Crowd) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for host in ["h1", "h2"] {
        let url = format!("http://127.0.0.1:{METRICS_PORT}/metrics");
        let text = crowd.fleet.lab.output(host, &["curl", "-sS", "--max-time", "5", &url]).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("remuda_gossip_dropped_total{reason=\"")) {
            if let Some((reason, count)) = line.split_once("\"} ") {
                *counts.entry(reason.to_owned()).or_default() += count.trim().parse::<u64>().unwrap_or_default();
            }
        }
    }
    counts
}

/// How often a verdict about a host changed.
fn host_events(crowd: &Crowd) -> usize {
    crowd.fleet.list(&["events"]).unwrap().iter().filter(|event| text(event, "kind").starts_with("host-")).count()
}
