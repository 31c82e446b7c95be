//! A Rust that can build for BPF (rust-src and a bpf-linker of the same LLVM): found, completed, or explained.

use crate::apt::{self, Package};
use crate::cargo;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A compiler with the sources of `core`, and the linker that understands its bitcode.
pub struct Toolchain {
    pub rustc: PathBuf,
    /// Directory of a `bpf-linker` whose LLVM is the compiler's.
    pub linker_dir: PathBuf,
    pub description: String,
}

/// Debian's compiler for browsers: kept newer than the distribution, with its LLVM beside it.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const LINKER_VERSION: &str = "0.13.0";
/// The workspace's rust-version: `abi/` and `ebpf/` are built by this compiler too.
const OLDEST_RUST: (u32, u32) = (1, 95);
/// LLVM majors that this bpf-linker can be built against.
const LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// Finds a usable toolchain; as root on Debian installs what is missing.
pub fn find() -> Result<Toolchain> {
    let rustc = match nightly_with_sources().or_else(debian_with_sources) {
        Some(rustc) => rustc,
        None => install_debian()?,
    };
    let version = version_of(&rustc)?;
    let linker_dir = linker(version.llvm_major)?;
    Ok(Toolchain { description: format!("{} (LLVM {})", version.release, version.llvm_major), rustc, linker_dir })
}

/// What the stamp needs to notice another toolchain, without starting a process.
pub fn candidates() -> Vec<PathBuf> {
    vec![PathBuf::from(DEBIAN_RUSTC)]
}

fn has_sources(sysroot: &Path) -> bool {
    sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").exists()
}

fn sysroot_of(rustc: &Path) -> Option<PathBuf> {
    let out = cargo::output(Command::new(rustc).args(["--print", "sysroot"])).ok()?;
    Some(PathBuf::from(out.trim()))
}

/// New enough for our sources and for the linker.
fn is_usable(rustc: &Path) -> bool {
    version_of(rustc).is_ok_and(|version| version.number >= OLDEST_RUST && LINKER_LLVM.contains(&version.llvm_major))
}

/// A rustup nightly that has rust-src and whose LLVM this machine can link against.
fn nightly_with_sources() -> Option<PathBuf> {
    let which = Command::new("rustup").args(["which", "--toolchain", "nightly", "rustc"]).output().ok()?;
    let rustc = PathBuf::from(String::from_utf8(which.stdout).ok()?.trim());
    if !which.status.success() || !has_sources(&sysroot_of(&rustc)?) || !is_usable(&rustc) {
        return None;
    }
    let llvm_major = version_of(&rustc).ok()?.llvm_major;
    let can_link = existing_linker(llvm_major).is_some() || llvm_config(llvm_major).exists();
    can_link.then_some(rustc)
}

fn debian_with_sources() -> Option<PathBuf> {
    let rustc = PathBuf::from(DEBIAN_RUSTC);
    (rustc.exists() && has_sources(&sysroot_of(&rustc)?) && is_usable(&rustc)).then_some(rustc)
}

fn install_debian() -> Result<PathBuf> {
    println!(
        "no nightly with rust-src (and its LLVM), no Debian rustc with sources that is new enough: taking Debian's"
    );
    let packages = [
        Package::new("rustc-web", DEBIAN_RUSTC, "compiling the kernel programs"),
        Package::new("rust-web-src", "/usr/lib/rustlib/src/rust", "building `core` for the BPF target"),
    ];
    apt::install_newest(&packages).context(
        "no toolchain for the kernel programs. Either Debian's (below), or rustup's:\n  \
         rustup toolchain install nightly --component rust-src   (and the llvm-N-dev its `rustc +nightly -vV` names)",
    )?;
    debian_with_sources().with_context(too_old)
}

fn too_old() -> String {
    let found = version_of(Path::new(DEBIAN_RUSTC)).map_or("no rustc".into(), |version| version.release);
    let (major, minor) = OLDEST_RUST;
    format!(
        "{DEBIAN_RUSTC} is {found}, or its sources are missing; needed: {major}.{minor} or newer, with LLVM {} to {}. \
         Debian keeps rustc-web new in bookworm-security: is this line in /etc/apt/sources.list?\n  \
         deb http://deb.debian.org/debian-security bookworm-security main",
        LINKER_LLVM.start(),
        LINKER_LLVM.end()
    )
}

