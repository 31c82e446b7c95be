//! The kernel: its version and what of BPF it gives.

use super::{Finding, Section};

const SECTION: Section = Section("kernel");

#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub is_root: bool,
    /// As `uname -r` says.
    pub release: String,
    /// (major, minor); None = not understood.
    pub version: Option<(u32, u32)>,
    /// The oldest that will do.
    pub version_min: (u32, u32),
    pub has_btf: bool,
    /// `none`, `integrity` or `confidentiality`; empty = the kernel has no lockdown.
    pub lockdown: String,
    /// What a program of each type says when it is loaded; None = loaded.
    pub programs: Vec<(&'static str, Option<String>)>,
    /// The helper that hands packets straight into a container.
    pub has_redirect_peer: Option<bool>,
    pub has_tcx: bool,
    /// `net/core/bpf_jit_enable`.
    pub jit: Option<String>,
    pub has_bpffs: bool,
    /// Where cgroup v2 is mounted, or why that is not known and what to do.
    pub cgroup2: Option<Result<String, String>>,
    /// None = it could not be found out.
    pub has_vxlan: Option<bool>,
}

pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = vec![root(facts), version(facts), btf(facts)];
    findings.extend(lockdown(facts));
    findings.extend(programs(facts));
    findings.extend([tcx(facts), jit(facts), bpffs(facts), cgroup2(facts)]);
    findings.extend(vxlan(facts));
    findings
}

fn root(facts: &Facts) -> Finding {
    match facts.is_root {
        true => SECTION.ok("root", "runs as root, so everything can be seen"),
        false => SECTION.warn(
            "root",
            "without root much cannot be seen: BPF, firewall, who holds a port",
            "sudo remuda doctor",
        ),
    }
}

fn version(facts: &Facts) -> Finding {
    let ((major, minor), release) = (facts.version_min, &facts.release);
    match facts.version {
        Some(version) if version < facts.version_min => SECTION.fail(
            "version",
            format!("{release} is too old: the verifier refuses our programs"),
            format!("install a kernel of {major}.{minor} or newer and boot it (Debian 12 and Ubuntu 24.04 have one)"),
        ),
        Some(_) => SECTION.ok("version", format!("{release} ({major}.{minor} or newer is needed)")),
        None => SECTION.warn(
            "version",
            format!("release {release:?} is not understood"),
            format!("it must be {major}.{minor} or newer"),
        ),
    }
}

fn btf(facts: &Facts) -> Finding {
    match facts.has_btf {
        true => SECTION.ok("btf", "/sys/kernel/btf/vmlinux is there"),
        false => SECTION.fail(
            "btf",
            "/sys/kernel/btf/vmlinux is missing",
            "boot a kernel with CONFIG_DEBUG_INFO_BTF (the distributions' own have it); in a container, mount the host's /sys",
        ),
    }
}

/// Only the strict form keeps BPF from reading kernel memory.
fn lockdown(facts: &Facts) -> Option<Finding> {
    (facts.lockdown == "confidentiality").then(|| {
        SECTION.fail(
            "lockdown",
            "the kernel is locked down (confidentiality): BPF programs may not read packets' kernel structures",
            "boot with lockdown=integrity or without lockdown= on the kernel command line",
        )
    })
}

