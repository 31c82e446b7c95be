//! `retain_ip`: a host is cut off, and its containers are found elsewhere under the addresses they had.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use super::{LIMIT, backends_alive};
use remuda_lab::{netns, wait_for};
use remuda_tests::crowd::{Crowd, LINES};
use remuda_tests::figure;
use remuda_tests::probe::ask_line;

const REPLICAS: usize = 6;
const KEEPS: &str = "    x-remuda: {retain_ip: true, drain_timeout_ms: 0}\n";

#[test]
fn containers_of_a_host_that_is_cut_off_are_reached_elsewhere_under_their_own_addresses() {
    let crowd = super::crowd_with("f-keep", 3, REPLICAS, KEEPS);
    let before = addresses(&crowd);
    let begin = Instant::now();
    let cut = crowd.fleet.lab.cut_off(&["h3"]).unwrap();
    wait_for("all run on the others", LIMIT, || {
        let all = crowd.members()?;
        Ok((all.len() == REPLICAS && all.iter().all(|member| member.host != "h3")).then_some(()))
    })
    .unwrap();
    assert_eq!(addresses(&crowd), before, "each kept its address");
    everybody_is_reached_from(&crowd, &["h1", "h2"], &before);
    figure::seconds("retain_ip: host cut off until all answer under their addresses", begin.elapsed());

    drop(cut);
    wait_for("the host is back and has stopped what moved away", LIMIT, || {
        let is_ready = crowd.host_states()?["h3"] == "ready";
        Ok((is_ready && backends_alive() == REPLICAS).then_some(()))
    })
    .unwrap();
    everybody_is_reached_from(&crowd, &["h1", "h2", "h3"], &before);

    crowd.fleet.remuda(&["host", "drain", "h2"]).unwrap();
    wait_for("all run again", LIMIT, || Ok((crowd.members()?.len() == REPLICAS).then_some(()))).unwrap();
    assert_eq!(
        (addresses(&crowd), crowd.members_on("h2").unwrap().len()),
        (before.clone(), 0),
        "a drain keeps them too"
    );
    everybody_is_reached_from(&crowd, &["h1", "h3"], &before);
    super::end(crowd);
}

fn addresses(crowd: &Crowd) -> BTreeSet<Ipv4Addr> {
    crowd.members().unwrap().into_iter().map(|member| member.ip).collect()
}

fn everybody_is_reached_from(crowd: &Crowd, hosts: &[&str], addresses: &BTreeSet<Ipv4Addr>) {
    for (host, ip) in hosts.iter().flat_map(|host| addresses.iter().map(move |ip| (host, *ip))) {
        let from = crowd.client(host).unwrap();
        wait_for(&format!("{ip} answers on {host}"), LIMIT, || {
            netns::inside(&from, || ask_line(SocketAddr::from((ip, LINES))))?.map(Some).map_err(Into::into)
        })
        .unwrap();
    }
}
