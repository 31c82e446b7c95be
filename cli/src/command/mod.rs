//! One file per command.

pub mod agent;
pub mod completion;
pub mod config;
pub mod dns;
pub mod down;
pub mod drain;
pub mod events;
pub mod exec;
pub mod hold;
pub mod host;
pub mod inspect;
pub mod leave;
pub mod logs;
pub mod node;
pub mod ps;
pub mod refused;
pub mod scale;
pub mod server;
pub mod service;
pub mod services;
pub mod stack;
pub mod swarm;
pub mod token;
pub mod up;
pub mod version;
pub mod wait;
