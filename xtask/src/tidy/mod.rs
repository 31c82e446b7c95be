//! `cargo xtask tidy`: the rules of the house that a compiler does not check.

mod imports;
mod inline;
mod ratchet;
mod source;

use crate::cargo;
use anyhow::{Result, bail};
use source::Source;
use std::fmt;

/// Check who imports whom, sizes of files and functions, eBPF inlining.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  cargo xtask tidy\n  cargo xtask tidy --bless   write today's long files and functions to xtask/ratchet.toml"
)]
pub struct Args {
    /// Accept today's sizes: rewrite xtask/ratchet.toml
    #[arg(long)]
    bless: bool,
}

/// A broken rule: where, which, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    file: String,
    /// Counted from 1.
    line: usize,
    rule: &'static str,
    what_to_do: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.rule, self.what_to_do)
    }
}

pub fn run(args: &Args) -> Result<()> {
    if args.bless {
        return ratchet::bless(&source::all(cargo::root())?);
    }
    let findings = check()?;
    findings.iter().for_each(|finding| println!("{finding}"));
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    println!("tidy");
    Ok(())
}

/// Every broken rule in the checkout.
pub fn check() -> Result<Vec<Finding>> {
    let sources: Vec<Source> = source::all(cargo::root())?;
    let mut findings = imports::manifests(cargo::root())?;
    findings.extend(sources.iter().flat_map(imports::uses));
    findings.extend(sources.iter().flat_map(inline::check));
    findings.extend(ratchet::check(&sources)?);
    findings.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    Ok(findings)
}