fn programs(facts: &Facts) -> Vec<Finding> {
    if !facts.is_root {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = facts
        .programs
        .iter()
        .filter_map(|(name, refusal)| {
            let why = refusal.as_ref()?;
            Some(SECTION.fail(
                "bpf",
                format!("a {name} program is refused: {why}"),
                "needs CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_BPF, CONFIG_CGROUP_BPF, and CAP_BPF, CAP_NET_ADMIN and CAP_SYS_ADMIN \
                 (in a container: --privileged)",
            ))
        })
        .collect();
    if findings.is_empty() {
        let names: Vec<&str> = facts.programs.iter().map(|(name, _)| *name).collect();
        findings.push(SECTION.ok("bpf", format!("programs load: {}", names.join(", "))));
    }
    match facts.has_redirect_peer {
        Some(true) => findings.push(SECTION.ok("redirect_peer", "packets go straight into containers")),
        Some(false) => findings.push(SECTION.fail(
            "redirect_peer",
            "the helper bpf_redirect_peer is missing",
            "boot a kernel with CONFIG_NET_CLS_BPF, 5.10 or newer",
        )),
        None => {}
    }
    findings
}

/// Both ways are tested; nothing is slower without.
fn tcx(facts: &Facts) -> Finding {
    match facts.has_tcx {
        true => SECTION.ok("tcx", "programs are attached by TCX links, which survive the agent by themselves"),
        false => SECTION.ok("tcx", "no TCX before 6.6: programs are attached as netlink filters"),
    }
}

fn jit(facts: &Facts) -> Finding {
    match facts.jit.as_deref() {
        Some("0") => SECTION.warn(
            "jit",
            "BPF programs are interpreted: several times slower per packet",
            "sysctl -w net.core.bpf_jit_enable=1 (and a line in /etc/sysctl.d)",
        ),
        Some(_) => SECTION.ok("jit", "BPF programs are compiled"),
        None => SECTION.ok("jit", "BPF programs are always compiled, or nothing says otherwise"),
    }
}

fn bpffs(facts: &Facts) -> Finding {
    match facts.has_bpffs {
        true => SECTION.ok("bpffs", "mounted at /sys/fs/bpf"),
        false => SECTION.warn(
            "bpffs",
            "not mounted at /sys/fs/bpf: the agent mounts it when it starts; in a container that mount would end with it",
            "mount -t bpf bpf /sys/fs/bpf (with systemd it is mounted at boot)",
        ),
    }
}

fn cgroup2(facts: &Facts) -> Finding {
    match &facts.cgroup2 {
        Some(Ok(path)) => SECTION.ok("cgroup2", format!("mounted at {path}")),
        Some(Err(cure)) => SECTION.fail("cgroup2", "no cgroup v2 is mounted, and VIPs are attached to its root", cure),
        None => SECTION.warn("cgroup2", "/proc/self/mountinfo could not be read", "mount /proc"),
    }
}

fn vxlan(facts: &Facts) -> Option<Finding> {
    Some(match facts.has_vxlan? {
        true => SECTION.ok("vxlan", "the kernel has vxlan: tunnel packets are merged before they are taken off"),
        false => SECTION.fail(
            "vxlan",
            "the kernel has no vxlan, and one idle device of it holds the tunnel's port",
            "install the modules of this kernel (Debian: linux-image-$(uname -r), Ubuntu: linux-modules-$(uname -r))",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::super::tests::troubles;
    use super::*;

    fn good() -> Facts {
        Facts {
            is_root: true,
            release: "6.12.9".into(),
            version: Some((6, 12)),
            version_min: (6, 1),
            has_btf: true,
            programs: vec![("tc", None), ("cgroup", None)],
            has_redirect_peer: Some(true),
            has_tcx: true,
            jit: Some("1".into()),
            has_bpffs: true,
            cgroup2: Some(Ok("/sys/fs/cgroup".into())),
            has_vxlan: Some(true),
            ..Facts::default()
        }
    }

    #[test]
    fn a_debian_host_has_no_troubles() {
        assert_eq!(troubles(&judge(&good())), []);
        let bookworm =
            Facts { release: "6.1.0-18-amd64".into(), version: Some((6, 1)), has_tcx: false, jit: None, ..good() };
        assert_eq!(troubles(&judge(&bookworm)), []);
    }

    #[test]
    fn each_thing_that_is_missing_is_named() {
        let refused = vec![("tc", Some("EPERM".to_owned())), ("cgroup", None)];
        for (facts, trouble) in [
            (Facts { is_root: false, ..good() }, (Verdict::Warn, "root")),
            (Facts { version: Some((5, 15)), ..good() }, (Verdict::Fail, "version")),
            (Facts { version: None, ..good() }, (Verdict::Warn, "version")),
            (Facts { has_btf: false, ..good() }, (Verdict::Fail, "btf")),
            (Facts { lockdown: "confidentiality".into(), ..good() }, (Verdict::Fail, "lockdown")),
            (Facts { programs: refused, ..good() }, (Verdict::Fail, "bpf")),
            (Facts { has_redirect_peer: Some(false), ..good() }, (Verdict::Fail, "redirect_peer")),
            (Facts { jit: Some("0".into()), ..good() }, (Verdict::Warn, "jit")),
            (Facts { has_bpffs: false, ..good() }, (Verdict::Warn, "bpffs")),
            (Facts { cgroup2: Some(Err("mount it".into())), ..good() }, (Verdict::Fail, "cgroup2")),
            (Facts { has_vxlan: Some(false), ..good() }, (Verdict::Fail, "vxlan")),
        ] {
            assert_eq!(troubles(&judge(&facts)), [trouble]);
        }
    }
}
