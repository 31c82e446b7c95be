//! Compose files to [`StackSpec`], with the place of everything that is wrong.
//!
//! Reading order: [`load`] here; `problem` and `report` (what a reader is told, and where), `limits`, `value` (the
//! positioned tree), `parse` (YAML events to that tree; `mapping`, `lines` and `brackets` help it), `interpolate`
//! (`${VAR}`), `keys` (every key Compose knows, and which we act on), `field` (a value with its path, and typed reading),
//! `format` (v1 or sections), `stack` (the file as a whole and what holds between services), `service` and one file per
//! group of its keys.
//!
//! This crate is pure: it never opens a file, a socket or the process environment, and reads no clock. It bounds time and
//! memory for any input (see `limits`) and reports every problem at once.

use std::collections::BTreeMap;

use remuda_api::spec::StackSpec;

mod brackets;
mod command;
mod context;
mod depends_on;
mod deploy;
mod environment;
mod extension;
mod field;
mod format;
mod health_check;
mod health_command;
mod interpolate;
mod keys;
mod limits;
mod lines;
mod mapping;
mod networks;
mod parse;
mod ports;
mod problem;
mod quantity;
mod report;
mod service;
mod signal;
mod stack;
mod value;

#[cfg(test)]
mod schema_test;

pub use limits::FILE_MAX_BYTES;
pub use problem::{Notice, Position, Problem};

/// One file as the user gave it; `path` is only shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    pub path: String,
    pub text: String,
}

impl SourceFile {
    /// A file from bytes as read; refuses what is too large ([`FILE_MAX_BYTES`]) or no UTF-8, with the place.
    ///
    /// Callers may stop reading after `FILE_MAX_BYTES + 1` bytes: the answer is the same.
    pub fn from_bytes(path: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Problem> {
        let path = path.into();
        if bytes.len() > FILE_MAX_BYTES {
            return Err(Problem::too_large(&path));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path, text }),
            Err(error) => Err(Problem::not_utf8(&path, error.as_bytes(), error.utf8_error().valid_up_to())),
        }
    }
}

/// A stack ready for `PUT /v1/stacks/{name}`, and what its author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub spec: StackSpec,
    /// Sorted by position: keys understood and not acted on yet (once per key), variables that are not set.
    pub notices: Vec<Notice>,
}

/// Reads the files of stack `stack`; `${VAR}` and `environment: [KEY]` look into `env` and nowhere else.
///
/// Errors with every problem of the files, sorted by position (the first [`limits::PROBLEMS_MAX`] when there are more).
/// One file for now: several are refused until merging them exists.
pub fn load(files: &[SourceFile], env: &BTreeMap<String, String>, stack: &str) -> Result<Loaded, Vec<Problem>> {
    let mut context = context::Context::new(env, stack);
    let spec = stack::read(files, &mut context);
    let notices = context.report.finish(files)?;
    Ok(Loaded { spec, notices })
}
