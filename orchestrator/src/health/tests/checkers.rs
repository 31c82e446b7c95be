//! Who checks what, and that it is cheap.

use super::*;
use crate::health::checkers::Checkers;

#[test]
fn checks_are_told_to_the_hosts_that_are_asked_while_the_container_runs_and_shall_run() {
    let mut fleet = Fleet::of(4, checked(2, Strategy::Recreate));
    let told = |fleet: &Fleet| -> Vec<(u32, u32)> {
        let shared = Shared::of(&fleet.state);
        let of = |node_id| assignment(&fleet.state, &shared, node_id).checks.into_iter();
        (1..=4).flat_map(|node_id| of(node_id).map(move |check| (node_id, check.endpoint_id))).collect()
    };
    let all = told(&fleet);
    assert_eq!(all.len(), 6, "three for each");
    for name in ["s-web-1", "s-web-2"] {
        let container = fleet.container(name);
        assert!(
            all.iter().all(|(host, id)| *id != container.endpoint_id || *host != container.node_id),
            "none its own"
        );
    }
    let one = assignment(&fleet.state, &Shared::of(&fleet.state), all[0].0).checks.remove(0);
    assert_eq!((one.port, one.interval_ms, one.timeout_ms, one.rise, one.fall), (80, 2_000, 2_000, 2, 3));
    assert_eq!(one.ip, fleet.container(&one.container).ip.expect("an address").to_string());
    fleet.change(|state, _| {
        state.edit_container("s-web-1", |c| c.status.as_mut().expect("one").state = "failed".into())
    });
    assert_eq!(told(&fleet).len(), 3, "one that does not run is not checked");
    fleet.change(|state, _| drop(declare::remove_stack(state, "s")));
    assert!(told(&fleet).is_empty());
}

#[test]
fn alone_a_host_checks_its_own_until_another_one_comes() {
    let mut fleet = Fleet::of(1, checked(1, Strategy::None));
    assert_eq!(fleet.checkers("s-web-1"), [1]);
    fleet.join(2);
    assert_eq!(fleet.checkers("s-web-1"), [2]);
}

/// A table for `hosts`, made from `before`; endpoint `n` runs on host `n % 7 + 1`.
fn table(before: &Checkers, hosts: &[u32], endpoints: u32) -> Checkers {
    let checked: Vec<(u32, u32)> = (1..=endpoints).map(|id| (id, id % 7 + 1)).collect();
    before.next(hosts.to_vec(), &checked)
}

#[test]
fn checks_are_spread_evenly_and_few_move_when_a_host_goes() {
    let hosts: Vec<u32> = (1..=20).collect();
    let before = table(&Checkers::default(), &hosts, 2_000);
    let mut loads: BTreeMap<u32, u32> = BTreeMap::new();
    (1..=2_000).flat_map(|id| before.of(id)).for_each(|host| *loads.entry(host).or_default() += 1);
    assert!(loads.values().all(|load| (200..400).contains(load)), "300 each on average: {loads:?}");
    let after = table(&before, &hosts[..19], 2_000);
    for id in 1..=2_000 {
        let stays = before.of(id).filter(|host| *host != 20).all(|host| after.of(id).any(|other| other == host));
        assert!(stays, "only what host 20 checked moves");
    }
}

/// 1,000 hosts that pass all they are asked, 30,000 containers that run and are healthy.
fn large() -> State {
    let mut state = State::default();
    let service = crate::state::Service { id: 1, spec: checked(30_000, Strategy::Recreate), ..Default::default() };
    state.services.insert(1, Arc::new(service));
    for id in 1..=1_000 {
        state.nodes.insert(id, Arc::new(crate::state::Node { id, ..Default::default() }));
        state.live.insert(id, Live { state: HostState::Ready, generation: 1, ..Live::default() });
    }
    for id in 1..=30_000_u32 {
        let name = format!("s-web-{id}");
        let status = ContainerStatus { name: name.clone(), state: "running".into(), ..ContainerStatus::default() };
        let container = Container {
            name: name.clone(),
            service_id: 1,
            node_id: id % 1_000 + 1,
            endpoint_id: id,
            status: Some(status),
            ..Container::default()
        };
        state.containers.insert(name, Arc::new(container));
    }
    health::ask(&mut state);
    let mut reports: BTreeMap<u32, Report> = BTreeMap::new();
    for endpoint_id in 1..=30_000 {
        for node_id in state.checkers.of(endpoint_id) {
            let passes = CheckResult { endpoint_id, outcome: 1, reason: String::new() };
            reports.entry(node_id).or_default().checks.push(passes);
        }
    }
    reports.iter().for_each(|(node_id, said)| hear(&mut state, *node_id, said, 1));
    health::judge(&mut state, 1);
    state
}

/// What this thread has computed so far, milliseconds: other processes' work does not count.
fn cpu_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("this is Linux");
    let ns: u64 = text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("nanoseconds first");
    ns as f64 / 1e6
}

#[test]
fn thirty_thousand_containers_and_a_thousand_hosts_are_a_matter_of_milliseconds() {
    let mut state = large();
    assert!(state.containers.values().all(|container| container.health() == Health::Healthy));
    let before = state.clone();
    let mut took_ms = BTreeMap::new();
    let mut time = |what: &'static str, work: &mut dyn FnMut(&mut State)| {
        let since_ms = cpu_ms();
        work(&mut state);
        took_ms.insert(what, (cpu_ms() - since_ms).round());
    };
    time("judge, nothing new", &mut |state| health::judge(state, 2));
    time("ask, nothing new", &mut health::ask);
    time("deadline", &mut |state| assert_eq!(next_deadline_ms(state), None));
    time("tell", &mut |state| assert_eq!(health::Checks::of(state).of_host(1).len(), before.live[&1].checks.len()));
    time("choose all", &mut |state| {
        state.checkers = Arc::default();
        health::ask(state);
    });
    time("one host less", &mut |state| {
        state.live.remove(&1);
        health::ask(state);
    });
    println!("milliseconds: {took_ms:?}");
    assert_ne!(state.checkers, before.checkers);
    assert_eq!(state.containers, before.containers);
    assert!(took_ms.values().all(|ms| *ms < 1_000.0), "{took_ms:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_table_made_from_an_older_one_is_the_table(
        steps in proptest::collection::vec(proptest::collection::btree_set(1u32..12, 0..12), 1..6)
    ) {
        let mut table_now = Checkers::default();
        for hosts in steps {
            let hosts: Vec<u32> = hosts.into_iter().collect();
            table_now = table(&table_now, &hosts, 30);
            prop_assert_eq!(&table_now, &table(&Checkers::default(), &hosts, 30));
            for id in 1..=30 {
                let asked: Vec<u32> = table_now.of(id).collect();
                let others = hosts.iter().filter(|host| **host != id % 7 + 1).count();
                let expected = if others == 0 { usize::from(!hosts.is_empty()) } else { others.min(3) };
                prop_assert_eq!(asked.len(), expected);
            }
        }
    }
}
