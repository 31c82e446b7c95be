//! Which host, and why none.

use super::*;
use proptest::prelude::*;
use remuda_api::spec::Protocol;

const GIB: u64 = 1 << 30;
const WEB: u32 = 7;

fn host(id: u32) -> Candidate {
    Candidate {
        node_id: id,
        name: format!("h{id}"),
        state: HostState::Ready,
        cpu_milli: 4000,
        memory_bytes: 2 * GIB,
        ..Candidate::default()
    }
}

fn wish(claim: &Claim) -> Wish<'_> {
    Wish {
        service_id: WEB,
        claim,
        constraints: &[],
        max_per_host: 0,
        runtime: RuntimeKind::Process,
        pinned_node: 0,
        data: None,
        name: "",
    }
}

fn fill(wish: &Wish, hosts: &mut [Candidate], count: usize) -> (usize, Option<String>) {
    for placed in 0..count {
        match place(wish, hosts) {
            Ok(id) => hosts.iter_mut().find(|h| h.node_id == id).expect("known").take(wish.service_id, wish.claim),
            Err(why) => return (placed, Some(why)),
        }
    }
    (count, None)
}

#[test]
fn thirty_replicas_spread_evenly_over_three_hosts_however_uneven_they_were_loaded() {
    let mut hosts = [host(1), host(2), host(3)];
    (0..9).for_each(|_| hosts[0].take(99, &Claim::default()));
    fill(&wish(&Claim::default()), &mut hosts, 30);
    assert!(hosts.iter().all(|host| host.of_service[&WEB] == 10));
}

#[test]
fn a_label_nobody_has_is_named_with_the_number_of_hosts() {
    let rule = [Constraint { key: "node.labels.zone".into(), equal: true, value: "b".into() }];
    let claim = Claim::default();
    let wish = Wish { constraints: &rule, ..wish(&claim) };
    let mut hosts = [host(1), host(2), host(3)];
    assert_eq!(place(&wish, &hosts), Err("0/3 hosts: 3 lack label zone=b".into()));
    hosts[2].labels.insert("zone".into(), "b".into());
    assert_eq!(place(&wish, &hosts), Ok(3));
}

#[test]
fn the_seventh_gibibyte_on_three_hosts_of_two_waits_for_memory() {
    let claim = Claim { memory_bytes: GIB, ..Claim::default() };
    let (placed, why) = fill(&wish(&claim), &mut [host(1), host(2), host(3)], 7);
    assert_eq!((placed, why.as_deref()), (6, Some("memory: needs 1 GiB, best host has 0 free")));
}

#[test]
fn the_fourth_replica_with_a_host_port_waits_and_names_the_port() {
    let port = HostPort { protocol: Protocol::Tcp, port: 8080 };
    let claim = Claim { host_ports: vec![port], ..Claim::default() };
    let (placed, why) = fill(&wish(&claim), &mut [host(1), host(2), host(3)], 4);
    let holders = "another container on h1, another container on h2, another container on h3";
    let expected = format!("0/3 hosts: 3 port 8080/tcp held by {holders}");
    assert_eq!((placed, why.as_deref()), (3, Some(expected.as_str())));
}

#[test]
fn hosts_without_an_engine_are_counted() {
    let claim = Claim::default();
    let wish = Wish { runtime: RuntimeKind::Docker, ..wish(&claim) };
    let mut hosts = [host(1), host(2), host(3)];
    hosts.iter_mut().for_each(|host| host.runtimes = vec!["process".into()]);
    assert_eq!(place(&wish, &hosts), Err("0/3 hosts: 3 have no docker engine".into()));
    hosts[1].runtimes.push("docker".into());
    assert_eq!(place(&wish, &hosts), Ok(2));
}

