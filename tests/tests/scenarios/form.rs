//! E1, E6, E7: a fleet forms, a stack runs, a service grows.

use remuda_lab::{netns, process, residue};
use remuda_tests::stack::{Fleet, running_by_host, text};

const WEB: &str = "services:
  web:
    image: none
    command: [sleep, '86400']
    deploy: {replicas: 6}
";

#[test]
fn e1_three_commands_make_a_fleet_of_three_ready_hosts() {
    let fleet = Fleet::up("e1", 3).unwrap();
    let hosts = fleet.list(&["hosts"]).unwrap();
    let states: Vec<(&str, &str)> = hosts.iter().map(|h| (text(h, "name"), text(h, "state"))).collect();
    assert_eq!(states, [("h1", "ready"), ("h2", "ready"), ("h3", "ready")]);
}

#[test]
fn e6_e7_six_replicas_run_and_thirty_are_spread_evenly() {
    let fleet = Fleet::up("e7", 3).unwrap();
    let took = fleet.deploy("app", WEB).unwrap();
    println!("E6: 6 replicas running after {:.2} s", took.as_secs_f64());
    let begin = std::time::Instant::now();
    fleet.remuda(&["scale", "app/web=30"]).unwrap();
    println!("E7: 30 replicas running after {:.2} s", begin.elapsed().as_secs_f64());
    let counts = running_by_host(&fleet.containers().unwrap());
    assert_eq!(counts.values().sum::<usize>(), 30);
    assert!(counts.values().max().unwrap() - counts.values().min().unwrap() <= 1, "uneven: {counts:?}");
    fleet.remuda(&["down", "app"]).unwrap();
    assert_eq!(fleet.containers().unwrap().len(), 0, "containers outlive their stack");
    assert_eq!(holders(&fleet), Vec::<String>::new(), "`down` was done before its containers were");
}

/// What still holds a container of this fleet.
fn holders(fleet: &Fleet) -> Vec<String> {
    let dir = fleet.lab.dir().display().to_string();
    let all = process::all().into_iter().map(|pid| process::argv(pid).join(" "));
    all.filter(|argv| argv.contains(" hold ") && argv.contains(&dir)).collect()
}

#[test]
fn a_host_that_leaves_is_forgotten_by_the_fleet_and_keeps_nothing() {
    let fleet = Fleet::up("leave", 3).unwrap();
    fleet.deploy("app", WEB).unwrap();
    let h3 = fleet.lab.host("h3").unwrap().clone();
    let data_dir = h3.data_dir.display().to_string();
    fleet.lab.output("h3", &[&h3.argv[0], "leave", "--data-dir", &data_dir]).unwrap();
    let names: Vec<String> = fleet.list(&["hosts"]).unwrap().iter().map(|h| text(h, "name").to_owned()).collect();
    assert_eq!(names, ["h1", "h2"]);
    assert!(!netns::has_link(&h3.netns, "remuda0"), "remuda0 is still there");
    assert!(!h3.bpf_dir.exists(), "pins are still there");
    let running = fleet.wait("its containers run elsewhere", |all| {
        let running = running_by_host(all);
        (running.values().sum::<usize>() == 6).then_some(running)
    });
    assert!(!running.unwrap().contains_key("h3"));
}

#[test]
fn a_scale_that_was_declared_is_kept_when_a_container_exits() {
    let fleet = Fleet::up("keep", 2).unwrap();
    fleet.deploy("app", &WEB.replace('6', "2")).unwrap();
    let victim = fleet.containers().unwrap()[0].clone();
    let pid = victim["pid"].as_u64().unwrap().to_string();
    fleet.lab.output(text(&victim, "host"), &["kill", "-9", &pid]).unwrap();
    let restarts = fleet.wait("the killed container runs again", |all| {
        let again = all.iter().find(|c| c["name"] == victim["name"] && c["state"] == "running")?;
        again["restarts"].as_u64().filter(|count| *count > 0)
    });
    assert!(restarts.unwrap() >= 1);
}

#[test]
fn nothing_is_left_of_a_fleet_with_containers_that_ended() {
    let fleet = Fleet::up("gone", 2).unwrap();
    fleet.deploy("app", WEB).unwrap();
    let name = fleet.lab.name.clone();
    drop(fleet);
    assert_eq!(residue(&name), Vec::<String>::new());
}

#[test]
fn a_container_that_removes_a_device_removes_it_for_nobody() {
    let fleet = Fleet::up("dev", 1).unwrap();
    let file = "services:
  web:
    command: [sh, -c, 'rm -f /dev/full; exec sleep 86400']
";
    fleet.deploy("app", file).unwrap();
    fleet.netns("app-web-1").unwrap();
    let kind = std::fs::symlink_metadata("/dev/full").map(|found| found.file_type());
    if !kind.as_ref().is_ok_and(std::os::unix::fs::FileTypeExt::is_char_device) {
        let _ = std::process::Command::new("sh").args(["-c", "rm -f /dev/full; mknod -m 666 /dev/full c 1 7"]).status();
        panic!("a container took /dev/full from the host: {kind:?}");
    }
}
