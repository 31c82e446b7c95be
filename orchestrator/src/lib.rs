//! orchestrator

pub mod http;
