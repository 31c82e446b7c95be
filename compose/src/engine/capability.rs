//! `cap_add` and `cap_drop`: powers of root, one by one.

use super::advice;
use crate::field::Field;
use crate::problem::shown;
use crate::report::Report;

/// Linux 6.1's (capabilities(7)), and `ALL`.
const NAMES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// The capabilities, upper case, without `CAP_`, each once.
pub(super) fn read(field: &Field, report: &mut Report) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in field.items("a list of capabilities such as `- NET_ADMIN`", report) {
        let Some(text) = item.line("a capability such as `NET_ADMIN`", report) else {
            continue;
        };
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if !NAMES.contains(&name) {
            let advice = advice(name, NAMES.into_iter(), "capabilities(7) lists what there is", report);
            item.problem(format!("unknown capability {}: {advice}", shown(text)), report);
        } else if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}
