//! Another time of day for one process, from its start on.

use crate::Lab;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// Debian's package libfaketime puts it there, below the machine's own library directory.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
const LIBRARY_DIRS: [&str; 3] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"];

/// A process lives at another time until it is started again; dropping this clears away what the library left.
pub struct Shifted {
    pid: u32,
}

impl Lab {
    /// Starts `server` or a host's agent with the wall clock moved by `offset`: `+1d`, `-1d`, `+90m`.
    ///
    /// Monotonic time stays as it is, as it does when somebody sets a machine's clock. Errors if it runs already.
    /// Does not wait for the fleet to find it ready: with such a clock it may never be.
    pub fn start_shifted(&mut self, who: &str, offset: &str) -> Result<Shifted> {
        let library = library().context("libfaketime is not installed: apt-get install faketime")?;
        let environment = [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME", offset.to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ];
        Ok(Shifted { pid: self.spawn_again(who, &environment)? })
    }
}

impl Drop for Shifted {
    fn drop(&mut self) {
        // A process that is killed leaves both; its children have opened them long ago.
        for name in [format!("faketime_shm_{}", self.pid), format!("sem.faketime_sem_{}", self.pid)] {
            let _ = fs::remove_file(Path::new("/dev/shm").join(name));
        }
    }
}

fn library() -> Option<PathBuf> {
    LIBRARY_DIRS.iter().map(|dir| Path::new(dir).join(LIBRARY)).find(|path| path.exists())
}
