//! `sysctls`: settings of the kernel that a container has for itself.

use crate::context::Context;
use crate::environment;
use crate::field::Field;
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;

/// Those of System V IPC, which has a namespace of its own.
const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// `key=value` each. A setting that the whole host shares is refused: no engine sets it for one container.
pub(super) fn read(field: &Field, context: &mut Context) -> Vec<String> {
    let settings = environment::read_labels(field, context);
    for entry in field.members() {
        check(entry.key(), &entry, &mut context.report);
    }
    if let Value::List(_) = field.node.value {
        for item in field.items("", &mut context.report) {
            if let Value::Text { text, .. } = &item.node.value {
                check(text.split('=').next().unwrap_or(text), &item, &mut context.report);
            }
        }
    }
    super::joined(settings)
}

fn check(key: &str, field: &Field, report: &mut Report) {
    if OF_IPC.contains(&key) || key.starts_with("net.") || key.starts_with("fs.mqueue.") {
        return;
    }
    let message = format!(
        "{} is not a container's own but the whole host's: set it there with `sysctl -w`, and remove it here",
        shown(key)
    );
    field.problem_at_key(message, report);
}
