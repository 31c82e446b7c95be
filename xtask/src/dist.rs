//! `cargo xtask dist`: one archive with the binary, licences and papers.

use crate::cargo;
use anyhow::Result;
use std::fs;
use std::process::Command;

/// Build the release archive: target/dist/remuda-VERSION-ARCH.tar.gz.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask dist")]
pub struct Args {}

const PAPERS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT"];

pub fn run(_args: &Args) -> Result<()> {
    crate::build_ebpf::build()?;
    cargo::run(&mut cargo::cargo(&["build", "--profile", "dist", "--package", "remuda-cli"]), "the dist build failed")?;
    let name = format!("remuda-{}-{}", env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let directory = cargo::at("target/dist").join(&name);
    fs::create_dir_all(&directory)?;
    fs::copy(cargo::at("target/dist/remuda"), directory.join("remuda"))?;
    for paper in PAPERS {
        fs::copy(cargo::at(paper), directory.join(paper))?;
    }
    let archive = format!("target/dist/{name}.tar.gz");
    let mut tar = Command::new("tar");
    tar.current_dir(cargo::root()).args(["-C", "target/dist", "--owner=0", "--group=0", "-czf", &archive, &name]);
    cargo::run(&mut tar, "tar failed")?;
    println!("{archive}");
    Ok(())
}
