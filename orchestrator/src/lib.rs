//! The thin middle: accepts specs, allocates, places, publishes. It never forwards a packet and is never asked by one.
//!
//! Reading order:
//! - [`state`]: everything known, as data; [`persist`], [`store`]: how it is kept
//! - [`accept`]: whether a wish may be; [`declare`]: the wish written into the state; [`difference`]: what that changed, field by field
//! - [`reconcile`]: what follows from it, with [`place`] (which host) and [`alloc`] (which numbers and addresses)
//! - [`runtime`]: what runs a service's containers; [`volumes`]: which host has the data they mount
//! - [`balancer`]: where the ports of a service without containers lead, and how it fares
//! - [`health`]: who checks whom, who is healthy, who is replaced
//! - [`publish`]: what each host is told; [`report`]: what each host says; [`join`], [`facts`]: who becomes one; [`view`]: what people see
//! - [`fleet`]: the one place where the state changes; [`orders`]: logs, exec, look-ups
//! - [`detector`]: which hosts live; [`liveness`]: what it is fed with, and its verdicts written; [`streams`]: reports' streams
//! - [`pki`]: who may talk to whom; [`listen`]: the port; [`link`]: agents; [`http`]: people
//! - [`server`]: all of it as `remuda server`; [`watchdog`]: who ends it should it hang
//!
//! `accept`, `alloc`, `balancer`, `declare`, `detector`, `difference`, `health`, `place`, `publish`, `reconcile`, `report`, `join`, `runtime`,
//! `view` and `volumes` are pure: state, time and seeds come in as arguments, data goes out. This crate never touches the kernel, a container or a packet.

pub mod accept;
pub mod alloc;
pub mod balancer;
pub mod clock;
pub mod declare;
pub mod detector;
pub mod difference;
pub mod facts;
pub mod fleet;
pub mod health;
pub mod http;
pub mod join;
pub mod link;
pub mod listen;
pub mod liveness;
pub mod orders;
pub mod persist;
pub mod pki;
pub mod place;
pub mod publish;
pub mod reconcile;
pub mod report;
pub mod resume;
pub mod runtime;
pub mod server;
pub mod state;
pub mod store;
pub mod streams;
pub mod view;
pub mod volumes;
mod watchdog;

pub use server::{Ready, Server, ServerOptions, run, start};
