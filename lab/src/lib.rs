//! Hosts as network namespaces on this machine, an underlay between them, and fleets of the real binaries.

pub mod process;
mod skip;

pub use skip::{MARK as SKIP_MARK, skip};
