//! E10, E11: the server dies and stays away; everything on the hosts goes on, and its return moves nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::LIMIT;
use remuda_lab::{process, wait_for};
use remuda_tests::crowd::{Crowd, LINES, Member};
use remuda_tests::figure;
use remuda_tests::lookup::look_up;
use remuda_tests::probe::{Connects, Datagrams, Flows, Names, Tally, ask_line};

/// Long enough for every lease, cache and retry of ours; SCENARIOS.md's two minutes are `REMUDA_FAULTS_SERVER_AWAY_S=120`.
const AWAY_S: u64 = 12;

#[test]
fn e10_e11_without_the_server_everything_goes_on_and_its_return_restarts_nothing() {
    let mut crowd = super::crowd("f-server", 3, 30);
    let before = crowd.pids().unwrap();
    let victim = crowd.members_on("h3").unwrap().remove(0);
    let others: Vec<Member> = crowd.members().unwrap().into_iter().filter(|m| m.name != victim.name).collect();
    let (client, outside) = (crowd.client("h2").unwrap(), crowd.outside().unwrap());
    let remote = others.iter().find(|m| m.host == "h3").unwrap();

    let names = Names::start("on h2", &client, "web", 20).unwrap();
    let address = SocketAddr::from((remote.ip, LINES));
    let flows = Flows::open("to an address", &client, address, 4).unwrap();
    let routes = [
        ("by address", &client, address),
        ("by VIP", &client, crowd.vip()),
        ("by published port", &outside, crowd.published("h2").unwrap()),
    ];
    let connects = routes.map(|(what, from, to)| Connects::start(what, from, &to.to_string(), 15).unwrap());
    let echoes = Datagrams::start("to an address", &client, address).unwrap();
    crowd.fleet.lab.kill("server").unwrap();
    super::pass(super::from_env("REMUDA_FAULTS_SERVER_AWAY_S", AWAY_S));
    let mut calm: Vec<Tally> = connects.map(Connects::stop).into();
    calm.extend([flows.stop(), echoes.stop(), names.stop().tally()]);
    figure::count("E10 failed look-ups and connections, server away", calm.iter().map(|t| t.failures.len()).sum());
    calm.iter().for_each(Tally::assert_clean);

    let restarted = restart_by_agent(&crowd, &victim, &client);
    figure::seconds("E10 crashed container restarted by its agent", restarted);
    let connects = routes.map(|(what, from, to)| Connects::start(what, from, &to.to_string(), 15).unwrap());

    let begin = Instant::now();
    crowd.fleet.lab.start("server").unwrap();
    let states = wait_for("every host is ready again", LIMIT, || {
        let states = crowd.host_states()?;
        Ok(states.values().all(|state| state == "ready").then_some(states))
    });
    figure::seconds("E11 server started until all hosts are ready", begin.elapsed());
    assert_eq!(states.unwrap().len(), 3);
    crowd
        .fleet
        .wait("all are listed as running", |all| {
            let running = all.iter().filter(|c| c["service"] == "web" && c["state"] == "running").count();
            (running == 30).then_some(())
        })
        .unwrap();
    connects.map(Connects::stop).iter().for_each(Tally::assert_clean);
    let mut after = crowd.pids().unwrap();
    assert_ne!(after.insert(victim.name.clone(), before[&victim.name]), Some(before[&victim.name]));
    assert_eq!(after, before, "a container was restarted, moved or doubled");
    super::end(crowd);
}

/// Kills a container's process; how long until it answers again, and until its name is back, without a server.
fn restart_by_agent(crowd: &Crowd, victim: &Member, from: &str) -> Duration {
    let begin = Instant::now();
    process::kill_all(&[victim.pid]);
    let to = SocketAddr::from((victim.ip, LINES));
    wait_for("the container answers again", LIMIT, || {
        remuda_lab::netns::inside(from, || ask_line(to))?.map(Some).map_err(Into::into)
    })
    .unwrap();
    let took = begin.elapsed();
    let client = crowd.client(&victim.host).unwrap();
    wait_for("its host answers its address again", LIMIT, || {
        let reply = remuda_lab::netns::inside(&client, || look_up("web"))??;
        Ok(reply.addresses.contains(&victim.ip).then_some(()))
    })
    .unwrap();
    took
}
