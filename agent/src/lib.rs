//! One per host: makes the kernel and the runtimes hold what the assignment says, and reports what it sees.
//!
//! Reading order, which is the way of a decision: [`source`] (assignments come in) -> [`desired`] (what should be,
//! as objects of this host) ; [`kernel`] and [`runtime`] -> [`observed`] (what is) ; [`plan`] (the difference, as
//! [`action`]s in publishing order) -> [`kernel`], [`runtime`], [`names`] (done, one by one, by [`reconcile`]) ->
//! [`status`], told by [`link`], with what [`health`] finds out and whom of the other hosts [`peers`] sees. Around it:
//! [`agent`] (from first check to last signal), [`preflight`], [`doctor`], [`facts`], [`admin`], [`telemetry`], [`watchdog`].
//!
//! `desired`, `observed`, `plan` and `action` are pure: no clock, no randomness, no I/O. `kernel` and `runtime` never
//! see the source or the plan: they get one action at a time.

pub mod action;
pub mod admin;
pub mod agent;
pub mod desired;
pub mod doctor;
mod durable;
pub mod facts;
mod failures;
pub mod health;
pub mod kernel;
pub mod link;
pub mod names;
pub mod observed;
pub mod options;
pub mod peers;
pub mod plan;
pub mod preflight;
pub mod problems;
pub mod reconcile;
pub mod runtime;
pub mod source;
pub mod status;
pub mod telemetry;
mod watchdog;

pub use agent::run;
pub use options::{AgentOptions, AssignmentSource};
pub use runtime::process::hold::hold;
