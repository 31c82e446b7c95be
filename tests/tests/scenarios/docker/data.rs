//! E39: data of a volume is on one host, and whoever mounts it stays with it.

use super::{LIMIT, end, fleet, ours_everywhere};
use remuda_lab::wait_for;
use remuda_tests::stack::{Fleet, text};

const FILE: &str = "services:
  db:
    image: some/db
    volumes: ['data:/data', '/var/run/docker.sock:/var/run/docker.sock']
    deploy: {replicas: 2}
  backup:
    image: some/db
    volumes: ['data:/data:ro']
    deploy: {placement: {constraints: ['node.hostname == h2']}}
volumes:
  data: {}
";

#[test]
fn e39_who_mounts_a_volume_stays_with_its_data_and_waits_for_its_host() {
    let Some(fleet) = fleet("data", &[("some/db", 80)]) else { return };
    let path = fleet.file("shop.yml", FILE).unwrap().display().to_string();
    let out = fleet.lab.remuda(&["up", "-f", &path, "-s", "shop"]).unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    let warning = "warning: service db mounts /var/run/docker.sock: who controls it is root on its host";
    assert_eq!(said.lines().filter(|line| line.starts_with("warning: ")).collect::<Vec<_>>(), [warning]);
    let home = home(&fleet);
    assert_eq!(home, "h2", "the backup is held there by its constraint, and the rest by the volume");
    assert!(fleet.containers().unwrap().iter().all(|c| c["host"] == home.as_str()));
    let refused = fleet.lab.remuda(&["volume", "rm", "shop_data"]).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("mounted by shop-backup-1"), "{said}");

    a_limited_key_is_refused(&fleet, &path);
    the_host_dies_and_comes_back(&fleet, &home);

    fleet.remuda(&["down", "shop"]).unwrap();
    assert_eq!(ours_everywhere(&fleet), Vec::<String>::new());
    assert_eq!(volumes_of_engine(&fleet, &home), ["shop_data"], "down keeps it");
    fleet.remuda(&["volume", "rm", "shop_data"]).unwrap();
    assert!(volumes_of_engine(&fleet, &home).is_empty() && fleet.list(&["volume", "ls"]).unwrap().is_empty());
    end(fleet);
}

fn home(fleet: &Fleet) -> String {
    let volumes = fleet.list(&["volume", "ls"]).unwrap();
    assert_eq!((volumes.len(), text(&volumes[0], "name")), (1, "shop_data"));
    text(&volumes[0], "host").to_owned()
}

fn a_limited_key_is_refused(fleet: &Fleet, path: &str) {
    let key = fleet.remuda(&["key", "create", "ci", "--no-host-access"]).unwrap();
    let file = fleet.file("ci.key", &key).unwrap().display().to_string();
    let out = fleet.lab.remuda(&["--key-file", &file, "up", "-d", "-f", path, "-s", "shop"]).unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && said.contains("services.db.engine.mounts[1]"), "{said}");
    fleet.remuda(&["key", "rm", "ci"]).unwrap();
    assert!(!fleet.lab.remuda(&["--key-file", &file, "ps"]).unwrap().status.success());
}

fn the_host_dies_and_comes_back(fleet: &Fleet, home: &str) {
    let cut = fleet.lab.cut_off(&[home]).unwrap();
    let why = format!("volume shop_data is on {home}, which is dead");
    wait_for("all wait for their volume's host", LIMIT, || {
        let all = fleet.containers()?;
        let waits = |c: &serde_json::Value| c["state"] == "pending" && text(c, "reason") == why;
        if all.len() == 3 && all.iter().all(waits) { Ok(Some(())) } else { anyhow::bail!("{all:?}") }
    })
    .unwrap();
    drop(cut);
    wait_for("all run again where they were", LIMIT, || {
        let all = fleet.containers()?;
        Ok(all.iter().all(|c| c["state"] == "running" && c["host"] == home).then_some(()))
    })
    .unwrap();
}

fn volumes_of_engine(fleet: &Fleet, host: &str) -> Vec<String> {
    let said = fleet.lab.engine(host).unwrap().docker(&["volume", "ls", "-q"]).unwrap();
    said.lines().map(str::to_owned).collect()
}
