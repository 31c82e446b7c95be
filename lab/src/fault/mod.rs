//! Faults set on a running lab. Each is a value that ends when it is dropped, also when a test panics.
//!
//! [`Cut`] pulls cables, [`Filter`] lets packets of one direction, one pair of hosts or a share of all vanish,
//! [`Frozen`] stops a process for a while, [`Shifted`] gives one process another time of day. Killing needs no end:
//! [`crate::Lab::kill`] and [`crate::process::kill_all`].

mod clock;
mod cut;
mod filter;
mod frozen;

pub use clock::Shifted;
pub use cut::Cut;
pub use filter::{Direction, Filter};
pub use frozen::Frozen;

/// What could not be undone is said; a panic while a test panics would end the whole group.
fn say(done: anyhow::Result<()>) {
    if let Err(error) = done {
        eprintln!("a fault did not end: {error:#}");
    }
}
