//! Hosts as network namespaces on this machine, an underlay between them, and fleets of the real binaries.
//!
//! Reading order: [`lab`] (up, down, cut, stop: what people came for), [`state`] (`lab.json`), [`underlay`]
//! (namespaces and links), [`fleet`] (which processes run where), [`assignment`] (what hosts are told in file
//! mode), [`supervised`] (the agent beside the server), [`engine`] (a dockerd per host) and [`image`] (what runs in it),
//! [`fault`] (what breaks on purpose), [`clean`] and [`residue`] (nothing stays behind), then the tools: [`netns`],
//! [`process`], [`wait`].
//!
//! Used by xtask, tests and benches; never imported by a product crate, and it never fakes a part of the product.

pub mod assignment;
mod clean;
pub mod engine;
pub mod fault;
mod fleet;
pub mod image;
mod lab;
pub mod netns;
pub mod process;
mod residue;
mod skip;
mod state;
mod supervised;
pub mod underlay;
mod wait;

pub use engine::Engine;
pub use lab::{Lab, Options, Runtime, Source};
pub use residue::{namespaces_named, residue};
pub use skip::{MARK as SKIP_MARK, skip};
pub use state::{Client, Host, Server, State};
pub use wait::{wait_for, wait_until};
