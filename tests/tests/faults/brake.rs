//! Many hosts at once: half of them is an accident and moved, more than half is somebody's network and is not.

use std::time::Duration;

use super::{LIMIT, backends_alive};
use remuda_lab::wait_for;
use remuda_tests::stack::text;

const REPLICAS: usize = 10;

#[test]
fn two_of_four_hosts_cut_off_at_once_are_replaced() {
    let crowd = super::crowd("f-half", 4, REPLICAS);
    let cut = crowd.fleet.lab.cut_off(&["h3", "h4"]).unwrap();
    wait_for("all run on the two others", LIMIT, || {
        let members = crowd.members()?;
        let are_safe = members.iter().all(|member| ["h1", "h2"].contains(&member.host.as_str()));
        Ok((members.len() == REPLICAS && are_safe).then_some(()))
    })
    .unwrap();
    cut.heal().unwrap();
    wait_for("the doubles end", LIMIT, || Ok((backends_alive() == REPLICAS).then_some(()))).unwrap();
    super::end(crowd);
}

#[test]
fn three_of_five_hosts_cut_off_at_once_stay_where_they_are_with_one_alarm() {
    let crowd = super::crowd("f-brake", 5, REPLICAS);
    let before: Vec<(String, String)> = homes(&crowd);
    let cut = crowd.fleet.lab.cut_off(&["h3", "h4", "h5"]).unwrap();
    wait_for("the alarm", LIMIT, || Ok((!alarms(&crowd)?.is_empty()).then_some(()))).unwrap();
    // Past the moment at which they would be moved one by one.
    super::pass(Duration::from_secs(6));
    assert_eq!(homes(&crowd), before, "something was moved although the brake holds");
    assert_eq!(alarms(&crowd).unwrap().len(), 1, "one accident, one alarm");
    assert_eq!(backends_alive(), REPLICAS);
    cut.heal().unwrap();
    wait_for("all hosts are ready", LIMIT, || {
        Ok(crowd.host_states()?.values().all(|state| state == "ready").then_some(()))
    })
    .unwrap();
    assert_eq!(homes(&crowd), before);
    super::end(crowd);
}

/// Which backend is placed where.
fn homes(crowd: &remuda_tests::crowd::Crowd) -> Vec<(String, String)> {
    let all = crowd.fleet.containers().unwrap();
    let web = all.iter().filter(|c| c["service"] == "web");
    web.map(|c| (text(c, "name").to_owned(), text(c, "host").to_owned())).collect()
}

fn alarms(crowd: &remuda_tests::crowd::Crowd) -> anyhow::Result<Vec<String>> {
    let events = crowd.fleet.list(&["events"])?;
    let mine = events.iter().filter(|event| text(event, "kind").contains("brake"));
    Ok(mine.map(|event| text(event, "message").to_owned()).collect())
}
