//! E16 to E20: what other hosts find of a container, and what follows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{BACKEND, LIMIT};
use anyhow::Result;
use remuda_lab::{netns, wait_for};
use remuda_tests::crowd::{Crowd, HTTP, Member};
use remuda_tests::figure;
use remuda_tests::probe::Names;
use remuda_tests::stack::text;
use serde_json::Value;

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

/// A check by HTTP with `more` keys, as `web` says it.
fn checked(more: &str) -> String {
    format!("    x-remuda: {{health_check: {{port: {HTTP}, request_line: GET / HTTP/1.0, {more}}}}}")
}

/// Quick, so that a test waits seconds for what takes a fleet ten.
const QUICK: &str = "interval: 500, response_timeout: 500, healthy_threshold: 2, unhealthy_threshold: 3";

/// Tells a backend what to answer checks from now on.
fn be(crowd: &Crowd, member: &Member, status: u16) {
    let to = SocketAddr::from((member.ip, HTTP));
    netns::inside(&crowd.client("h1").unwrap(), || -> std::io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&to, LIMIT)?;
        write!(stream, "GET /be/{status} HTTP/1.0\r\n\r\n")?;
        stream.read_to_string(&mut String::new()).map(drop)
    })
    .unwrap()
    .unwrap();
}

fn listed(crowd: &Crowd, name: &str) -> Result<Value> {
    let all = crowd.fleet.containers()?;
    Ok(all.into_iter().find(|c| c["name"] == name).unwrap_or_default())
}

/// Waits until this container is listed with this health.
fn wait_health(crowd: &Crowd, name: &str, health: &str) -> Value {
    wait_for(&format!("{name} is {health}"), LIMIT, || {
        let found = listed(crowd, name)?;
        Ok((found["health"] == health).then_some(found))
    })
    .unwrap()
}

/// Waits until every host answers exactly these.
fn wait_names(crowd: &Crowd, members: &[Member]) {
    let mut wanted: Vec<_> = members.iter().map(|member| member.ip).collect();
    wanted.sort_unstable();
    for host in HOSTS {
        wait_for(&format!("{host} answers {wanted:?}"), LIMIT, || {
            let mut found = crowd.look_up(host, "web")?.addresses;
            found.sort_unstable();
            Ok((found == wanted).then_some(()))
        })
        .unwrap();
    }
}

#[test]
fn e16_e17_e18_e20_unhealthy_containers_leave_names_and_are_replaced_as_their_strategy_says() {
    let crowd = super::crowd_with("f-health", 3, 3, &checked(&format!("{QUICK}, strategy: none")));
    e18_one_checker_that_does_not_reach_it_changes_nothing(&crowd);
    e16_left_alone(&crowd);
    e20_all_unhealthy(&crowd);
    e17_quorum(&crowd);
    e16_replaced(&crowd);
    super::end(crowd);
}

fn e18_one_checker_that_does_not_reach_it_changes_nothing(crowd: &Crowd) {
    let member = crowd.members_on("h3").unwrap().remove(0);
    let broken = crowd.fleet.lab.part("h2", "h3").unwrap();
    let names = Names::start("on h1", &crowd.client("h1").unwrap(), "web", 20).unwrap();
    // Several intervals and thresholds of a check that is asked twice a second.
    super::pass(Duration::from_secs(5));
    let found = listed(crowd, &member.name).unwrap();
    assert_eq!((text(&found, "health"), found["pid"].as_u64()), ("healthy", Some(member.pid.into())));
    let line = names.stop();
    assert!(line.looks.iter().all(|look| look.outcome.as_ref().is_ok_and(|r| r.addresses.contains(&member.ip))));
    broken.heal().unwrap();
    wait_for("every host is ready", LIMIT, || {
        Ok(crowd.host_states()?.values().all(|state| state == "ready").then_some(()))
    })
    .unwrap();
}

fn e16_left_alone(crowd: &Crowd) {
    let members = crowd.members().unwrap();
    let (sick, well) = members.split_first().expect("three");
    be(crowd, sick, 500);
    let found = wait_health(crowd, &sick.name, "unhealthy");
    assert!(text(&found, "reason").contains("500"), "no reason: {found}");
    wait_names(crowd, well);
    super::pass(Duration::from_secs(2));
    assert_eq!(
        listed(crowd, &sick.name).unwrap()["pid"].as_u64(),
        Some(sick.pid.into()),
        "strategy none left it alone"
    );
    be(crowd, sick, 200);
    wait_health(crowd, &sick.name, "healthy");
    wait_names(crowd, &members);
}

