//! Where the checkout is and how cargo is called in it.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the checkout this xtask was built from.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies in the checkout")
}

/// `root()/path`.
pub fn at(path: &str) -> PathBuf {
    root().join(path)
}

/// `cargo ARGS` in the checkout, free of what the cargo that runs xtask set for itself.
pub fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME" {
            command.env_remove(name.as_ref());
        }
    }
    command.current_dir(root()).args(args);
    command
}

/// Builds the kernel programs, then `remuda` with them inside and the example services.
pub fn build_remuda() -> Result<()> {
    crate::build_ebpf::build()?;
    let mut args = vec!["build", "--release", "--package", "remuda-cli"];
    if at("examples/shop/Cargo.toml").exists() {
        args.extend(["--package", "remuda-shop"]);
    }
    run(&mut cargo(&args), "building target/release/remuda failed; the compiler's words are above")
}

/// Builds `whoami` without anything it would have to find in an image.
pub fn build_whoami() -> Result<()> {
    let target = remuda_lab::image::target();
    let mut command = cargo(&["build", "--release", "--package", "remuda-whoami", "--target", &target]);
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    run(&mut command, "building the static whoami failed; the compiler's words are above (it needs libc6-dev)")
}

/// Runs to the end with our own output; a failure is `what_failed`.
pub fn run(command: &mut Command, what_failed: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{what_failed} ({status})");
    }
    Ok(())
}

/// Standard output of a command that must succeed.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !out.status.success() {
        bail!("{command:?}: {} {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
