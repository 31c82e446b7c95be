//! Ending as a good service does: SIGTERM is heard, answers that were begun are finished.
//!
//! As process 1 of a container it would otherwise not be ended by SIGTERM at all.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Answers take far less.
const FINISH_LIMIT: Duration = Duration::from_secs(5);

static BUSY: Mutex<usize> = Mutex::new(0);
static IDLE: Condvar = Condvar::new();

/// From now on SIGTERM and SIGINT wait for [`wait`], in this thread and those it starts.
pub(crate) fn block() {
    let signals = signals();
    // SAFETY: the set is initialised; null asks for no old mask.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, std::ptr::null_mut()) };
}

/// Returns when somebody asks this process to end.
pub(crate) fn wait() {
    let (signals, mut signal) = (signals(), 0);
    // SAFETY: both point to initialised values of this frame.
    unsafe { libc::sigwait(&raw const signals, &raw mut signal) };
}

fn signals() -> libc::sigset_t {
    // SAFETY: sigemptyset initialises the set before it is read; adding known signals cannot fail.
    unsafe {
        let mut signals = std::mem::zeroed();
        libc::sigemptyset(&raw mut signals);
        libc::sigaddset(&raw mut signals, libc::SIGTERM);
        libc::sigaddset(&raw mut signals, libc::SIGINT);
        signals
    }
}

/// An answer that is being given, until it is dropped.
pub(crate) struct Busy;

impl Busy {
    pub(crate) fn begin() -> Busy {
        *busy() += 1;
        Busy
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *busy() -= 1;
        IDLE.notify_all();
    }
}

pub(crate) fn let_answers_finish() {
    let _ = IDLE.wait_timeout_while(busy(), FINISH_LIMIT, |busy| *busy > 0);
}

fn busy() -> MutexGuard<'static, usize> {
    BUSY.lock().unwrap_or_else(PoisonError::into_inner)
}
