//! SCENARIOS.md, black box: a lab with a server, the command line, real sockets. Run with `cargo xtask test scenarios`.

mod balancer;
mod ends;
mod docker;
mod examples;
mod form;
mod names;
mod place;
mod publish;
