//! Real traffic over namespaces: run with `cargo xtask test net` (root).

mod matrix;
