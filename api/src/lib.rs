//! The words between the parts of Remuda: data only.
//!
//! Reading order: [`names`] (what may be called what), [`spec`] (what a user wants: stacks and services; [`health`]: how
//! their containers are judged; [`engine`]: what only a container engine can give them),
//! [`resource`] (what the REST API shows), [`assignment`] (what one host is told: a full set, then chained
//! deltas), [`link`] (everything else an agent and the orchestrator say to each other).
//!
//! This crate never opens a socket, reads a clock or a file, and never knows about the kernel's maps.

pub mod assignment;
pub mod engine;
pub mod health;
pub mod link;
pub mod names;
pub mod resource;
pub mod spec;
