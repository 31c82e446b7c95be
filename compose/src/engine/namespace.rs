//! `pid`, `ipc`, `uts`, `userns_mode` and `cgroup`: what a container shares with its host.

use remuda_api::engine::EngineSpec;

use crate::field::Field;
use crate::keys;
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;

/// Reads one of the five keys.
pub(super) fn read(field: &Field, engine: &mut EngineSpec, report: &mut Report) {
    if matches!(field.node.value, Value::Null) {
        return;
    }
    let key = field.key();
    let choices: &[&str] = match key {
        "ipc" => &["host", "private", "shareable"],
        "cgroup" => &["host", "private"],
        _ => &["host"],
    };
    let Some(mode) = field.line("`host`", report) else {
        return;
    };
    if mode.starts_with("service:") || mode.starts_with("container:") {
        let message = format!(
            "{} shares something with another container, and containers of two services may run on different hosts: \
             remove it, or put both programs into one service",
            shown(mode)
        );
        return field.problem(message, report);
    }
    if !choices.contains(&mode) {
        let choices: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        return field.expected(&format!("{} (leave it out for one of its own)", choices.join(" or ")), report);
    }
    let mode = mode.to_owned();
    match key {
        "pid" => engine.pid_mode = mode,
        "ipc" => engine.ipc_mode = mode,
        "uts" => engine.uts_mode = mode,
        "userns_mode" => engine.userns_mode = mode,
        _ if mode == "host" => keys::not_yet(field.place(), "cgroup: host", "the engine chooses", report),
        _ => {}
    }
}
