//! Logs of the long-running roles; users' commands print none.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// What is logged when neither `--log` nor `RUST_LOG` says otherwise.
const DEFAULT_FILTER: &str = "info";

/// Sends the logs of this process to standard error, each line with its time.
pub fn start(filter: Option<&str>) {
    let filter = match filter {
        Some(words) => EnvFilter::new(words),
        None => EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER)),
    };
    // An agent outlives the server that started it and maybe the terminal both wrote to: a line that cannot be
    // written is lost, nothing more.
    let _ = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(is_terminal())
        .log_internal_errors(false)
        .try_init();
}

fn is_terminal() -> bool {
    io::IsTerminal::is_terminal(&io::stderr())
}
