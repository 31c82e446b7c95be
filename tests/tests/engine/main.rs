//! Real containers of a real engine: run with `cargo xtask test engine` (root).

mod adopt;
mod exec;
mod hands;
mod host;
mod logs;
mod pull;
mod run;
mod trouble;
mod unwell;
