//! What a container shares with its host: words that the engine takes as they are, so only those that are known.

use remuda_api::engine::EngineSpec;

use super::service::At;
use super::{Faults, shown};

pub(super) fn check(engine: &EngineSpec, at: &At, faults: &mut Faults) {
    let modes: [(&str, &str, &[&str]); 4] = [
        ("pid_mode", &engine.pid_mode, &["host"]),
        ("ipc_mode", &engine.ipc_mode, &["host", "private", "shareable"]),
        ("uts_mode", &engine.uts_mode, &["host"]),
        ("userns_mode", &engine.userns_mode, &["host"]),
    ];
    for (field, mode, known) in modes.into_iter().filter(|(_, mode, known)| !mode.is_empty() && !known.contains(mode)) {
        let why = format!("`{}` is not known: {}, or empty for one of its own", shown(mode), known.join(", "));
        faults.add(at(&format!("engine.{field}")), why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_the_hosts_or_its_own_and_never_another_containers() {
        let refused = |mode: &str| {
            let mode = mode.to_owned();
            let engine = EngineSpec {
                pid_mode: mode.clone(),
                ipc_mode: mode.clone(),
                uts_mode: mode.clone(),
                userns_mode: mode,
                ..EngineSpec::default()
            };
            let mut faults = Faults::default();
            check(&engine, &|field| field.to_owned(), &mut faults);
            faults.list.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
        };
        assert!(refused("").is_empty() && refused("host").is_empty());
        assert_eq!(refused("shareable"), ["engine.pid_mode", "engine.uts_mode", "engine.userns_mode"]);
        assert_eq!(refused("container:portainer").len(), 4);
    }
}
