//! What hosts see of each other: gossip through a wire that loses one way, probes that only a kernel answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use remuda_agent::peers::roster::{Peer, Place, Roster};
use remuda_agent::peers::seal::FleetKey;
use remuda_agent::peers::{Peers, gossip};
use remuda_agent::problems::Problems;
use remuda_lab::{Lab, netns};
use remuda_tests::stack::Fleet;
use tokio::sync::watch;

const LIMIT: Duration = Duration::from_secs(10);
/// Longer than anything sent before a cut can prove something after it.
const PROVES_NOTHING: Duration = Duration::from_millis(2500);

/// Two namespaces on one wire, each with a gossip task; gone when dropped.
struct Wire {
    prefix: String,
    peers: Vec<Peers>,
    /// While they live, the tasks do.
    rosters: Vec<watch::Sender<Option<Arc<Roster>>>>,
    runtime: tokio::runtime::Runtime,
}

impl Wire {
    fn new() -> Result<Wire> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut wire =
            Wire { prefix: format!("peers{}-", std::process::id()), peers: Vec::new(), rosters: Vec::new(), runtime };
        let (h1, h2) = (wire.host(1), wire.host(2));
        netns::add(&h1)?;
        netns::add(&h2)?;
        netns::ip(&["link", "add", "eth0", "netns", &h1, "type", "veth", "peer", "name", "eth0", "netns", &h2])?;
        for id in [1, 2] {
            netns::ip(&["-n", &wire.host(id), "addr", "add", &format!("{}/24", ip(id)), "dev", "eth0"])?;
            netns::ip(&["-n", &wire.host(id), "link", "set", "eth0", "up"])?;
        }
        wire.start(1)?;
        wire.start(2)?;
        Ok(wire)
    }

    fn host(&self, id: u16) -> String {
        format!("{}h{id}", self.prefix)
    }

    /// The task runs on a thread inside the host's namespace, for as long as the runtime lives.
    fn start(&mut self, id: u16) -> Result<()> {
        let key = FleetKey::parse(&"a0".repeat(32)).context("64 hex digits")?;
        let own = Place { node_id: id, underlay_ip: ip(id), key: Some(key) };
        let other = 3 - id;
        let roster = Roster { own, peers: [(other, Peer { underlay_ip: ip(other), host_ip: None })].into() };
        let (peers, host, handle) = (Peers::default(), self.host(id), self.runtime.handle().clone());
        let (rosters, follow) = watch::channel(Some(Arc::new(roster)));
        // The socket is made by the task's first step, which is done in the namespace; later steps only use it.
        let mut task = Box::pin(gossip::run(follow, peers.clone(), Problems::default()));
        netns::inside(&host, || {
            let _inside = handle.enter();
            let waker = std::task::Waker::noop();
            let _ = task.as_mut().poll(&mut std::task::Context::from_waker(waker));
            handle.spawn(task);
        })?;
        self.peers.push(peers);
        self.rosters.push(rosters);
        Ok(())
    }

    /// Datagrams to the host's port do not arrive any more, or do again.
    fn set_deaf(&self, id: u16, is_deaf: bool) -> Result<()> {
        let table = "table inet deaf";
        let chain = "chain in {\ntype filter hook input priority 0;\nudp dport 8445 drop\n}";
        let rules = if is_deaf { format!("{table} {{\n{chain}\n}}") } else { format!("delete {table}") };
        netns::output(&self.host(id), &["nft", &rules]).map(drop)
    }

    /// Waits until the host has proof that its peer lives.
    fn wait_seen_by(&self, id: u16) -> Result<()> {
        let peers = &self.peers[usize::from(id - 1)];
        remuda_lab::wait_until(&format!("host {id} sees its peer"), LIMIT, || !peers.take_seen().is_empty())
    }

    /// Whom the host has proof of since it was asked last.
    fn seen_by(&self, id: u16) -> Vec<u32> {
        self.peers[usize::from(id - 1)].take_seen().iter().map(|seen| seen.node_id).collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = netns::delete(&self.host(1));
        let _ = netns::delete(&self.host(2));
    }
}

fn ip(id: u16) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, id as u8)
}

#[test]
fn a_host_that_sends_but_does_not_receive_is_not_seen_by_those_it_reaches() {
    let wire = Wire::new().unwrap();
    wire.wait_seen_by(1).unwrap();
    wire.wait_seen_by(2).unwrap();
    wire.set_deaf(2, true).unwrap();
    let received = || wire.peers[0].counts().received.load(std::sync::atomic::Ordering::Relaxed);
    let deaf_since = Instant::now();
    remuda_lab::wait_until("old proofs are too old", LIMIT, || deaf_since.elapsed() > PROVES_NOTHING).unwrap();
    // What was seen before the wire broke is told now.
    let _ = (wire.seen_by(1), wire.seen_by(2));
    let before = received();
    remuda_lab::wait_until("host 1 hears host 2 still", LIMIT, || received() >= before + 4).unwrap();
    assert_eq!((wire.seen_by(1), wire.seen_by(2)), (vec![], vec![]), "a wire of one way proves nothing");
    wire.set_deaf(2, false).unwrap();
    wire.wait_seen_by(1).unwrap();
    wire.wait_seen_by(2).unwrap();
}

/// A counter of the host's agent, out of its `/metrics`.
fn metric(lab: &Lab, host: &str, name: &str) -> Result<u64> {
    let text = netns::inside(&lab.netns(host)?, || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 8444))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    })??;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("no {name} in {text}"))?.trim().parse()?)
}

/// How many of the next `count` probes of `host` are answered, give or take one under way.
fn answered_of(lab: &Lab, host: &str, count: u64) -> Result<u64> {
    let counters = || {
        Ok::<_, anyhow::Error>(["sent", "answered"].map(|what| format!("remuda_peer_probes_{what}_total")))
            .and_then(|[sent, answered]| Ok((metric(lab, host, &sent)?, metric(lab, host, &answered)?)))
    };
    let (sent, answered) = counters()?;
    remuda_lab::wait_for("probes are sent", LIMIT, || {
        let (sent_now, answered_now) = counters()?;
        Ok((sent_now >= sent + count).then_some(answered_now - answered))
    })
}

#[test]
fn the_kernel_of_a_host_answers_for_it_without_its_agent_and_not_without_its_cable() {
    let mut fleet = Fleet::up("probe", 3).unwrap();
    remuda_lab::wait_for("h1 and its peers hear each other", LIMIT, || {
        Ok((metric(&fleet.lab, "h1", "remuda_gossip_received_total")? > 8).then_some(()))
    })
    .unwrap();
    // h1 probes both others: one answer in two would be one of them.
    assert!(answered_of(&fleet.lab, "h1", 12).unwrap() >= 11);
    fleet.lab.kill("h3").unwrap();
    assert!(answered_of(&fleet.lab, "h1", 12).unwrap() >= 11, "the kernel of h3 did not answer without its agent");
    fleet.lab.cut("h3").unwrap();
    let answered = answered_of(&fleet.lab, "h1", 12).unwrap();
    assert!((5..=7).contains(&answered), "{answered} of 12: h2 answers, h3 cannot");
}
