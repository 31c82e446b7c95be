//! Compose files to [`StackSpec`], with the place of everything that is wrong.
//!
//! Reading order: [`load`] here; `sources` (all it may look at); `problem` and `report` (what a reader is told, and where), `limits`, `value` (the
//! positioned tree), `parse` (YAML events to that tree; `mapping`, `lines` and `brackets` help it), `interpolate`
//! (`${VAR}`), `keys` (every key Compose knows, and which we act on), `field` (a value with its path, and typed reading),
//! `format` (v1 or sections), `stack` (the file as a whole and what holds between services), `service` and one file per
//! group of its keys, `rancher` (`rancher-compose.yml`). The way back is `print`.
//!
//! This crate is pure: it never opens a file, a socket or the process environment, and reads no clock. It bounds time and
//! memory for any input (see `limits`) and reports every problem at once.

use std::collections::BTreeSet;

use remuda_api::spec::StackSpec;

mod brackets;
mod command;
mod context;
mod depends_on;
mod deploy;
pub mod dotenv;
mod engine;
mod env_file;
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
mod links;
mod mapping;
mod mounts;
mod networks;
mod parse;
mod path;
mod ports;
mod print;
mod problem;
mod profiles;
mod quantity;
mod rancher;
mod report;
mod resources;
mod service;
mod signal;
mod sources;
mod stack;
mod value;
mod volumes;
mod volumes_from;

#[cfg(test)]
mod docs_test;
#[cfg(test)]
mod schema_test;

pub use limits::FILE_MAX_BYTES;
pub use print::print;
pub use problem::{Notice, Position, Problem};
pub use sources::{NamedFiles, SourceFile, Sources};

/// A stack ready for `PUT /v1/stacks/{name}`, and what its author should know.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub spec: StackSpec,
    /// Sorted by position: keys understood and not acted on yet (once per key), variables that are not set.
    pub notices: Vec<Notice>,
}

/// Reads the files of a stack.
///
/// Errors with every problem of the files, sorted by position (the first [`limits::PROBLEMS_MAX`] when there are more).
/// One Compose file for now: several are refused until merging them exists.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<Problem>> {
    let mut context = context::Context::new(sources);
    let spec = stack::read(&mut context);
    let files: Vec<&SourceFile> = sources.files.iter().chain(sources.rancher).collect();
    let notices = context.report.finish(&files)?;
    Ok(Loaded { spec, notices })
}

/// The absolute paths of the files that the files name, such as those of `env_file`: to be read by the caller, who gives
/// them to [`load`] in [`Sources::named`].
pub fn named_files(sources: &Sources) -> BTreeSet<String> {
    let mut context = context::Context::new(sources);
    stack::read(&mut context);
    context.wanted
}
