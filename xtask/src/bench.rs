//! `cargo xtask bench`: ours beside its peers, in one run (ANCHORS.md).

mod connect;
mod docker;
mod faults;
mod fleet;
mod overlay;
mod peers;
mod report;
mod vip;
mod xdp_pass;

use anyhow::{Result, bail};
use remuda_lab::wait_for;
use std::time::Duration;

use crate::{cargo, setup};

type Bench = fn() -> Result<()>;

/// Every bench, in the order they run when none is named.
const ALL: [(&str, Bench); 4] =
    [("overlay", overlay::run), ("vip", vip::run), ("faults", faults::run), ("docker", docker::run)];
/// A measuring server that does not listen by then has failed.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);

/// Measure against the peers of ANCHORS.md; writes target/bench/NAME.json.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench overlay vip")]
pub struct Args {
    /// overlay, vip, faults, docker (none named: all)
    names: Vec<String>,
}

pub fn run(args: &Args) -> Result<()> {
    if let Some(unknown) = args.names.iter().find(|name| ALL.iter().all(|(known, _)| known != name)) {
        bail!("no bench `{unknown}`; there are {}", ALL.map(|(name, _)| name).join(", "));
    }
    setup::bench()?;
    cargo::build_remuda()?;
    for (name, bench) in ALL {
        if args.names.is_empty() || args.names.iter().any(|wanted| wanted == name) {
            println!("bench {name}");
            bench()?;
        }
    }
    Ok(())
}

/// Waits until something listens on this TCP port in the namespace.
fn wait_listening(netns: &str, port: &str) -> Result<()> {
    let filter = format!("sport = :{port}");
    wait_for(&format!("something listens on port {port}"), LISTEN_LIMIT, || {
        let found = remuda_lab::netns::output(netns, &["ss", "-Hltn", &filter])?;
        Ok((!found.trim().is_empty()).then_some(()))
    })
}
