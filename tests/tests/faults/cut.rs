//! E8, E9, E15: a host's cable is pulled, and plugged in again.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::{LIMIT, backends_alive};
use remuda_lab::fault::Direction;
use remuda_lab::wait_for;
use remuda_tests::crowd::{Crowd, LINES, Member};
use remuda_tests::figure;
use remuda_tests::probe::{Connects, Flows, Names};

const REPLICAS: usize = 30;
/// The server lives on h1.
const SURVIVOR: &str = "h1";
/// After the cable is back, for what should not happen any more.
const AFTERMATH: Duration = Duration::from_secs(3);

#[test]
fn e8_e9_e15_a_host_that_is_cut_off_is_replaced_and_comes_back_without_doubles() {
    let crowd = super::crowd("f-cut", 3, REPLICAS);
    for _ in 0..super::rounds() {
        cut_and_heal(&crowd);
    }
    super::end(crowd);
}

/// Look-ups on every host and connections by VIP from every survivor, during the cut and after it.
struct Watch {
    names: Vec<Names>,
    lists: Vec<Connects>,
}

impl Watch {
    fn start(crowd: &Crowd, survivors: &[&str]) -> Watch {
        let client = |host: &&str| crowd.client(host).unwrap();
        let vip = crowd.vip().to_string();
        Watch {
            names: survivors.iter().map(|h| Names::start(&format!("on {h}"), &client(h), "web", 50).unwrap()).collect(),
            lists: survivors
                .iter()
                .map(|h| Connects::start(&format!("by VIP on {h}"), &client(h), &vip, 20).unwrap())
                .collect(),
        }
    }
}

fn cut_and_heal(crowd: &Crowd) {
    let (victim, lost) = fullest(crowd);
    let addresses: Vec<Ipv4Addr> = lost.iter().map(|member| member.ip).collect();
    let survivors: Vec<&str> = ["h1", "h2", "h3"].into_iter().filter(|host| *host != victim).collect();
    let watch = Watch::start(crowd, &survivors);
    let bystanders = between_survivors(crowd, &victim);

    let begin = Instant::now();
    let cut = crowd.fleet.lab.cut_off(&[&victim]).unwrap();
    wait_for("the host is listed as dead", LIMIT, || Ok((crowd.host_states()?[&victim] == "dead").then_some(())))
        .unwrap();
    figure::seconds("E8 host cut off until it is listed as dead", begin.elapsed());
    wait_for("30 run on the others", LIMIT, || {
        let running = crowd.members()?.into_iter().filter(|member| member.host != victim).count();
        Ok((running == REPLICAS).then_some(()))
    })
    .unwrap();
    figure::seconds("E8 host cut off until 30 of 30 run on the others", begin.elapsed());
    for host in &survivors {
        wait_for(&format!("{host} answers 30 addresses"), LIMIT, || {
            Ok((crowd.look_up(host, "web")?.addresses.len() == REPLICAS).then_some(()))
        })
        .unwrap();
    }
    bystanders.stop().assert_clean();
    let gone = out_of_dns_and_lists(watch, begin, &addresses);
    figure::seconds("E15 host cut off until its addresses are out of every survivor's DNS", gone.0);
    figure::seconds("E8 host cut off until new connections by VIP avoid it", gone.1);
    heal(crowd, cut, &victim, &survivors);
}

/// Open connections that the cut is none of the business of.
fn between_survivors(crowd: &Crowd, victim: &str) -> Flows {
    let there = crowd.members().unwrap().into_iter().find(|member| member.host != victim).expect("a survivor's");
    let from = ["h1", "h2", "h3"].into_iter().find(|host| *host != victim && *host != there.host).expect("another");
    Flows::open("between survivors", &crowd.client(from).unwrap(), (there.ip, LINES).into(), 4).unwrap()
}

