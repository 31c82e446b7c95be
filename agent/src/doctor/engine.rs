//! The container engine, if there is one.

use super::{Finding, Section};

const SECTION: Section = Section("engine");
/// The oldest API the agent speaks: that of Docker 20.10.
const API_MIN: (u32, u32) = (1, 41);
/// Storage drivers that copy or are no longer maintained.
const SLOW_STORAGE: [&str; 4] = ["vfs", "devicemapper", "aufs", "overlay"];

#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// None = there is no socket, or it is not to be used.
    pub socket: Option<String>,
    /// What it said, or why it did not.
    pub engine: Option<Result<Engine, String>>,
}

#[derive(Clone, Debug, Default)]
pub struct Engine {
    pub version: String,
    /// `1.41`.
    pub api: String,
    pub has_live_restore: bool,
    pub storage_driver: String,
    /// `systemd`, `cgroupfs` or `none`.
    pub cgroup_driver: String,
    pub cgroup_version: String,
    /// `name=userns`, `name=rootless`, `name=seccomp,profile=default`.
    pub security: Vec<String>,
    /// It is part of a swarm.
    pub is_swarm: bool,
    /// Its own complaints.
    pub warnings: Vec<String>,
}

pub fn judge(facts: &Facts) -> Vec<Finding> {
    match (&facts.socket, &facts.engine) {
        (None, _) => vec![
            SECTION.ok("socket", "no engine: services run as processes of this host (`command:`), not from images"),
        ],
        (Some(socket), Some(Ok(engine))) => {
            let mut findings = vec![SECTION.ok("socket", format!("answers at {socket}"))];
            findings.extend(running(engine));
            findings
        }
        (Some(socket), Some(Err(why))) => vec![SECTION.fail(
            "socket",
            format!("the engine at {socket} does not answer: {why}"),
            "systemctl status docker; `remuda agent --docker none` runs without one",
        )],
        (Some(socket), None) => {
            vec![SECTION.warn("socket", format!("the engine at {socket} was not asked"), "sudo remuda doctor")]
        }
    }
}

fn running(engine: &Engine) -> Vec<Finding> {
    let has =
        |option: &str| engine.security.iter().any(|line| line.split(',').any(|word| word == format!("name={option}")));
    let mut findings = vec![version(engine)];
    if has("rootless") {
        findings.push(SECTION.fail(
            "rootless",
            "it is rootless: the agent cannot enter its containers' network namespaces",
            "install the engine as root (docker.io or docker-ce), or name another with --docker SOCKET",
        ));
    }
    findings.push(live_restore(engine));
    findings.push(storage(engine));
    findings.push(cgroups(engine));
    if has("userns") {
        findings.push(SECTION.warn(
            "userns",
            "it maps users (userns-remap): bind mounts belong to nobody inside, and privileged services are refused by it",
            "expect that, or remove \"userns-remap\" from /etc/docker/daemon.json",
        ));
    }
    if engine.is_swarm {
        findings.push(SECTION.warn(
            "swarm",
            "it is part of a swarm, whose own overlay wants UDP 4789 and whose mesh takes published ports",
            "docker swarm leave (after moving its stacks: docs/from-swarm.md)",
        ));
    }
    findings
}

fn version(engine: &Engine) -> Finding {
    let Engine { version, api, .. } = engine;
    match two_numbers(api) {
        Some(theirs) if theirs >= API_MIN => SECTION.ok("version", format!("{version} (API {api})")),
        _ => SECTION.fail(
            "version",
            format!("{version} (API {api}) is too old"),
            "install Docker 20.10 or newer (API 1.41): Debian 12's docker.io will do",
        ),
    }
}

