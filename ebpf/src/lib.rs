//! The packet pipeline: pure over [`hook::Hook`] (packet access) and [`tables::Tables`] (look-ups).
//! Builds for BPF and, unchanged, for the host, where tests, fuzzing and simulation run it.
//!
//! Reading order: [`hook`], [`packet`], [`width`], [`parse`], [`tables`], [`verdict`], then
//! [`pipeline`], `uplink` and `published` (all branching) with their leaves [`arp`], [`route`], [`tunnel`], [`lb`], [`conntrack`],
//! [`nat`], [`vip`]; and [`socket`], the decision of the socket hooks. [`host`] is the model
//! of all this on the host. The kernel half (maps, entry points) belongs to the binary.
//!
//! Rules the verifier and LLVM taught, each paid for (`shared/prototypes/pipeline/NOTES.md`):
//! 1. Headers have alignment 1 and are read through accessors; they never travel by value.
//! 2. `#[inline(always)]` on every function here. An out-of-line seam takes `&mut hook` and returns a scalar.
//! 3. No slices of the packet, no panics, no `dyn`; checked or wrapping arithmetic on what a packet says.
//! 4. Enums used as errors are `repr(u32)`.
//! 5. One map per address width.
//! 6. After anything that takes `&mut hook`, views are taken anew; the borrow checker insists.
#![no_std]
#[cfg(not(target_arch = "bpf"))]
extern crate std;

pub mod arp;
pub mod conntrack;
pub mod hook;
pub mod lb;
pub mod nat;
pub mod packet;
pub mod parse;
pub mod pipeline;
pub(crate) mod published;
pub mod route;
pub mod socket;
pub mod tables;
pub mod tunnel;
pub(crate) mod uplink;
pub mod verdict;
pub mod vip;
pub mod width;

#[cfg(not(target_arch = "bpf"))]
pub mod host;
