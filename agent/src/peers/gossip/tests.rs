//! Real gossip tasks with real sockets, on loopback addresses of their own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::roster::Peer;
use super::super::seal::{EMPTY_BYTES, Header, Refusal};
use super::*;

/// Everything here takes a few round trips of a ping every half second.
const LIMIT: Duration = Duration::from_secs(10);
const TICK: Duration = Duration::from_millis(20);

/// Hosts 1..=n at 127.x.y.1 and so on; x.y by chance, so that tests run side by side.
struct Fleet {
    net: [u8; 2],
    key: FleetKey,
    hosts: u16,
}

struct Host {
    peers: Peers,
    problems: Problems,
    rosters: watch::Sender<Option<Arc<Roster>>>,
    task: JoinHandle<()>,
}

impl Fleet {
    fn new(hosts: u16) -> Fleet {
        let key = FleetKey::parse(&"3e".repeat(32)).expect("64 hex digits");
        Fleet { net: [rand::random_range(1..255), rand::random()], key, hosts }
    }

    fn ip(&self, node_id: u16) -> Ipv4Addr {
        Ipv4Addr::new(127, self.net[0], self.net[1], node_id as u8)
    }

    fn roster(&self, node_id: u16) -> Roster {
        let own = Place { node_id, underlay_ip: self.ip(node_id), key: Some(self.key.clone()) };
        let others = (1..=self.hosts).filter(|id| *id != node_id);
        let peers = others.map(|id| (id, Peer { underlay_ip: self.ip(id), host_ip: None }));
        Roster { own, peers: peers.collect() }
    }

    fn start(&self, node_id: u16) -> Host {
        let (rosters, follow) = watch::channel(Some(Arc::new(self.roster(node_id))));
        let (peers, problems) = (Peers::default(), Problems::default());
        let task = tokio::spawn(run(follow, peers.clone(), problems.clone()));
        Host { peers, problems, rosters, task }
    }
}

impl Host {
    /// Waits until each of these was heard after now, whoever else was.
    async fn hears(&self, wanted: &[u32]) {
        let since = Instant::now();
        let mut heard = BTreeMap::new();
        let all = async {
            while !wanted.iter().all(|id| heard.get(id).is_some_and(|at| *at > since)) {
                for seen in self.peers.take_seen() {
                    let age = Duration::from_millis(seen.gossip_ms.expect("nobody is probed here").into());
                    heard.insert(seen.node_id, Instant::now() - age);
                }
                tokio::time::sleep(TICK).await;
            }
        };
        assert!(tokio::time::timeout(LIMIT, all).await.is_ok(), "{wanted:?} not all heard: {heard:?}");
    }

    fn dropped(&self, of: Refusal) -> u64 {
        self.peers.counts().drops().find(|(refusal, _)| *refusal == of).map_or(0, |(_, count)| count)
    }

