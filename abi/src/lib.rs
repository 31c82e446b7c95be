//! What the kernel programs and user space must agree on, to the byte, and nothing else.
//!
//! Core only: no I/O, no allocation, no dependency. Reading order:
//! - [`names`]: maps, programs and where they are pinned
//! - [`plain`]: the layout promise of every type here, and how user space hands them to aya
//! - [`addr`]: MAC addresses, well-known addresses and ports
//! - [`host`]: what a program knows of the host it runs on
//! - [`endpoint`]: who may enter where, and how to deliver
//! - [`route`]: what an address is; which hosts are peers
//! - [`counter`]: what is counted, and the named reason of every drop
//! - [`tunnel`]: wire format 1
//! - [`frontend`]: frontends, backends, lists, rings, owners
//! - [`flow`]: conntrack entries and per-packet VIP translations
//! - [`socket`]: what the socket hooks know and remember
//! - [`hash`], [`checksum`]: the flow hash and the Internet checksum
//!
//! Byte order: names that end in `_be` hold network order, "as it lies in memory"
//! (`u32::from_ne_bytes(ip.octets())`, `port.to_be()`); everything else is host order.
#![no_std]
#![forbid(clippy::indexing_slicing)]

pub mod addr;
pub mod checksum;
pub mod counter;
pub mod endpoint;
pub mod flow;
pub mod frontend;
pub mod hash;
pub mod host;
pub mod names;
pub mod plain;
pub mod route;
pub mod socket;
pub mod tunnel;

/// The version of everything in this crate. Raised when a layout, a number or a meaning changes;
/// pinned maps of another version are migrated or refused, never reinterpreted.
pub const ABI_VERSION: u32 = 2;
/// The oldest version whose maps are taken over as they are. 2 added what 1 never wrote:
/// [`frontend::FRONTEND_BY_PORT`] and the entries it announces.
pub const ABI_OLDEST: u32 = 1;
