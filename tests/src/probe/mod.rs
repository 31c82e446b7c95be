//! Probes: real sockets that are used during a fault and count what broke, with the time of each failure.
//!
//! [`Flows`] keeps connections open, [`Connects`] opens new ones at a rate, [`Datagrams`] has UDP echoed,
//! [`Names`] looks a name up. All run on threads inside the network namespace they are given.

mod connects;
mod datagrams;
mod flows;
mod names;
mod tally;

pub use connects::{Connects, Target, ask_line};
pub use datagrams::Datagrams;
pub use flows::Flows;
pub use names::{Look, Names, Timeline};
pub use tally::{Failure, Tally};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use remuda_lab::netns;

/// Threads inside a namespace that work until they are told to end; dropped, they are told and waited for.
struct Crew<T> {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<T>>,
}

impl<T: Send + 'static> Crew<T> {
    /// `work` runs on `count` threads inside `namespace` (a name or a path) and ends soon after the flag is up.
    fn start(
        namespace: &str,
        count: usize,
        work: impl Fn(&AtomicBool, usize) -> T + Send + Sync + Clone + 'static,
    ) -> Result<Crew<T>> {
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = is_over.clone();
        let start = move |index| {
            let (flag, work) = (flag.clone(), work.clone());
            std::thread::spawn(move || work(&flag, index))
        };
        // Threads that a thread inside starts are inside as well.
        let threads = netns::inside(namespace, move || (0..count).map(start).collect())?;
        Ok(Crew { is_over, threads })
    }

    fn end(mut self) -> Vec<T> {
        self.is_over.store(true, Ordering::Relaxed);
        let threads = std::mem::take(&mut self.threads);
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    }
}

impl<T> Drop for Crew<T> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Calls `once` every `pause` until told to end; a call that took longer is followed by the next at once.
fn repeat(is_over: &AtomicBool, pause: Duration, mut once: impl FnMut()) {
    while !is_over.load(Ordering::Relaxed) {
        let begin = Instant::now();
        once();
        std::thread::sleep(pause.saturating_sub(begin.elapsed()));
    }
}
