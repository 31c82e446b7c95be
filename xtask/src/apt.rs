//! Debian packages: which are missing, one line why, and none of their services left running.

use crate::cargo;
use anyhow::{Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// A package, the file that proves it is there, and what it is for.
pub struct Package {
    pub name: String,
    /// A program looked up in the system's directories, or an absolute path.
    pub proof: String,
    pub needed_for: &'static str,
}

impl Package {
    pub fn new(name: impl Into<String>, proof: impl Into<String>, needed_for: &'static str) -> Self {
        Self { name: name.into(), proof: proof.into(), needed_for }
    }

    fn is_installed(&self) -> bool {
        if self.proof.starts_with('/') {
            return Path::new(&self.proof).exists();
        }
        let directories = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];
        directories.iter().any(|directory| Path::new(directory).join(&self.proof).exists())
    }
}

/// Installs those of `packages` that are missing, saying each and why.
///
/// Errors with the exact command to run when this is not root on a Debian.
pub fn install(packages: &[Package]) -> Result<()> {
    let missing: Vec<&Package> = packages.iter().filter(|package| !package.is_installed()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    must_be_able(&missing)?;
    announce(&missing);
    let _quiet = NoServices::hold(&missing)?;
    if !apt_get("install", &names(&missing))? {
        println!("updating the package lists: the ones here do not lead to these packages");
        apt_get("update", &[])?;
        install_or_explain(&missing)?;
    }
    Ok(())
}

/// Installs or updates `packages` to what the archives have today: an older version is known not to do.
pub fn install_newest(packages: &[Package]) -> Result<()> {
    let packages: Vec<&Package> = packages.iter().collect();
    must_be_able(&packages)?;
    println!("updating the package lists: the newest of these is needed");
    apt_get("update", &[])?;
    announce(&packages);
    let _quiet = NoServices::hold(&packages)?;
    install_or_explain(&packages)
}

/// Root on a Debian, or the command to run.
fn must_be_able(packages: &[&Package]) -> Result<()> {
    if nix::unistd::geteuid().is_root() && Path::new("/usr/bin/apt-get").exists() {
        return Ok(());
    }
    let reasons: Vec<String> = packages.iter().map(|p| format!("  {}: needed for {}", p.name, p.needed_for)).collect();
    let names = names(packages).join(" ");
    bail!("missing:\n{}\nrun: sudo apt-get update && sudo apt-get install -y {names}", reasons.join("\n"));
}

fn announce(packages: &[&Package]) {
    packages.iter().for_each(|package| println!("installing {}: needed for {}", package.name, package.needed_for));
}

fn names<'a>(packages: &[&'a Package]) -> Vec<&'a str> {
    packages.iter().map(|package| package.name.as_str()).collect()
}

fn install_or_explain(packages: &[&Package]) -> Result<()> {
    let names = names(packages);
    if !apt_get("install", &names)? {
        let log = fs::read_to_string(LOG).unwrap_or_default();
        bail!("apt-get could not install {}:\n{}", names.join(" "), last_lines(&log, 15));
    }
    Ok(())
}

/// What apt-get said; shown only when it failed.
const LOG: &str = "/tmp/remuda-xtask-apt.log";

fn apt_get(verb: &str, names: &[&str]) -> Result<bool> {
    let log = fs::File::create(LOG)?;
    let status = Command::new("apt-get")
        .args(["-q", "-y", "-o", "DPkg::Lock::Timeout=300", verb])
        .args(if verb == "install" { &["--no-install-recommends"][..] } else { &[] })
        .args(names)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()?;
    Ok(status.success())
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// While held, Debian's package scripts start no service (policy-rc.d answers "forbidden"),
/// and with systemd none is enabled for the next boot. A file of this name that is not ours
/// is somebody's decision and stays.
struct NoServices {
    is_ours: bool,
    /// What these packages bring; services that ran before are somebody's and go on.
    services: Vec<&'static str>,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_TEXT: &str = "#!/bin/sh\n# written by cargo xtask while it installs packages; safe to remove\nexit 101\n";
/// Packages of ours that bring services of their own.
const SERVICES: [(&str, &[&str]); 3] = [
    ("nginx-light", &["nginx"]),
    ("redis-server", &["redis-server"]),
    ("docker.io", &["docker.socket", "docker", "containerd"]),
];

impl NoServices {
    fn hold(packages: &[&Package]) -> Result<Self> {
        let is_ours = match fs::read_to_string(POLICY) {
            Ok(text) => text == POLICY_TEXT,
            Err(_) => true,
        };
        if is_ours {
            fs::write(POLICY, POLICY_TEXT)?;
            fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
        }
        let brought = SERVICES.iter().filter(|(name, _)| packages.iter().any(|package| package.name == *name));
        Ok(Self { is_ours, services: brought.flat_map(|(_, services)| *services).copied().collect() })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.is_ours {
            let _ = fs::remove_file(POLICY);
        }
        if Path::new("/run/systemd/system").exists() && !self.services.is_empty() {
            let _ = cargo::output(Command::new("systemctl").args(["disable", "--now"]).args(&self.services));
        }
    }
}
