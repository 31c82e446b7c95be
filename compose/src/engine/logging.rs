//! `logging`, and Compose 1's `log_driver` and `log_opt`: where the engine puts what a container prints.

use remuda_api::engine::EngineSpec;

use super::{joined, read_word};
use crate::context::Context;
use crate::field::Field;
use crate::report::Report;
use crate::value::Value;
use crate::{environment, keys};

pub(super) fn read(field: &Field, engine: &mut EngineSpec, context: &mut Context) {
    for entry in keys::acted(field, &keys::LOGGING, &mut context.report) {
        match entry.key() {
            "driver" if matches!(entry.node.value, Value::Null) => {}
            "driver" => engine.log_driver = read_driver(&entry, &mut context.report),
            _ => engine.log_options = joined(environment::read_labels(&entry, context)),
        }
    }
}

/// Drivers whose logs the engine hands out again.
const READABLE: [&str; 3] = ["json-file", "local", "journald"];

pub(super) fn read_driver(field: &Field, report: &mut Report) -> String {
    let driver = read_word(field, "a log driver such as `json-file`", report);
    if !driver.is_empty() && !READABLE.contains(&driver.as_str()) {
        let message = "`remuda logs` shows nothing where the log driver keeps nothing on the host: `json-file`, `local` and \
                       `journald` do";
        report.notice(field.place(), message.to_owned());
    }
    driver
}
