//! Code of ours inside a network namespace: a thread of its own, never this one.

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::thread::JoinHandle;

/// Runs `work` on a new thread that has entered the network namespace at `path`.
pub fn spawn<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<JoinHandle<Result<T>>> {
    let file = File::open(path).with_context(|| format!("network namespace {path}"))?;
    Ok(std::thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).context("entering the network namespace")?;
        work()
    }))
}

/// The same, waited for.
pub fn run<T: Send + 'static>(path: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn(path, work)?.join().map_err(|_| anyhow::anyhow!("a measuring thread panicked"))?
}
