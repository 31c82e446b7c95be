//! Memory stays bounded whatever the file: a counting allocator watches the peak.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use remuda_compose::FILE_MAX_BYTES;

/// The file is 0.5 MiB; its tree may weigh 16 MiB, and the scanner's queue and its doubling come on top.
const PEAK_MAX_BYTES: usize = 50 << 20;

struct Counting;

static HELD_BYTES: AtomicUsize = AtomicUsize::new(0);
static PEAK_BYTES: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system allocator unchanged; counting touches no memory of the caller.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD_BYTES.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK_BYTES.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller's promises about `layout` are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises about `pointer` and `layout` are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_file_makes_the_loader_hold_more_than_its_bound() {
    for (name, unit) in [
        ("flow list", "a,"),
        ("nothing in a flow list", ",\n"),
        ("flow maps", "{},"),
        ("flow pairs", "a: b,"),
        ("flow keys", "? a,"),
        ("text", "x"),
        ("brackets", "["),
    ] {
        // Without a key in front the scanner must read to the end of the list before it can hand over its beginning.
        for head in ["x-a: [", "["] {
            assert_bounded(name, &(head.to_owned() + &unit.repeat((FILE_MAX_BYTES - head.len()) / unit.len())));
            let marks = unit.matches([',', ':', '?', '[', '{']).count().max(1);
            let as_many_as_allowed = (65_000 / marks).min((FILE_MAX_BYTES - head.len()) / unit.len());
            assert_bounded(name, &(head.to_owned() + &unit.repeat(as_many_as_allowed)));
        }
    }
    for (head, unit) in [
        ("x-a:\n", "- \n"),
        ("x-a: &a {a: 1, b: 2}\nx-b:\n", "- {<<: [*a, *a]}\n"),
        ("services:\n  web:\n    image: x\n    command:\n", "    - y\n"),
        ("services:\n  web:\n    image: x\n    environment:\n", "    - y\n"),
    ] {
        assert_bounded(unit, &(head.to_owned() + &unit.repeat((FILE_MAX_BYTES - head.len()) / unit.len())));
    }
}

fn assert_bounded(name: &str, text: &str) {
    let before = HELD_BYTES.load(Ordering::Relaxed);
    PEAK_BYTES.store(before, Ordering::Relaxed);
    let result = common::try_load(text);
    let peak = PEAK_BYTES.load(Ordering::Relaxed) - before;
    println!("{name:?}: peak {} MiB, {}", peak >> 20, if result.is_ok() { "loaded" } else { "refused" });
    assert!(peak < PEAK_MAX_BYTES, "{name:?} made the loader hold {peak} bytes");
}
