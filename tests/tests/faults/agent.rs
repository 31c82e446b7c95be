//! E12: an agent dies under traffic and stays away; its host's kernel and containers go on without it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::LIMIT;
use remuda_lab::{netns, wait_for};
use remuda_tests::crowd::{Crowd, LINES, Member};
use remuda_tests::figure;
use remuda_tests::lookup::look_up_within;
use remuda_tests::probe::{Connects, Datagrams, Flows, Tally};

/// Longer than any lease; SCENARIOS.md's minute is `REMUDA_FAULTS_AGENT_AWAY_S=60`.
const AWAY_S: u64 = 12;
const HOST: &str = "h3";

/// Traffic to, from and through the host whose agent dies.
struct Traffic {
    flows: Vec<Flows>,
    connects: Vec<Connects>,
    datagrams: Datagrams,
}

impl Traffic {
    fn start(crowd: &Crowd, there: &Member) -> Traffic {
        let (near, far, outside) = (crowd.client(HOST).unwrap(), crowd.client("h2").unwrap(), crowd.outside().unwrap());
        let address = SocketAddr::from((there.ip, LINES));
        let (vip, published) = (crowd.vip(), crowd.published(HOST).unwrap());
        let routes = [
            ("to an address of the host", &far, address),
            ("from the host to the VIP", &near, vip),
            ("to the VIP", &far, vip),
            ("from outside to a published port of the host", &outside, published),
        ];
        let flows = routes.iter().map(|(what, from, to)| Flows::open(what, from, *to, 3).unwrap()).collect();
        let connects =
            routes.iter().map(|(what, from, to)| Connects::start(what, from, &to.to_string(), 15).unwrap()).collect();
        let datagrams = Datagrams::start("to an address of the host", &far, address).unwrap();
        Traffic { flows, connects, datagrams }
    }

    fn stop(self) -> Vec<Tally> {
        let mut tallies: Vec<Tally> = self.flows.into_iter().map(Flows::stop).collect();
        tallies.extend(self.connects.into_iter().map(Connects::stop));
        tallies.push(self.datagrams.stop());
        tallies
    }
}

#[test]
fn e12_traffic_outlives_an_agent_and_its_return_restarts_nothing() {
    let mut crowd = super::crowd("f-agent", 3, 30);
    let before = crowd.pids().unwrap();
    let there = crowd.members_on(HOST).unwrap().remove(0);
    let traffic = Traffic::start(&crowd, &there);

    crowd.fleet.lab.kill(HOST).unwrap();
    super::pass(super::from_env("REMUDA_FAULTS_AGENT_AWAY_S", AWAY_S));
    let state = crowd.host_states().unwrap()[HOST].clone();
    let moved = crowd.pids().unwrap();
    let client = crowd.client(HOST).unwrap();
    let begin = Instant::now();
    let answered = std::thread::spawn(move || first_answer(&client, begin));
    crowd.fleet.lab.start(HOST).unwrap();
    wait_for("every host is ready again", LIMIT, || {
        Ok(crowd.host_states()?.values().all(|state| state == "ready").then_some(()))
    })
    .unwrap();
    figure::seconds("E12 agent started until its host is ready", begin.elapsed());
    let tallies = traffic.stop();
    let answered = answered.join().unwrap();
    figure::seconds("E12 agent started until names are answered on its host", answered);
    figure::count("E12 broken or failed connections, agent away", tallies.iter().map(|t| t.failures.len()).sum());
    assert_eq!(state, "control-lost", "an agent that is gone is no dead host");
    tallies.iter().for_each(Tally::assert_clean);
    assert_eq!(state, "control-lost", "an agent that is gone is no dead host");
    assert_eq!(moved, before, "something was moved or restarted while the agent was away");
    assert_eq!(crowd.pids().unwrap(), before, "the returned agent restarted something");
    super::end(crowd);
}

/// How long after `begin` names are answered in this namespace again.
fn first_answer(client: &str, begin: Instant) -> Duration {
    wait_for("names are answered again", LIMIT, || {
        let reply = netns::inside(client, || look_up_within("web", Duration::from_millis(50)))??;
        Ok((reply.addresses.len() == 30).then(|| begin.elapsed()))
    })
    .unwrap()
}

#[test]
fn an_agent_a_day_ahead_or_behind_is_no_dead_host_and_nothing_moves() {
    let mut crowd = super::crowd("f-clock", 3, 6);
    let before = crowd.pids().unwrap();
    // Behind, it cannot trust the server's certificate yet and says so; ahead, it renews its own.
    for (offset, states) in [("+1d", vec!["ready"]), ("-1d", vec!["ready", "control-lost"])] {
        crowd.fleet.lab.kill(HOST).unwrap();
        let shifted = crowd.fleet.lab.start_shifted(HOST, offset);
        // Past suspect and dead, were leases on the wall clock.
        super::pass(Duration::from_secs(7));
        let state = crowd.host_states().unwrap()[HOST].clone();
        assert!(states.contains(&state.as_str()), "with the clock at {offset} the host is {state}");
        assert_eq!(crowd.pids().unwrap(), before, "with the clock at {offset}");
        crowd.fleet.lab.kill(HOST).unwrap();
        drop(shifted);
        crowd.fleet.lab.start(HOST).unwrap();
    }
    let renewed = crowd.fleet.list(&["events"]).unwrap().iter().filter(|e| e["kind"] == "certificate-renewed").count();
    assert!(renewed <= 2, "{renewed} renewals in a few seconds");
    let log = crowd.fleet.lab.log(HOST, 200);
    assert!(log.contains("not valid yet"), "the host does not say that its clock is behind:\n{log}");
    super::end(crowd);
}
