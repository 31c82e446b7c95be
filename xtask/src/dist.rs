//! `cargo xtask dist`: one archive with the binary, manual pages, completions, units, licences and papers.

use crate::cargo;
use anyhow::{Result, ensure};
use std::fs;
use std::path::Path;
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
    words(&directory)?;
    units(&directory)?;
    let archive = format!("target/dist/{name}.tar.gz");
    let mut tar = Command::new("tar");
    tar.current_dir(cargo::root()).args(["-C", "target/dist", "--owner=0", "--group=0", "-czf", &archive, &name]);
    cargo::run(&mut tar, "tar failed")?;
    println!("{archive}");
    Ok(())
}

/// What the binary says of itself: man1/ and completions/, each file named as its shell looks for it.
fn words(directory: &Path) -> Result<()> {
    let binary = directory.join("remuda");
    let mut man = Command::new(&binary);
    man.arg("man").arg("--dir").arg(directory.join("man1"));
    cargo::run(&mut man, "the manual pages were not written")?;
    let completions = directory.join("completions");
    fs::create_dir_all(&completions)?;
    for (shell, file) in [("bash", "remuda.bash"), ("zsh", "_remuda"), ("fish", "remuda.fish")] {
        let output = Command::new(&binary).args(["completion", shell]).output()?;
        ensure!(output.status.success(), "the completions of {shell} were not written");
        fs::write(completions.join(file), output.stdout)?;
    }
    Ok(())
}

/// deploy/systemd/, as vagrant/provision.sh and people install it.
fn units(directory: &Path) -> Result<()> {
    let to = directory.join("systemd");
    fs::create_dir_all(&to)?;
    for unit in fs::read_dir(cargo::at("deploy/systemd"))? {
        let unit = unit?;
        fs::copy(unit.path(), to.join(unit.file_name()))?;
    }
    Ok(())
}
