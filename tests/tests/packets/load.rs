//! The object as a whole.

use crate::datapath::{Datapath, load_object};
use remuda_abi::names::map;

#[test]
fn every_map_of_the_abi_is_in_the_object_and_no_other() {
    let ebpf = load_object().unwrap();
    let mut have: Vec<_> = ebpf.maps().map(|(n, _)| n.to_string()).collect();
    let mut want: Vec<_> = map::ALL.iter().map(|n| n.to_string()).collect();
    have.sort();
    want.sort();
    assert_eq!(have, want);
}

/// The kernel's limit is 1,000,000; far below it, load time stays in milliseconds.
const VERIFIED_MAX: u32 = 50_000;

#[test]
fn the_verifier_needs_few_steps() {
    let mut d = Datapath::load();
    d.load_sockets();
    for (name, count) in d.verified_instructions() {
        println!("{name}: {count} verified instructions");
        assert!(count < VERIFIED_MAX, "{name}: {count}");
    }
}
