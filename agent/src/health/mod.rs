//! Whether containers are well: found out by this host, judged by the orchestrator (checks from outside) or at once
//! (commands inside).
//!
//! [`checks`] connects from this host to containers of others, as the assignment asks: [`book`] says which check is due
//! and what its results amount to ([`tally`], [`slot`]), [`probe`] does one, with [`patience`]. [`commands`] runs the health commands of
//! this host's own containers: [`rota`] says whose turn it is, [`streak`] judges, [`kept`] remembers over a restart of
//! the agent. `book`, `tally`, `slot`, `rota` and `streak` are pure. Both go on while there is no orchestrator.

pub mod book;
pub mod checks;
pub mod commands;
pub mod kept;
mod patience;
mod probe;
pub mod rota;
pub mod slot;
pub mod streak;
pub mod tally;
