//! Real traffic over namespaces: run with `cargo xtask test net` (root).

mod adopt;
mod balancer;
mod certificate;
mod chance;
mod drain;
mod health;
mod kernel;
mod matrix;
mod pair;
mod peers;
mod runtime;
