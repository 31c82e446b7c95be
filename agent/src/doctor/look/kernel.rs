//! What the kernel is and gives; a program of three instructions is loaded and let go again.

use std::path::Path;

use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported, is_program_supported};

use crate::doctor::kernel::Facts;
use crate::kernel::programs::kernel_has_tcx;
use crate::preflight::{self, KERNEL_MIN};

const PROGRAMS: [(&str, ProgramType); 3] = [
    ("tc", ProgramType::SchedClassifier),
    ("xdp", ProgramType::Xdp),
    ("cgroup socket address", ProgramType::CgroupSockAddr),
];

pub(super) fn look() -> Facts {
    let release = nix::sys::utsname::uname().map(|uname| uname.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    let is_root = nix::unistd::geteuid().is_root();
    Facts {
        is_root,
        version: preflight::kernel_version(&release),
        version_min: KERNEL_MIN,
        has_btf: Path::new(preflight::BTF).exists(),
        lockdown: lockdown(&std::fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default()),
        programs: if is_root { PROGRAMS.map(|(name, kind)| (name, refusal(kind))).to_vec() } else { Vec::new() },
        has_redirect_peer: is_root.then(redirect_peer).flatten(),
        has_tcx: kernel_has_tcx(),
        jit: std::fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").ok().map(|text| text.trim().to_owned()),
        has_bpffs: preflight::has_bpffs(),
        cgroup2: Some(preflight::cgroup2().map(|path| path.display().to_string()).map_err(|_| CGROUP2_CURE.to_owned())),
        has_vxlan: vxlan(&release),
        release,
    }
}

const CGROUP2_CURE: &str = "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified";

/// `none [integrity] confidentiality`: the one in brackets.
fn lockdown(text: &str) -> String {
    text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']')).unwrap_or_default().to_owned()
}

fn refusal(kind: ProgramType) -> Option<String> {
    match is_program_supported(kind) {
        Ok(true) => None,
        Ok(false) => Some("this kernel does not know the type".into()),
        Err(error) => Some(format!("{:#}", anyhow::Error::new(error))),
    }
}

fn redirect_peer() -> Option<bool> {
    is_helper_supported(ProgramType::SchedClassifier, BpfHelper::BPF_FUNC_redirect_peer).ok()
}

/// Loaded, built in, or there to be loaded; None = this kernel does not say what it has.
fn vxlan(release: &str) -> Option<bool> {
    if Path::new("/sys/module/vxlan").exists() {
        return Some(true);
    }
    let modules = Path::new("/lib/modules").join(release);
    let lists = ["modules.builtin", "modules.dep"].map(|file| std::fs::read_to_string(modules.join(file)));
    match lists.iter().any(Result::is_ok) {
        true => Some(lists.iter().flatten().any(|list| list.contains("/vxlan.ko"))),
        // A kernel without modules has its symbols for root to see.
        false => std::fs::read_to_string("/proc/kallsyms")
            .ok()
            .and_then(|symbols| symbols.contains(" vxlan_xmit").then_some(true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lockdown_in_force_is_the_one_in_brackets() {
        assert_eq!(lockdown("none [integrity] confidentiality\n"), "integrity");
        assert_eq!(lockdown(""), "");
    }
}
