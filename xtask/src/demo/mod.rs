//! `cargo xtask demo`: the main job on this machine alone, each line with what it measured.

mod death;
mod fleet;
mod report;
mod steps;

use crate::lab::{NAME, how_to_play};
use crate::{cargo, setup};
use anyhow::{Result, bail};
use fleet::Fleet;
use remuda_lab::{Lab, Options, residue};
use std::time::Instant;

/// Three hosts form a fleet, a Compose stack spreads over them, names resolve, a VIP balances,
/// a published port answers on every host with the client's own address, a host dies and nobody notices.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask demo          leaves the lab running and says how to play with it\n  cargo xtask demo --once   cleans up"
)]
pub struct Args {
    /// Clean up at the end instead of leaving the lab running
    #[arg(long)]
    once: bool,
    /// Take target/release/remuda as it is
    #[arg(long)]
    no_build: bool,
}

const HOSTS: usize = 3;

pub fn run(args: &Args) -> Result<()> {
    setup::demo()?;
    if !args.no_build {
        cargo::build_remuda()?;
    }
    // What an earlier demo left running, or left half done.
    Lab::down(NAME)?;
    let options = Options::new(NAME, HOSTS);
    println!("\nRemuda on this machine alone: {HOSTS} hosts and an outside client, each a network namespace\n");
    let started = Instant::now();
    let lab = Lab::up(&options)?;
    report::proved(
        "hosts ready",
        &format!(
            "{HOSTS} in {:.1} s, {:.1} s after the last was started",
            started.elapsed().as_secs_f32(),
            lab.ready_after.as_secs_f32()
        ),
    );
    let fleet = Fleet { lab };
    let failed = run_steps(&fleet);
    if args.once {
        drop(fleet);
        clean_up()?;
    } else {
        let lab = fleet.lab.keep();
        println!("\nThe lab runs on. To play with it:");
        how_to_play(&lab.state);
        println!("  target/release/remuda scale shop/web=30   more replicas, once target/lab/env is sourced");
    }
    match failed {
        0 => Ok(()),
        failed => bail!("{failed} of the lines above failed"),
    }
}

/// Runs every step, also after one failed; how many did.
fn run_steps(fleet: &Fleet) -> usize {
    let mut failed = 0;
    for (what, step) in steps::ALL {
        match step(fleet) {
            Ok(measured) => report::proved(what, &measured),
            Err(error) => {
                failed += 1;
                report::failed(what, &error);
            }
        }
    }
    failed
}

fn clean_up() -> Result<()> {
    let left = residue(NAME);
    if !left.is_empty() {
        bail!("the lab left behind:\n  {}", left.join("\n  "));
    }
    report::proved("cleaned up", "no process, namespace, link, pin, mount or file left");
    Ok(())
}
