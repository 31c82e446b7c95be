//! Figures measured by tests: printed for whoever watches, and as lines that `cargo xtask bench faults` collects.

use std::io::Write;
use std::time::Duration;

/// Begins a line with a figure; what follows is `NAME <tab> VALUE <tab> UNIT`.
pub const MARK: &str = "remuda-figure:";

/// A number with its unit.
///
/// Written to the process's own standard error, which libtest does not capture.
pub fn figure(name: &str, value: f64, unit: &str) {
    let _ = writeln!(std::io::stderr(), "\n{MARK} {name}\t{value}\t{unit}");
}

/// How long something took, in seconds.
pub fn seconds(name: &str, took: Duration) {
    figure(name, took.as_secs_f64(), "s");
}

/// How many.
pub fn count(name: &str, count: usize) {
    figure(name, count as f64, "");
}
