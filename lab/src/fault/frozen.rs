//! A process that stands still: stopped by the kernel, as a host out of memory or a debugger would.

use super::say;
use crate::{Lab, fleet};
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Does nothing until this is dropped; its sockets stay open and fill up.
pub struct Frozen {
    pid: Option<Pid>,
}

impl Frozen {
    pub fn begin(pid: u32) -> Result<Frozen> {
        let pid = Pid::from_raw(pid as i32);
        kill(pid, Signal::SIGSTOP).with_context(|| format!("stopping process {pid}"))?;
        Ok(Frozen { pid: Some(pid) })
    }

    /// Lets it go on; dropping does the same, but cannot say why it failed.
    pub fn thaw(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let Some(pid) = self.pid.take() else { return Ok(()) };
        match kill(pid, Signal::SIGCONT) {
            // It was ended meanwhile, which a stopped process can be.
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("waking process {pid}")),
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        say(self.end());
    }
}

impl Lab {
    /// Stops `server` or a host's agent; containers run on.
    pub fn freeze(&self, who: &str) -> Result<Frozen> {
        Frozen::begin(fleet::pid_of(&self.state, who)?)
    }
}
