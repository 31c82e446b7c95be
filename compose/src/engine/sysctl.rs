//! `sysctls`: settings of the kernel that a container has for itself.

use crate::context::Context;
use crate::environment;
use crate::field::Field;
use crate::problem::shown;

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
    let is_own =
        |key: &str| OF_IPC.contains(&key) || ["net.", "fs.mqueue."].iter().any(|prefix| key.starts_with(prefix));
    for key in settings.keys().filter(|key| !is_own(key)) {
        let message = format!(
            "{} is not a container's own but the whole host's: set it there with `sysctl -w`, and remove it here",
            shown(key)
        );
        field.problem_at_key(message, &mut context.report);
    }
    super::joined(settings)
}
