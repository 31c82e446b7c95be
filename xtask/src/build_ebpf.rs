//! `cargo xtask build-ebpf`: the kernel programs, built only when something they are made of changed.

use crate::{cargo, object, toolchain};
use anyhow::{Context, Result, bail};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Build the kernel programs.
///
/// Takes rustup's nightly (with rust-src) or Debian's rustc-web and rust-web-src; as root on
/// Debian installs what is missing and says why, otherwise prints the commands.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  cargo xtask build-ebpf\n  cargo xtask build-ebpf --force   build even if nothing changed"
)]
pub struct Args {
    /// Build even if nothing changed
    #[arg(long)]
    force: bool,
}

/// Where the agent crate finds the object it embeds.
pub const OBJECT: &str = "target/ebpf/bpfel-unknown-none/release/remuda-ebpf";
/// Hash of everything the object was made of, written after the last check passed.
const STAMP: &str = "target/ebpf/remuda-ebpf.stamp";

/// The shared release profile, changed to what the verifier needs: everything inlined, no panic machinery.
const PROFILE: [&str; 7] = [
    "opt-level=3",
    "lto=true",
    "codegen-units=1",
    "panic=\"abort\"",
    "overflow-checks=false",
    "debug=2",
    "incremental=false",
];

pub fn run(args: &Args) -> Result<()> {
    if args.force {
        let _ = fs::remove_file(cargo::at(STAMP));
    }
    if build()? {
        println!("{OBJECT} is built");
    } else {
        println!("{OBJECT} is up to date");
    }
    Ok(())
}

/// Builds the object if needed; whether it was.
pub fn build() -> Result<bool> {
    let fingerprint = fingerprint()?;
    let object = cargo::at(OBJECT);
    if object.exists() && fs::read_to_string(cargo::at(STAMP)).is_ok_and(|stamp| stamp == fingerprint) {
        return Ok(false);
    }
    let _ = fs::remove_file(cargo::at(STAMP));
    let started = Instant::now();
    let toolchain = toolchain::find()?;
    println!("building the kernel programs with {} …", toolchain.description);
    compile(&toolchain)?;
    check(&object)?;
    // Taken again: installing a toolchain is part of the first build.
    fs::write(cargo::at(STAMP), self::fingerprint()?)?;
    println!("kernel programs built in {:.1} s", started.elapsed().as_secs_f32());
    Ok(true)
}

fn compile(toolchain: &toolchain::Toolchain) -> Result<()> {
    let flags = ["-Clinker=bpf-linker", "-Cdebuginfo=2", "-Clink-arg=--btf"].join("\x1f");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(toolchain.linker_dir.clone()).chain(std::env::split_paths(&path)))?;
    let mut command = cargo::cargo(&["build", "--release", "-Z", "build-std=core", "--target", "bpfel-unknown-none"]);
    command.args(["--package", "remuda-ebpf", "--bin", "remuda-ebpf"]);
    for setting in PROFILE {
        command.args(["--config", &format!("profile.release.{setting}")]);
    }
    command
        .current_dir(cargo::at("ebpf"))
        .env("PATH", path)
        .env("RUSTC", &toolchain.rustc)
        // Debian's is a stable compiler; building `core` is a nightly feature.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", cargo::at("target/ebpf"))
        .env("CARGO_ENCODED_RUSTFLAGS", flags);
    cargo::run(&mut command, "the kernel programs did not build; the compiler's words are above")
}

/// A panic in a kernel program is a loop the verifier refuses, or a bug nobody sees: none may be reachable.
fn check(object: &Path) -> Result<()> {
    let bytes = fs::read(object).with_context(|| format!("reading {}", object.display()))?;
    let symbols =
        object::symbols(&bytes).with_context(|| format!("{} is not the ELF object expected", object.display()))?;
    let panicking: Vec<&str> = symbols.iter().map(String::as_str).filter(|name| name.contains("panicking")).collect();
    if !panicking.is_empty() {
        bail!(
            "the kernel object can panic, which no program may: {}\nlook for indexing, slices, division, unwrap or overflow checks in ebpf/src",
            panicking.join(", ")
        );
    }
    Ok(())
}

/// Sources, manifests and toolchain as one number; starts no process, so that nothing changed costs milliseconds.
fn fingerprint() -> Result<String> {
    let mut hasher = DefaultHasher::new();
    PROFILE.hash(&mut hasher);
    let mut files = vec![
        cargo::at("Cargo.toml"),
        cargo::at("Cargo.lock"),
        cargo::at("abi/Cargo.toml"),
        cargo::at("ebpf/Cargo.toml"),
    ];
    for directory in ["abi/src", "ebpf/src", "ebpf/.cargo"] {
        collect(&cargo::at(directory), &mut files)?;
    }
    files.sort();
    for file in files {
        file.hash(&mut hasher);
        fs::read(&file).with_context(|| format!("reading {}", file.display()))?.hash(&mut hasher);
    }
    for tool in toolchain::candidates() {
        modified(&tool).hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(directory) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
