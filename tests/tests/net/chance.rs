//! Connections from outside through a published port, while the ring behind it changes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use remuda_abi::counter::Counter;
use remuda_api::assignment::{Service, ServicePort};
use remuda_tests::counters::counted;
use remuda_tests::fleet::{Fleet, Wanted, service};
use remuda_tests::lasting::{Echo, Talkers, Visitors};

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
const NAMES: [&str; 10] = ["w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9"];
const PUBLISHED: u32 = 8080;
const TARGET: u32 = 7000;
/// Connections to each host's address, each time.
const EACH: usize = 12;
/// Clients that make a connection for each request.
const VISITORS: usize = 3;
/// An agent that needs longer for an assignment is stuck.
const SYNC_LIMIT: Duration = Duration::from_secs(20);

fn web() -> Service {
    let port = ServicePort {
        protocol: "tcp".into(),
        published: PUBLISHED,
        target: TARGET,
        mode: "ingress".into(),
        frontend_id: 6,
        ..ServicePort::default()
    };
    Service { ports: vec![port], ..service(5, "web", "10.43.0.1") }
}

/// A fleet with a published service, its servers and its clients.
struct Stage {
    fleet: Fleet,
    echoes: Vec<Echo>,
    talkers: Talkers,
    to: Vec<SocketAddr>,
    opened: usize,
}

impl Stage {
    fn up(name: &str) -> Result<Stage> {
        let fleet = Fleet::up(name, HOSTS.len())?;
        let talkers = Talkers::start(&fleet.host_netns("client")?);
        let at = |host: &&str| Ok(format!("{}:{PUBLISHED}", fleet.lab.host(host)?.underlay_ip).parse()?);
        let to = HOSTS.iter().map(at).collect::<Result<_>>()?;
        Ok(Stage { fleet, echoes: Vec::new(), talkers, to, opened: 0 })
    }

    /// So many containers, round the hosts; those named drain. Returns when every host has done it.
    fn scale(&mut self, count: usize, draining: &[&str]) -> Result<()> {
        let wanted = |(index, name): (usize, &&'static str)| Wanted {
            name,
            host: index % HOSTS.len(),
            service_id: 5,
            draining: draining.contains(name),
            ..Wanted::default()
        };
        let wanted: Vec<Wanted> = NAMES[..count].iter().enumerate().map(wanted).collect();
        // Somebody listens before anybody is sent there.
        let unborn = |w: &Wanted| Wanted { service_id: 0, ..w.clone() };
        let begun = self.echoes.len();
        let born: Vec<Wanted> =
            wanted.iter().enumerate().map(|(i, w)| if i < begun { w.clone() } else { unborn(w) }).collect();
        self.fleet.assign(&[web()], &born)?;
        for name in NAMES[..count].iter().skip(begun) {
            let at = format!("0.0.0.0:{TARGET}").parse()?;
            self.echoes.push(Echo::start(&self.fleet.netns(name)?, name, at)?);
        }
        self.echoes.truncate(count);
        self.fleet.assign(&[web()], &wanted)?;
        self.fleet.synced(SYNC_LIMIT)
    }

    /// More connections; returns the servers they met.
    fn open(&mut self) -> Result<Vec<String>> {
        let servers = self.talkers.open(&self.to, EACH)?;
        self.opened += servers.len();
        Ok(servers)
    }

    fn restart(&mut self, host: &str) -> Result<()> {
        self.fleet.lab.kill(host)?;
        self.fleet.lab.start(host)?;
        self.fleet.synced(SYNC_LIMIT)
    }

    /// Counted on all hosts together.
    fn counted(&self, counter: Counter) -> u64 {
        HOSTS.iter().map(|host| counted(&self.fleet.lab, host, counter).unwrap_or(0)).sum()
    }

    #[track_caller]
    fn nobody_was_cut_off(&self, when: &str) {
        let (open, broken) = self.talkers.heard();
        assert!(broken.is_empty(), "{when}: {} of {} broke: {broken:#?}", broken.len(), self.opened);
        assert!(open > 0, "{when}: nobody talks any more");
        println!("{when}: {open} connections, 0 broken, {} rounds", self.talkers.rounds());
    }
}

#[test]
fn long_connections_from_outside_live_through_drain_growth_and_restarted_agents() {
    let mut stage = Stage::up("chance").unwrap();
    stage.scale(3, &[]).unwrap();
    let visitors = Visitors::start(&stage.fleet.host_netns("client").unwrap(), &stage.to, VISITORS);
    let servers = stage.open().unwrap();
    assert!(NAMES[..3].iter().all(|name| servers.iter().any(|s| s == name)), "all serve: {servers:?}");

    stage.scale(3, &["w2"]).unwrap();
    stage.nobody_was_cut_off("while w2 drains");
    assert!(stage.counted(Counter::HandedOn) > 0, "no packet was handed on, so nothing was proven");
    let begun = stage.open().unwrap();
    assert!(!begun.contains(&"w2".to_owned()), "a draining backend got new connections: {begun:?}");

    for host in HOSTS {
        stage.restart(host).unwrap();
        stage.nobody_was_cut_off(&format!("with the agent of {host} restarted in mid-drain"));
    }
    stage.scale(10, &["w2"]).unwrap();
    stage.nobody_was_cut_off("grown to ten while w2 drains");
    stage.scale(10, &[]).unwrap();
    let servers = stage.open().unwrap();
    assert!(servers.iter().any(|s| !NAMES[..3].contains(&s.as_str())), "the new ones serve: {servers:?}");
    stage.nobody_was_cut_off("with ten");

    stage.scale(10, &NAMES[3..]).unwrap();
    stage.nobody_was_cut_off("while seven of ten drain");
    let begun = stage.open().unwrap();
    assert!(begun.iter().all(|s| NAMES[..3].contains(&s.as_str())), "who drains gets nothing new: {begun:?}");
    stage.restart("h2").unwrap();
    stage.nobody_was_cut_off("with the agent of h2 restarted while seven drain");

    stage.talkers.close(&NAMES[3..]);
    stage.scale(3, &[]).unwrap();
    stage.nobody_was_cut_off("back to three");
    let (visits, failed) = visitors.heard();
    assert!(failed.is_empty() && visits > 0, "{} of {visits} short requests failed: {failed:#?}", failed.len());
    println!("{visits} short requests meanwhile, 0 failed");
    let served = (Counter::HandedOn, Counter::HandedBack, Counter::SecondChance);
    let counts = (stage.counted(served.0), stage.counted(served.1), stage.counted(served.2));
    println!(
        "{} connections opened; handed on {}, back {}, second chances {}",
        stage.opened, counts.0, counts.1, counts.2
    );
}
