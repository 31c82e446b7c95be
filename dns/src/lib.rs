//! The DNS of one host: fleet names from an immutable view, everything else from the host's resolvers.
//!
//! In reading order: [`view`] (who may ask, and what every name means; built from the assignment), [`question`] (bytes
//! to a query, refusing early), [`answer`] (view + asker + query + seed = answer; all naming rules), [`message`]
//! (answer to bytes), [`reply`] (those four in one pure step), then the sockets: [`server`], `udp`, `tcp`,
//! `forward` with [`upstreams`], `chase` (what stands behind a name that leads to another one), and [`stats`].
//!
//! This crate will never recurse, cache or validate: it answers what it knows and passes on the rest untouched. It
//! never talks to the orchestrator or the kernel's tables: whoever owns it publishes a new [`View`].

pub mod answer;
mod chase;
mod forward;
mod limit;
pub mod message;
pub mod question;
pub mod reply;
pub mod server;
pub mod stats;
mod tcp;
mod udp;
pub mod upstreams;
pub mod view;

pub use server::{ResolveError, Server, StartError};
pub use stats::Stats;
pub use upstreams::Upstreams;
pub use view::{Local, View};

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod naming_tests;
#[cfg(test)]
mod outside_tests;
#[cfg(test)]
mod serving_tests;
