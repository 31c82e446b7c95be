//! Real traffic over namespaces: run with `cargo xtask test net` (root).

mod kernel;
mod matrix;
mod pair;
mod runtime;