fn e20_all_unhealthy(crowd: &Crowd) {
    let members = crowd.members().unwrap();
    members.iter().for_each(|member| be(crowd, member, 500));
    for host in HOSTS {
        wait_for(&format!("{host} answers that there is no address now"), LIMIT, || {
            let reply = crowd.look_up(host, "web")?;
            Ok((reply.rcode == 0 && reply.addresses.is_empty() && reply.has_soa).then_some(()))
        })
        .unwrap();
    }
    members.iter().for_each(|member| be(crowd, member, 200));
    wait_names(crowd, &members);
}

/// Both are unhealthy before the strategy may act: else the first would be replaced while two were well.
fn e17_quorum(crowd: &Crowd) {
    let members = crowd.members().unwrap();
    for sick in &members[..2] {
        be(crowd, sick, 500);
        wait_health(crowd, &sick.name, "unhealthy");
    }
    let strategy = "strategy: recreateOnQuorum, recreate_on_quorum_strategy_config: {quorum: 2}";
    crowd.declare(3, BACKEND, &checked(&format!("{QUICK}, {strategy}"))).unwrap();
    super::pass(Duration::from_secs(2));
    let pids: Vec<u32> = crowd.members().unwrap().iter().map(|member| member.pid).collect();
    assert!(members.iter().all(|member| pids.contains(&member.pid)), "1 healthy is below the quorum of 2: {pids:?}");
    be(crowd, &members[1], 200);
    wait_replaced(crowd, &members[0]);
    let pids: Vec<u32> = crowd.members().unwrap().iter().map(|member| member.pid).collect();
    assert!(pids.contains(&members[1].pid) && pids.contains(&members[2].pid), "a healthy one was replaced");
}

/// Three are healthy again, and the sick one's process is not among them.
fn wait_replaced(crowd: &Crowd, sick: &Member) {
    wait_for(&format!("{} is replaced", sick.name), LIMIT, || {
        let members = crowd.members()?;
        let are_healthy =
            crowd.fleet.containers()?.iter().filter(|c| c["service"] == "web" && c["health"] == "healthy").count() == 3;
        Ok((members.len() == 3 && are_healthy && members.iter().all(|m| m.pid != sick.pid)).then_some(()))
    })
    .unwrap();
    wait_names(crowd, &crowd.members().unwrap());
}

/// With SCENARIOS.md's times: every 2 s, three in a row.
fn e16_replaced(crowd: &Crowd) {
    crowd.change(3, BACKEND, &checked("interval: 2000, response_timeout: 2000, unhealthy_threshold: 3")).unwrap();
    for _ in 0..super::rounds() {
        let sick = crowd.members().unwrap().remove(0);
        let names: Vec<Names> = HOSTS
            .iter()
            .map(|host| Names::start(&format!("on {host}"), &crowd.client(host).unwrap(), "web", 50).unwrap())
            .collect();
        let begin = Instant::now();
        be(crowd, &sick, 500);
        wait_replaced(crowd, &sick);
        figure::seconds("E16 answers 500 until it is replaced", begin.elapsed());
        let gone = names.into_iter().map(Names::stop).map(|line| {
            line.tally().assert_clean();
            line.gone_after(begin, &[sick.ip])
        });
        figure::seconds(
            "E16 answers 500 (2 s interval, fall 3) until it is out of every host's DNS",
            gone.max().unwrap(),
        );
    }
}

#[test]
fn e19_a_container_that_never_becomes_healthy_is_unhealthy_after_its_initializing_timeout() {
    let fleet = remuda_tests::stack::Fleet::up("f-init", 2).unwrap();
    let check = checked("interval: 500, response_timeout: 500, initializing_timeout: 4000, strategy: none");
    let file = format!("services:\n  web:\n    command: ['{BACKEND}', '500']\n{check}\n");
    let path = fleet.file("app.yml", &file).unwrap();
    fleet.remuda(&["up", "-d", "-f", &path.display().to_string(), "-s", "app"]).unwrap();
    fleet.wait("it runs", |all| all.iter().any(|c| c["state"] == "running").then_some(())).unwrap();
    let begin = Instant::now();
    let seen = fleet.wait("it has a verdict", |all| all.iter().find(|c| c["health"] != "initializing").cloned());
    figure::seconds("E19 initializing timeout of 4 s: started until unhealthy", begin.elapsed());
    let seen = seen.unwrap();
    assert_eq!(text(&seen, "health"), "unhealthy", "{seen}");
    assert!(begin.elapsed() > Duration::from_secs(2), "judged before its time was over");
    let name = fleet.lab.name.clone();
    drop(fleet);
    assert_eq!(remuda_lab::residue(&name), Vec::<String>::new());
}