/// `1.41` as numbers; `1.9` is older.
fn two_numbers(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn live_restore(engine: &Engine) -> Finding {
    match engine.has_live_restore {
        true => SECTION.ok("live-restore", "containers outlive a restart of the engine"),
        false if engine.is_swarm => SECTION.warn(
            "live-restore",
            "off, and a swarm allows no other: containers stop while the engine restarts",
            "docker swarm leave, then {\"live-restore\": true} in /etc/docker/daemon.json and `systemctl reload docker`",
        ),
        false => SECTION.warn(
            "live-restore",
            "off: containers stop while the engine restarts (they are started again)",
            "write {\"live-restore\": true} into /etc/docker/daemon.json, then `systemctl reload docker` (no restart needed)",
        ),
    }
}

fn storage(engine: &Engine) -> Finding {
    let driver = &engine.storage_driver;
    match SLOW_STORAGE.contains(&driver.as_str()) {
        true => SECTION.warn(
            "storage",
            format!("driver {driver} copies or is no longer maintained: containers start slowly"),
            "write {\"storage-driver\": \"overlay2\"} into /etc/docker/daemon.json and restart it (images are pulled anew)",
        ),
        false => SECTION.ok("storage", format!("driver {driver}")),
    }
}

fn cgroups(engine: &Engine) -> Finding {
    let Engine { cgroup_driver, cgroup_version, warnings, .. } = engine;
    let unlimited: Vec<&str> = warnings
        .iter()
        .filter(|line| line.contains("limit support"))
        .map(|line| line.trim_start_matches("WARNING: "))
        .collect();
    match (cgroup_driver.as_str(), unlimited.as_slice()) {
        ("none", _) => SECTION.warn(
            "cgroups",
            "it has no cgroup driver: memory, cpu and pids limits have no effect",
            "mount the cgroup controllers, then restart the engine",
        ),
        (_, []) => SECTION.ok("cgroups", format!("driver {cgroup_driver}, cgroup v{cgroup_version}")),
        (_, words) => SECTION.warn(
            "cgroups",
            words.join(", "),
            "boot with cgroup_enable=memory swapaccount=1, or do without these limits",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::tests::troubles;
    use super::*;

    fn good() -> Engine {
        Engine {
            version: "20.10.24".into(),
            api: "1.41".into(),
            has_live_restore: true,
            storage_driver: "overlay2".into(),
            cgroup_driver: "systemd".into(),
            cgroup_version: "2".into(),
            security: vec!["name=apparmor".into(), "name=seccomp,profile=default".into()],
            ..Engine::default()
        }
    }

    fn of(engine: Engine) -> Vec<Finding> {
        judge(&Facts { socket: Some("/s".into()), engine: Some(Ok(engine)) })
    }

    #[test]
    fn no_engine_is_no_trouble_and_one_that_hangs_is() {
        assert_eq!(troubles(&judge(&Facts::default())), []);
        let hangs = Facts { socket: Some("/s".into()), engine: Some(Err("no answer within 3 s".into())) };
        assert_eq!(troubles(&judge(&hangs)), [(Verdict::Fail, "socket")]);
    }

    #[test]
    fn what_an_engine_is_set_to_is_judged_one_by_one() {
        assert_eq!(troubles(&of(good())), []);
        for (engine, trouble) in [
            (Engine { api: "1.9".into(), ..good() }, (Verdict::Fail, "version")),
            (Engine { api: String::new(), ..good() }, (Verdict::Fail, "version")),
            (Engine { has_live_restore: false, ..good() }, (Verdict::Warn, "live-restore")),
            (Engine { storage_driver: "vfs".into(), ..good() }, (Verdict::Warn, "storage")),
            (Engine { cgroup_driver: "none".into(), ..good() }, (Verdict::Warn, "cgroups")),
            (Engine { warnings: vec!["WARNING: No swap limit support".into()], ..good() }, (Verdict::Warn, "cgroups")),
            (Engine { security: vec!["name=rootless".into()], ..good() }, (Verdict::Fail, "rootless")),
            (Engine { security: vec!["name=userns".into()], ..good() }, (Verdict::Warn, "userns")),
            (Engine { is_swarm: true, ..good() }, (Verdict::Warn, "swarm")),
        ] {
            assert_eq!(troubles(&of(engine)), [trouble]);
        }
    }
}
