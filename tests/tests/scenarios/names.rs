//! E13 and issue point 9: names as containers see them.

use std::collections::BTreeMap;

use remuda_lab::netns;
use remuda_tests::stack::{Fleet, text};

const STACK: &str = "services:
  web:
    command: [sleep, '86400']
    deploy: {replicas: 3}
  client:
    command: [sleep, '86400']
";
const SERVER: &str = "@169.254.169.250";

/// `dig` inside a container, short form.
fn dig(namespace: &str, args: &[&str]) -> Vec<String> {
    let out = netns::output(namespace, &[&["dig", "+time=2", "+tries=2", SERVER], args].concat()).unwrap();
    out.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
}

fn addresses(fleet: &Fleet, service: &str) -> Vec<String> {
    let mut found: Vec<String> = fleet
        .containers()
        .unwrap()
        .iter()
        .filter(|c| c["service"] == service)
        .map(|c| text(c, "ip").to_owned())
        .collect();
    found.sort();
    found
}

#[test]
fn e13_a_service_answers_its_shuffled_addresses_each_first_equally_often() {
    let fleet = Fleet::up("e13", 3).unwrap();
    fleet.deploy("hms", STACK).unwrap();
    let client = fleet.netns("hms-client-1").unwrap();
    let wanted = addresses(&fleet, "web");
    let questions = fleet.file("questions", &"web A\nWEB.HMS A\n".repeat(500)).unwrap();
    let lines = dig(&client, &["+noall", "+answer", "-f", &questions.display().to_string()]);
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for answer in lines.chunks(3) {
        let mut ips: Vec<String> = answer.iter().map(|l| l.split_whitespace().last().unwrap().to_owned()).collect();
        *first.entry(ips[0].clone()).or_default() += 1;
        assert!(answer.iter().all(|l| l.split_whitespace().nth(1).is_some_and(|ttl| ttl == "1")), "TTL: {answer:?}");
        ips.sort();
        assert_eq!(ips, wanted);
    }
    assert_eq!(first.values().sum::<usize>(), 1000);
    assert!(first.values().all(|count| (280..=390).contains(count)), "not shuffled evenly: {first:?}");
}

#[test]
fn every_spelling_of_a_name_answers_and_other_types_are_nodata() {
    let fleet = Fleet::up("names", 2).unwrap();
    fleet.deploy("hms", STACK).unwrap();
    let client = fleet.netns("hms-client-1").unwrap();
    let web = addresses(&fleet, "web");
    for name in ["web", "web.hms", "web.hms.default.remuda.internal", "tasks.web", "tasks.web.hms"] {
        let mut found = dig(&client, &["+short", name]);
        found.sort();
        assert_eq!(found, web, "{name}");
    }
    assert_eq!(dig(&client, &["+short", "hms-web-2"]).len(), 1);
    let vip = dig(&client, &["+short", "vip.web.hms"]);
    let services = fleet.list(&["services"]).unwrap();
    let listed = services.iter().find(|s| s["name"] == "web").map(|s| text(s, "vip").to_owned());
    assert_eq!(vip.first().cloned(), listed);
    for kind in ["AAAA", "MX", "TXT"] {
        let whole = dig(&client, &["+noall", "+comments", "+authority", kind, "web"]).join("\n");
        assert!(whole.contains("NOERROR") && whole.contains("SOA"), "{kind} of web: {whole}");
    }
    let unknown = dig(&client, &["+noall", "+comments", "nobody.hms"]).join("\n");
    assert!(unknown.contains("NXDOMAIN"), "{unknown}");
    assert_eq!(dig(&client, &["+short", "+tcp", "web"]).len(), 3, "over TCP");
}
