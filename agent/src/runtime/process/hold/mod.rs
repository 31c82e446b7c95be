//! `remuda hold`: owns one unit's network namespace from before its first process until after its last, runs its
//! process, keeps its log and exit status, and outlives the agent.
//!
//! One thread, no runtime, plain system calls: hundreds of these stay resident on a host. Reading order:
//! [`daemon`] (becoming independent of the agent) -> [`serve`] (the loop: requests, output, exits) -> [`process`]
//! (start: clone, init, exec) with [`files`], [`user`], [`limits`] ; [`exec`] ; [`log`].

mod connection;
mod daemon;
mod exec;
mod files;
mod init;
mod limits;
mod log;
mod process;
mod serve;
mod signal;
mod user;

use std::path::Path;
use std::process::ExitCode;

use super::protocol::file;
use crate::action::UnitSpec;

pub(super) use self::limits::remove as remove_limits;
pub(super) use self::log::files as log_files;

/// Holds the unit described by `spec_file`. Returns in the caller's process once the holder is ready (0) or could
/// not be made (1, the reason on stderr); the holder itself goes on in the background until it is told to quit.
pub fn hold(spec_file: &Path) -> ExitCode {
    match daemon::start(spec_file) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

/// A unit and where its files are.
pub(crate) struct Unit {
    pub(crate) spec: UnitSpec,
    pub(crate) dir: std::path::PathBuf,
}

impl Unit {
    fn read(spec_file: &Path) -> Result<Unit, String> {
        let dir = spec_file.parent().ok_or("the spec file has no directory")?.to_path_buf();
        let bytes = std::fs::read(spec_file).map_err(|e| format!("read {}: {e}", spec_file.display()))?;
        let spec = serde_json::from_slice(&bytes).map_err(|e| format!("read {}: {e}", spec_file.display()))?;
        Ok(Unit { spec, dir })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.join(name)
    }

    fn state_file(&self) -> std::path::PathBuf {
        self.path(file::STATE)
    }
}

/// An error as an operator reads it: `attempt: no such file`.
pub(crate) fn words(attempt: impl std::fmt::Display, error: std::io::Error) -> String {
    let cause = match error.raw_os_error() {
        Some(libc::ENOENT) => "no such file".to_string(),
        Some(libc::EACCES) => "permission denied".into(),
        Some(libc::EPERM) => "not permitted (is this root?)".into(),
        Some(libc::ENOEXEC) => "not a program (bad format, or a script without #!)".into(),
        Some(libc::E2BIG) => "arguments and environment are too long".into(),
        Some(code) => nix::errno::Errno::from_raw(code).desc().to_lowercase(),
        None => error.to_string(),
    };
    format!("{attempt}: {cause}")
}

/// Unix time in milliseconds.
pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis().try_into().unwrap_or(u64::MAX))
}
