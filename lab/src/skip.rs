//! How a test says that it cannot run here: `cargo xtask test` counts it as skipped and shows why.

use std::io::Write;

/// Stands before the reason in a line of standard error.
pub const MARK: &str = "remuda-test-skipped:";

/// Call it and return from the test: `return lab::skip("no IPv6 on this machine")`.
///
/// Written to the process's own standard error, which libtest does not capture.
pub fn skip(reason: &str) {
    let name = std::thread::current().name().unwrap_or("test").to_owned();
    let _ = writeln!(std::io::stderr(), "\n{MARK} {name}: {reason}");
}
