//! What the root tests share: fleets told by files, and sockets inside other namespaces.
//!
//! Nothing here replaces a part of the product: hosts run the real agent, containers are real ones.

pub mod counters;
pub mod crowd;
pub mod engine;
pub mod figure;
pub mod fleet;
pub mod image;
pub mod lasting;
pub mod lookup;
pub mod pins;
pub mod probe;
pub mod registry;
pub mod stack;
pub mod talk;
pub mod unit;
pub mod wire;