    /// As when its agent is killed: the socket is closed.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

#[tokio::test]
async fn three_hosts_prove_to_each_other_that_they_live() {
    let fleet = Fleet::new(3);
    let hosts = [1, 2, 3].map(|id| fleet.start(id));
    hosts[0].hears(&[2, 3]).await;
    hosts[1].hears(&[1, 3]).await;
    hosts[2].hears(&[1, 2]).await;
    for host in &hosts {
        assert!(host.problems.lines().is_empty());
        let unexpected: Vec<_> =
            host.peers.counts().drops().filter(|(refusal, n)| *n > 0 && *refusal != Refusal::Unproved).collect();
        assert!(unexpected.is_empty(), "{unexpected:?}");
    }
}

#[tokio::test]
async fn the_silence_of_hosts_that_left_the_fleet_is_no_problem_any_more() {
    let mut fleet = Fleet::new(3);
    let (peers, problems) = (Peers::default(), Problems::default());
    let roster = fleet.roster(1);
    let socket = UdpSocket::bind((fleet.ip(1), 0)).await.expect("a port");
    let mut gossip = Gossip::new(socket, fleet.key.clone(), &roster, &peers, &problems);
    gossip.begin = Instant::now().checked_sub(UNHEARD).expect("a machine that is up for longer");
    gossip.judge_silence();
    assert!(problems.lines()[0].contains("none of the other 2 hosts answers"));
    fleet.hosts = 2;
    gossip.set_peers(&fleet.roster(1));
    gossip.judge_silence();
    assert!(problems.lines().is_empty());
}

#[tokio::test]
async fn a_killed_agent_is_not_heard_and_a_restarted_one_is_again() {
    let fleet = Fleet::new(3);
    let (h1, h2, _h3) = (fleet.start(1), fleet.start(2), fleet.start(3));
    h1.hears(&[2, 3]).await;
    h2.kill().await;
    h1.peers.take_seen();
    h1.hears(&[3]).await;
    h1.hears(&[3]).await;
    assert!(h1.peers.take_seen().iter().all(|seen| seen.node_id != 2));
    let h2 = fleet.start(2);
    h1.hears(&[2]).await;
    h2.hears(&[1, 3]).await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_problem_until_it_is_free() {
    let fleet = Fleet::new(2);
    let taken = UdpSocket::bind((fleet.ip(1), GOSSIP_PORT)).await.expect("free");
    let (h1, _h2) = (fleet.start(1), fleet.start(2));
    let refused = async {
        while h1.problems.lines().is_empty() {
            tokio::time::sleep(TICK).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, refused).await.is_ok());
    let line = h1.problems.lines().join("\n");
    assert!(line.contains(&format!("gossip: listen on {}:8445/udp", fleet.ip(1))), "{line}");
    drop(taken);
    h1.hears(&[2]).await;
    assert!(h1.problems.lines().is_empty());
}

#[tokio::test]
async fn a_host_that_comes_later_is_heard_and_one_that_left_is_a_stranger() {
    let fleet = Fleet::new(3);
    let (h1, h2, h3) = (fleet.start(1), fleet.start(2), fleet.start(3));
    let without_3 = |id| {
        let mut roster = fleet.roster(id);
        roster.peers.remove(&3);
        Some(Arc::new(roster))
    };
    h1.hears(&[2, 3]).await;
    h1.rosters.send_replace(without_3(1));
    h1.hears(&[2]).await;
    h1.peers.take_seen();
    let strangers = h1.dropped(Refusal::UnknownNode);
    let strange = async {
        while h1.dropped(Refusal::UnknownNode) == strangers {
            tokio::time::sleep(TICK).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, strange).await.is_ok());
    h2.hears(&[1, 3]).await;
    assert!(h1.peers.take_seen().iter().all(|seen| seen.node_id == 2));
    h1.rosters.send_replace(Some(Arc::new(fleet.roster(1))));
    h1.hears(&[3]).await;
    h3.hears(&[1]).await;
}

#[tokio::test]
async fn without_a_key_nothing_is_sent_or_heard() {
    let fleet = Fleet::new(2);
    let (h1, h2) = (fleet.start(1), fleet.start(2));
    h2.hears(&[1]).await;
    let mut silent = fleet.roster(1);
    silent.own.key = None;
    h1.rosters.send_replace(Some(Arc::new(silent)));
    // The port is free as soon as the change is seen.
    let freed = async {
        while UdpSocket::bind((fleet.ip(1), GOSSIP_PORT)).await.is_err() {
            tokio::time::sleep(TICK).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, freed).await.is_ok());
    drop(h2);
}

/// Forged, cut, recorded and reflected datagrams by the thousand: each is counted by its reason, and the hosts still
/// hear each other.
#[tokio::test]
async fn a_flood_of_forged_datagrams_changes_nothing() {
    const FLOOD: u64 = 2000;
    let fleet = Fleet::new(3);
    let (h1, _h2) = (fleet.start(1), fleet.start(2));
    h1.hears(&[2]).await;
    // Host 3 is the attacker: on the roster, at its own address, but with another fleet's key.
    let socket = UdpSocket::bind((fleet.ip(3), GOSSIP_PORT)).await.expect("free");
    let stranger = FleetKey::parse(&"3f".repeat(32)).expect("64 hex digits").of(3, 7);
    let victim = (fleet.ip(1), GOSSIP_PORT);
    let mut forged_for_2 = Vec::new();
    for counter in 1..=FLOOD {
        let header = Header { sender: 3, boot: 7, counter };
        let forged = stranger.seal(&header, 1, Default::default(), b"12345678").expect("short enough");
        socket.send_to(&forged, victim).await.expect("sent");
        socket.send_to(&forged[..EMPTY_BYTES - 1], victim).await.expect("sent");
        socket.send_to(&[0; 1401], victim).await.expect("sent");
        let header = Header { sender: 2, ..header };
        forged_for_2 = stranger.seal(&header, 1, Default::default(), b"12345678").expect("short enough");
        socket.send_to(&forged_for_2, victim).await.expect("sent");
        if counter % 10 == 0 {
            // Within what the receiver's buffer holds.
            tokio::task::yield_now().await;
        }
    }
    socket.send_to(&forged_for_2, victim).await.expect("sent");
    h1.hears(&[2]).await;
    for refusal in [Refusal::Forged, Refusal::Truncated, Refusal::Oversized, Refusal::SourceAddress] {
        assert!((FLOOD / 4..=FLOOD + 1).contains(&h1.dropped(refusal)), "{refusal:?}: {}", h1.dropped(refusal));
    }
    assert!(h1.peers.counts().received.load(Ordering::Relaxed) > 0);
    assert!(h1.peers.take_seen().iter().all(|seen| seen.node_id == 2), "the attacker is not heard");
}