struct Version {
    /// As `rustc -V` says it.
    release: String,
    number: (u32, u32),
    llvm_major: u32,
}

fn version_of(rustc: &Path) -> Result<Version> {
    let text = cargo::output(Command::new(rustc).arg("-vV"))?;
    let llvm = text.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    let llvm_major = llvm
        .and_then(|version| version.split('.').next()?.parse().ok())
        .with_context(|| format!("{} -vV names no LLVM version", rustc.display()))?;
    let release = text.lines().next().unwrap_or("rustc").to_owned();
    let mut numbers = release.split([' ', '.']).skip(1).filter_map(|part| part.parse().ok());
    let number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    Ok(Version { release, number, llvm_major })
}

/// The directory of a bpf-linker of this LLVM; builds one when there is none.
fn linker(llvm_major: u32) -> Result<PathBuf> {
    if let Some(dir) = existing_linker(llvm_major) {
        return Ok(dir);
    }
    apt::install(&linker_packages(llvm_major))
        .with_context(|| format!("bpf-linker is not there and building it needs LLVM {llvm_major}'s headers"))?;
    build_linker(llvm_major)
}

fn own_linker_root(llvm_major: u32) -> PathBuf {
    cargo::at(&format!("target/tools/llvm-{llvm_major}"))
}

fn existing_linker(llvm_major: u32) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(own_linker_root(llvm_major).join("bin"))
        .chain(std::env::split_paths(&path))
        .find(|dir| links_llvm(&dir.join("bpf-linker"), llvm_major))
}

/// Whether this linker starts and carries or loads the LLVM asked for: an older one cannot read newer bitcode.
fn links_llvm(linker: &Path, llvm_major: u32) -> bool {
    let Ok(bytes) = std::fs::read(linker) else { return false };
    let needle = format!("libLLVM.so.{llvm_major}.");
    let has_llvm = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    has_llvm && Command::new(linker).arg("--version").output().is_ok_and(|out| out.status.success())
}

fn llvm_config(llvm_major: u32) -> PathBuf {
    PathBuf::from(format!("/usr/lib/llvm-{llvm_major}/bin/llvm-config"))
}

fn linker_packages(llvm_major: u32) -> Vec<Package> {
    let llvm = format!("/usr/lib/llvm-{llvm_major}");
    let why = "building bpf-linker (once)";
    vec![
        Package::new(format!("llvm-{llvm_major}-dev"), format!("{llvm}/include/llvm/IR/Module.h"), why),
        Package::new(format!("libpolly-{llvm_major}-dev"), format!("{llvm}/include/polly"), why),
        Package::new("libzstd-dev", "/usr/include/zstd.h", why),
        Package::new("zlib1g-dev", "/usr/include/zlib.h", why),
        Package::new("libxml2-dev", "/usr/include/libxml2", why),
        Package::new("g++", "g++", why),
    ]
}

fn build_linker(llvm_major: u32) -> Result<PathBuf> {
    let root = own_linker_root(llvm_major);
    let prefix = format!("/usr/lib/llvm-{llvm_major}");
    println!("building bpf-linker {LINKER_VERSION} against LLVM {llvm_major} (once, about a minute) …");
    let features = format!("llvm-{llvm_major}");
    let mut install = cargo::cargo(&["install", "bpf-linker", "--version", LINKER_VERSION, "--no-default-features"]);
    install.args(["--features", &features, "--locked", "--quiet", "--force", "--root"]).arg(&root);
    install.env("LLVM_PREFIX", &prefix).env("CARGO_TARGET_DIR", cargo::at("target/tools/build"));
    cargo::run(&mut install, "bpf-linker did not build; the words above say what is missing")?;
    let dir = root.join("bin");
    if !links_llvm(&dir.join("bpf-linker"), llvm_major) {
        bail!(
            "the bpf-linker just built in {} does not start or has another LLVM; remove {} and try again",
            dir.display(),
            root.display()
        );
    }
    Ok(dir)
}