/// The host other than the server's that runs most.
fn fullest(crowd: &Crowd) -> (String, Vec<Member>) {
    let hosts = ["h2", "h3"].map(|host| (host.to_owned(), crowd.members_on(host).unwrap()));
    hosts.into_iter().max_by_key(|(_, members)| members.len()).expect("two hosts")
}

fn out_of_dns_and_lists(watch: Watch, begin: Instant, addresses: &[Ipv4Addr]) -> (Duration, Duration) {
    let lines: Vec<_> = watch.names.into_iter().map(Names::stop).collect();
    let tallies: Vec<_> = watch.lists.into_iter().map(Connects::stop).collect();
    for line in &lines {
        line.tally().assert_clean();
        assert!(line.duplicates().is_empty() && line.most() <= REPLICAS, "{}: {:?}", line.what, line.duplicates());
    }
    let names = lines.iter().map(|line| line.gone_after(begin, addresses)).max().unwrap_or_default();
    let lists = tallies.iter().map(|tally| tally.failing_for(begin)).max().unwrap_or_default();
    (names, lists)
}

/// The host still runs what was placed elsewhere meanwhile: that ends, and never shows.
fn heal(crowd: &Crowd, cut: remuda_lab::fault::Cut, victim: &str, survivors: &[&str]) {
    let kept = crowd.pids().unwrap();
    assert!(backends_alive() > REPLICAS, "what was cut off should run on");
    let watch = Watch::start(crowd, survivors);
    let begin = Instant::now();
    cut.heal().unwrap();
    wait_for("no more than 30 run", LIMIT, || Ok((backends_alive() <= REPLICAS).then_some(()))).unwrap();
    figure::seconds("E9 link restored until no more than 30 run", begin.elapsed());
    wait_for("the host is ready", LIMIT, || Ok((crowd.host_states()?[victim] == "ready").then_some(()))).unwrap();
    figure::seconds("E9 link restored until the host is ready", begin.elapsed());
    super::pass(AFTERMATH);
    assert_eq!(backends_alive(), REPLICAS);
    assert_eq!(crowd.pids().unwrap(), kept, "what replaced the lost ones was touched");
    for line in watch.names.into_iter().map(Names::stop) {
        line.tally().assert_clean();
        assert!(line.duplicates().is_empty() && line.most() <= REPLICAS, "{}: {:?}", line.what, line.duplicates());
    }
    watch.lists.into_iter().map(Connects::stop).for_each(|tally| tally.assert_clean());
    wait_for("the returned host answers the same 30", LIMIT, || {
        let (mut here, mut there) = (crowd.look_up(victim, "web")?.addresses, crowd.look_up("h1", "web")?.addresses);
        here.sort_unstable();
        there.sort_unstable();
        Ok((here == there && here.len() == REPLICAS).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_host_that_is_not_heard_or_hears_nothing_is_lost_and_comes_back() {
    let crowd = super::crowd("f-oneway", 3, 6);
    for direction in [Direction::FromHost, Direction::ToHost] {
        let filter = crowd.fleet.lab.one_way("h3", direction).unwrap();
        wait_for(&format!("with {direction:?} cut, all run on the others"), LIMIT, || {
            let members = crowd.members()?;
            Ok((members.len() == 6 && members.iter().all(|member| member.host != "h3")).then_some(()))
        })
        .unwrap();
        filter.heal().unwrap();
        wait_for("all are ready and 6 run", LIMIT, || {
            let are_ready = crowd.host_states()?.values().all(|state| state == "ready");
            Ok((are_ready && backends_alive() == 6).then_some(()))
        })
        .unwrap();
        assert_eq!(crowd.look_up(SURVIVOR, "web").unwrap().addresses.len(), 6);
        spread(&crowd);
    }
    super::end(crowd);
}

/// Places something on the empty host again.
fn spread(crowd: &Crowd) {
    crowd.fleet.remuda(&["scale", "app/web=3"]).unwrap();
    crowd.fleet.remuda(&["scale", "app/web=6"]).unwrap();
}