#[test]
fn who_mounts_a_volume_runs_where_its_data_is_or_waits_for_that_host() {
    let claim = Claim::default();
    let pin = |node_id: u32| Pin { volume: "shop_data".into(), node_id, host: format!("h{node_id}") };
    let wish_at = |node_id| Wish { data: Some(pin(node_id)), ..wish(&claim) };
    let mut hosts = [host(1), host(2)];
    hosts[1].take(99, &Claim::default());
    assert_eq!(place(&wish_at(2), &hosts), Ok(2), "however loaded it is");
    hosts[1].state = HostState::Dead;
    assert_eq!(place(&wish_at(2), &hosts), Err("volume shop_data is on h2, which is dead".into()));
    (hosts[1].state, hosts[1].availability) = (HostState::Ready, Availability::Drain);
    assert_eq!(place(&wish_at(2), &hosts), Err("volume shop_data is on h2, which is not active (drain)".into()));
    let why = place(&wish_at(7), &hosts).expect_err("it left");
    assert!(why.starts_with("volume shop_data is on h7, which left the fleet"), "{why}");
}

#[test]
fn several_reasons_are_counted_each() {
    let claim = Claim { cpu_milli: 2500, ..Claim::default() };
    let mut hosts = [host(1), host(2), host(3)];
    hosts[0].state = HostState::Dead;
    hosts[1].availability = Availability::Drain;
    hosts[2].used_cpu_milli = 2000;
    let why = "0/3 hosts: 1 not ready (dead), 1 not active (drain), 1 cpu: needs 2.5 cpu, best host has 2 cpu free";
    assert_eq!(place(&wish(&claim), &hosts), Err(why.into()));
}

#[test]
fn a_host_port_that_a_process_of_the_host_holds_is_refused_with_its_name() {
    let facts = HostFacts { listening: vec!["8080/tcp nginx".into(), "udp/53 dnsmasq".into()], ..HostFacts::default() };
    let mut host = host(1);
    host.listening = listening(&facts);
    let claim = Claim { host_ports: vec![HostPort { protocol: Protocol::Tcp, port: 8080 }], ..Claim::default() };
    assert_eq!(place(&wish(&claim), &[host]), Err("0/1 hosts: 1 port 8080/tcp held by nginx on h1".into()));
}

#[test]
fn sizes_read_in_the_unit_they_were_written_in() {
    assert_eq!([GIB, 1_000_000_000, 3 << 29, 0].map(bytes), ["1 GiB", "1 GB", "1536 MiB", "0"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    /// Random fleets, random claims, containers coming and going: nothing is ever given twice.
    #[test]
    fn no_host_is_ever_oversubscribed(
        sizes in proptest::collection::vec((0u64..4000, 0u64..4 * GIB), 1..6),
        claims in proptest::collection::vec((0u64..2000, 0u64..2 * GIB, 0u16..4, any::<bool>()), 1..60),
    ) {
        let mut hosts: Vec<Candidate> = sizes.iter().zip(1..).map(|((cpu, memory), id)| Candidate {
            cpu_milli: *cpu, memory_bytes: *memory, ..host(id)
        }).collect();
        let mut placed: Vec<(u32, Claim)> = Vec::new();
        for (cpu_milli, memory_bytes, port, leave) in claims {
            let host_ports = (port > 0).then_some(HostPort { protocol: Protocol::Tcp, port }).into_iter().collect();
            let claim = Claim { cpu_milli, memory_bytes, host_ports };
            if let Ok(id) = place(&wish(&claim), &hosts) {
                hosts[id as usize - 1].take(WEB, &claim);
                placed.push((id, claim));
            }
            if leave && !placed.is_empty() {
                let (id, claim) = placed.remove(port as usize % placed.len());
                hosts[id as usize - 1].give_back(WEB, &claim);
            }
            for host in &hosts {
                let here: Vec<&Claim> = placed.iter().filter(|(id, _)| *id == host.node_id).map(|(_, c)| c).collect();
                prop_assert!(here.iter().map(|c| c.cpu_milli).sum::<u64>() <= host.cpu_milli);
                prop_assert!(here.iter().map(|c| c.memory_bytes).sum::<u64>() <= host.memory_bytes);
                let ports: Vec<&HostPort> = here.iter().flat_map(|c| &c.host_ports).collect();
                prop_assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
            }
        }
    }
}
