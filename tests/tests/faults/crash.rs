//! E14: a container dies, dies again and again, or is deleted behind everybody's back.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::LIMIT;
use remuda_lab::{netns, process, wait_for};
use remuda_tests::crowd::{Crowd, LINES};
use remuda_tests::figure;
use remuda_tests::probe::{Names, Timeline, ask_line};
use remuda_tests::stack::text;

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

#[test]
fn e14_a_killed_container_leaves_every_hosts_names_and_comes_back() {
    let crowd = super::crowd("f-crash", 3, 30);
    for _ in 0..super::rounds() {
        kill_one(&crowd);
    }
    a_holder_killed_by_hand_is_replaced(&crowd);
    super::end(crowd);
}

fn kill_one(crowd: &Crowd) {
    let victim = crowd.members_on("h3").unwrap().remove(0);
    let names: Vec<Names> = HOSTS
        .iter()
        .map(|host| Names::start(&format!("on {host}"), &crowd.client(host).unwrap(), "web", 100).unwrap())
        .collect();
    // A restart takes its back-off, so its address is away for a while; until then it must be seen once.
    super::pass(Duration::from_millis(200));
    let begin = Instant::now();
    process::kill_all(&[victim.pid]);
    let to = SocketAddr::from((victim.ip, LINES));
    let client = crowd.client("h1").unwrap();
    wait_for("the container answers again", LIMIT, || {
        netns::inside(&client, || ask_line(to))?.map(Some).map_err(Into::into)
    })
    .unwrap();
    for host in HOSTS {
        wait_for(&format!("{host} answers its address again"), LIMIT, || {
            Ok(crowd.look_up(host, "web")?.addresses.contains(&victim.ip).then_some(()))
        })
        .unwrap();
    }
    for (host, line) in HOSTS.iter().zip(names.into_iter().map(Names::stop)) {
        line.tally().assert_clean();
        let gone = first_without(&line, begin, &victim.ip);
        let whose = if *host == "h3" { "its own host" } else { "another host" };
        figure::seconds(&format!("E14 killed container out of DNS on {whose}"), gone);
    }
}

/// When an answer first lacked the address.
fn first_without(line: &Timeline, begin: Instant, ip: &std::net::Ipv4Addr) -> Duration {
    let lacks = line
        .looks
        .iter()
        .find(|look| look.at > begin && look.outcome.as_ref().is_ok_and(|reply| !reply.addresses.contains(ip)));
    lacks.unwrap_or_else(|| panic!("{}: {ip} never left", line.what)).at - begin
}

/// A deleted container: what holds its namespaces is gone with all below it.
fn a_holder_killed_by_hand_is_replaced(crowd: &Crowd) {
    let victim = crowd.members_on("h2").unwrap().remove(0);
    let holder = holder_of(victim.pid).expect("a container has a holder");
    process::kill_tree(holder);
    let found = wait_for("another container takes the place of the deleted one", LIMIT, || {
        let members = crowd.members()?;
        Ok((members.len() == 30 && members.iter().all(|member| member.pid != victim.pid)).then_some(members))
    });
    let members = found.unwrap();
    for host in HOSTS {
        wait_for(&format!("{host} answers 30 addresses"), LIMIT, || {
            let mut addresses = crowd.look_up(host, "web")?.addresses;
            addresses.sort_unstable();
            let mut wanted: Vec<_> = members.iter().map(|member| member.ip).collect();
            wanted.sort_unstable();
            Ok((addresses == wanted).then_some(()))
        })
        .unwrap();
    }
}

/// The process above a container's that is called `remuda hold`.
fn holder_of(pid: u32) -> Option<u32> {
    let mut at = pid;
    let mut found = None;
    while let Some(parent) = process::parent(at).filter(|parent| *parent > 1) {
        if process::argv(parent).iter().any(|word| word == "hold") {
            found = Some(parent);
        }
        at = parent;
    }
    found
}

#[test]
fn a_container_that_crashes_again_and_again_says_so_with_its_last_words() {
    let fleet = remuda_tests::stack::Fleet::up("f-loop", 2).unwrap();
    let file = "services:
  web:
    command: [sh, -c, 'echo cannot find the moon >&2; exit 7']
";
    let path = fleet.file("app.yml", file).unwrap();
    fleet.remuda(&["up", "-d", "-f", &path.display().to_string(), "-s", "app"]).unwrap();
    let seen = fleet.wait("it has been restarted and says why", |all| {
        let c = all.iter().find(|c| c["service"] == "web")?;
        let reason = text(c, "reason").to_owned();
        (c["restarts"].as_u64() >= Some(3) && reason.contains("moon")).then_some((reason, text(c, "state").to_owned()))
    });
    let (reason, state) = seen.unwrap();
    assert_ne!(state, "running", "it does not run: {reason}");
    assert!(reason.contains('7'), "the exit code is not told: {reason}");
    let name = fleet.lab.name.clone();
    drop(fleet);
    assert_eq!(remuda_lab::residue(&name), Vec::<String>::new());
}
