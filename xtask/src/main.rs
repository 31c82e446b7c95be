//! `cargo xtask`: everything a contributor runs, one file per command.
//!
//! Reading order: this table, then the file named like the command. [`setup`] is
//! shared by all that need root or Debian packages, [`cargo`] runs builds.

mod apt;
mod bench;
mod build_ebpf;
mod cargo;
mod demo;
mod dist;
mod lab;
mod libtest;
mod object;
mod setup;
mod test;
mod tidy;
mod toolchain;
mod vm;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Build, try, test and measure Remuda.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  cargo xtask demo                 watch a fleet form on this machine; the lab stays up
  cargo xtask demo --once          the same, and clean up
  cargo xtask test                 every test; last line: N passed, N failed, N skipped
  cargo xtask test unit            only what needs no root
  cargo xtask lab up --hosts 3     three hosts and an outside client in namespaces
  . target/lab/env && target/release/remuda hosts
  cargo xtask lab exec h2 -- ip addr
  cargo xtask lab down
  cargo xtask bench overlay        beside host-to-host and the kernel's VXLAN";

#[derive(Subcommand)]
enum Command {
    /// Build the kernel programs (target/ebpf/…/remuda-ebpf); installs what is missing
    BuildEbpf(build_ebpf::Args),
    /// The main job on this machine alone, printed with what was measured
    Demo(demo::Args),
    /// Hosts as network namespaces: up, down, status, stop, start, restart, cut, heal, exec
    Lab(lab::Args),
    /// Run the tests: unit, packets, net, faults, scenarios, vm (none named: everything)
    Test(test::Args),
    /// Measure against the peers of ANCHORS.md; writes target/bench/NAME.json
    Bench(bench::Args),
    /// Load and test on another kernel in QEMU
    Vm(vm::Args),
    /// Check who imports whom, sizes of files and functions, eBPF inlining
    Tidy(tidy::Args),
    /// What is shipped: target/dist/remuda-VERSION-ARCH.tar.gz
    Dist(dist::Args),
    /// Install what demo, lab, tests and benches need (they call it themselves)
    #[command(hide = true)]
    Setup,
}

fn main() -> ExitCode {
    // `cargo xtask … | head` ends quietly, as other commands do.
    // SAFETY: no handler is installed, and no other thread runs yet.
    let _ =
        unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGPIPE, nix::sys::signal::SigHandler::SigDfl) };
    let done = match Xtask::parse().command {
        Command::BuildEbpf(args) => build_ebpf::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Lab(args) => lab::run(args),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Vm(args) => vm::run(&args),
        Command::Tidy(args) => tidy::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Setup => setup::everything(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
