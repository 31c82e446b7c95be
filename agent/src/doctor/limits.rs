//! Limits of this machine: memory, disk, descriptors, watches, processes, connection and neighbour tables.

use super::{Finding, Section};

const SECTION: Section = Section("limits");

/// The agent of a busy host holds less; below this the kernel may end it first.
const MEMORY_MIN_BYTES: u64 = 256 << 20;
/// The agent refuses to start with less.
const DISK_STOP_BYTES: u64 = 16 << 20;
/// Logs of a few dozen containers (rotated at 10 MiB) and an image or two.
const DISK_MIN_BYTES: u64 = 1 << 30;
/// A holder or engine stream and a check or two per container, for the few hundred containers of a large host.
const DESCRIPTORS_MIN: u64 = 4_096;
/// Desktop programs and other agents share them; ours takes one.
const INOTIFY_INSTANCES_MIN: u64 = 64;
/// A thread or three per container beside the containers' own.
const PIDS_MIN: u64 = 16_384;
/// Every host of the fleet is a neighbour of this one when they share a network.
const NEIGHBOURS_MIN: u64 = 1_024;
/// Connections to the outside fail when the table is full; what is near it is said.
const CONNTRACK_FULL_PERCENT: u64 = 90;

/// None = it could not be read.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub memory_available_bytes: Option<u64>,
    pub data_dir: String,
    pub disk_free_bytes: Option<u64>,
    /// Hard limit of open files: a supervisor may give the agent as many.
    pub descriptors: Option<u64>,
    pub inotify_instances: Option<u64>,
    pub pid_max: Option<u64>,
    /// Hosts' entries in the neighbour table, at most.
    pub neighbours_max: Option<u64>,
    /// Connections that the kernel tracks, and at most.
    pub conntrack: Option<(u64, u64)>,
}

pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(facts.memory_available_bytes.map(memory));
    findings.extend(facts.disk_free_bytes.map(|free| disk(free, &facts.data_dir)));
    let sysctl = |name: &str, value: u64| format!("sysctl -w {name}={value} (and a line in /etc/sysctl.d)");
    findings.extend(facts.descriptors.map(|held| {
        let cure = "set LimitNOFILE=1048576 in the agent's unit, or nofile in /etc/security/limits.conf".into();
        at_least("descriptors", "open files", held, DESCRIPTORS_MIN, cure)
    }));
    findings.extend(facts.inotify_instances.map(|held| {
        let cure = sysctl("fs.inotify.max_user_instances", 1024);
        at_least("inotify", "inotify instances per user", held, INOTIFY_INSTANCES_MIN, cure)
    }));
    findings.extend(
        facts
            .pid_max
            .map(|held| at_least("pids", "processes and threads", held, PIDS_MIN, sysctl("kernel.pid_max", 4_194_304))),
    );
    findings.extend(facts.neighbours_max.map(|held| {
        let cure = sysctl("net.ipv4.neigh.default.gc_thresh3", 8192);
        at_least("neighbours", "neighbours", held, NEIGHBOURS_MIN, cure)
    }));
    findings.extend(facts.conntrack.and_then(conntrack));
    if findings.is_empty() {
        findings.push(SECTION.warn("proc", "none of the limits could be read", "mount /proc"));
    }
    findings
}

fn memory(available: u64) -> Finding {
    let mib = available >> 20;
    match available < MEMORY_MIN_BYTES {
        true => SECTION.warn(
            "memory",
            format!("{mib} MiB are available: the agent may be ended before what it looks after"),
            "free some memory, or place less here with `remuda agent --memory SIZE`",
        ),
        false => SECTION.ok("memory", format!("{mib} MiB are available")),
    }
}

fn disk(free: u64, path: &str) -> Finding {
    let (mib, cure) = (free >> 20, format!("make room in {path}, or choose another place with --data-dir"));
    match free {
        _ if free < DISK_STOP_BYTES => {
            SECTION.fail("disk", format!("{mib} MiB are free in {path}: the agent does not start"), cure)
        }
        _ if free < DISK_MIN_BYTES => {
            SECTION.warn("disk", format!("{mib} MiB are free in {path}: little for logs and images"), cure)
        }
        _ => SECTION.ok("disk", format!("{mib} MiB are free in {path}")),
    }
}

fn at_least(check: &'static str, what: &str, held: u64, least: u64, cure: String) -> Finding {
    match held < least {
        true => SECTION.warn(check, format!("{held} {what} at most: a full host needs {least}"), cure),
        false => SECTION.ok(check, format!("{held} {what} at most")),
    }
}

fn conntrack((count, max): (u64, u64)) -> Option<Finding> {
    if max == 0 {
        return None;
    }
    Some(match count.saturating_mul(100) / max >= CONNTRACK_FULL_PERCENT {
        true => SECTION.warn(
            "conntrack",
            format!(
                "the kernel tracks {count} of at most {max} connections: soon none to the outside is made any more"
            ),
            format!("sysctl -w net.netfilter.nf_conntrack_max={}", max * 4),
        ),
        false => SECTION.ok("conntrack", format!("the kernel tracks {count} of at most {max} connections")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::tests::troubles;
    use super::*;

    fn good() -> Facts {
        Facts {
            memory_available_bytes: Some(2 << 30),
            data_dir: "/var/lib".into(),
            disk_free_bytes: Some(20 << 30),
            descriptors: Some(524_288),
            inotify_instances: Some(128),
            pid_max: Some(32_768),
            neighbours_max: Some(1_024),
            conntrack: Some((10, 262_144)),
        }
    }

    #[test]
    fn a_small_machine_is_enough() {
        assert_eq!(troubles(&judge(&good())), []);
    }

    #[test]
    fn what_is_short_is_said_before_it_runs_out() {
        for (facts, trouble) in [
            (Facts { memory_available_bytes: Some(100 << 20), ..good() }, (Verdict::Warn, "memory")),
            (Facts { disk_free_bytes: Some(500 << 20), ..good() }, (Verdict::Warn, "disk")),
            (Facts { disk_free_bytes: Some(1 << 20), ..good() }, (Verdict::Fail, "disk")),
            (Facts { descriptors: Some(1024), ..good() }, (Verdict::Warn, "descriptors")),
            (Facts { inotify_instances: Some(8), ..good() }, (Verdict::Warn, "inotify")),
            (Facts { pid_max: Some(4096), ..good() }, (Verdict::Warn, "pids")),
            (Facts { neighbours_max: Some(512), ..good() }, (Verdict::Warn, "neighbours")),
            (Facts { conntrack: Some((95, 100)), ..good() }, (Verdict::Warn, "conntrack")),
        ] {
            assert_eq!(troubles(&judge(&facts)), [trouble]);
        }
        assert_eq!(troubles(&judge(&Facts { conntrack: Some((0, 0)), ..good() })), []);
    }
}
