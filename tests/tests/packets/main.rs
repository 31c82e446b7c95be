//! Packets through the loaded programs (BPF_PROG_TEST_RUN) and, each one, through the library on the
//! host as well: verdict, every byte and every counter must agree. Needs root and a built object
//! (`cargo xtask build-ebpf`, or `REMUDA_EBPF_OBJECT`).
//!
//! Each test thread makes a network namespace of its own that ends with the thread; maps are not pinned.

mod arp;
mod chance;
mod datapath;
mod differential;
mod frame;
mod load;
mod overlay;
mod published;
mod socket;
mod spoof;
mod tunnel;
mod uplink;
mod vip;
mod world;
