//! One per host: makes the kernel and the runtimes hold what the assignment says, and reports what it sees.
//!
//! Reading order, which is the way of a decision: [`source`] (assignments come in) -> [`desired`] (what should be,
//! as objects of this host) ; [`kernel`] and [`runtime`] -> [`observed`] (what is) ; [`plan`] (the difference, as
//! [`action`]s in publishing order) -> [`kernel`], [`runtime`], names (done, one by one) -> report.
//!
//! `desired`, `observed`, `plan` and `action` are pure: no clock, no randomness, no I/O. `kernel` and `runtime` never
//! see the source or the plan: they get one action at a time.

pub mod action;
pub mod desired;
pub mod observed;
pub mod plan;
pub mod status;
