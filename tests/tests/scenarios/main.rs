//! SCENARIOS.md, black box: a lab with a server, the command line, real sockets. Run with `cargo xtask test scenarios`.

mod balancer;
mod docker;
mod ends;
mod examples;
mod form;
mod names;
mod place;
mod publish;
