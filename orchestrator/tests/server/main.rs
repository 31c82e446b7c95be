//! The orchestrator from outside: its port, its data directory, its store. One binary, because linking is what costs.

mod api;
mod common;
mod engine;
mod fleet;
mod health;
mod join;
mod liveness;
mod rights;
mod session;
mod start;
mod store;
