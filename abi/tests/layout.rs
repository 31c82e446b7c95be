//! What both sides rely on and no type can say.
use remuda_abi::{addr::*, checksum, counter::*, frontend::*, names, route::*, tunnel::*};
use remuda_ring::SIZES;
use std::collections::HashSet;

#[test]
fn counters_and_drop_reasons_share_one_map_without_meeting() {
    let mut seen = HashSet::new();
    for c in Counter::ALL {
        assert!(c.index() > 0 && c.index() < DROP_BASE && seen.insert(c.index()), "{c:?}");
    }
    for r in DropReason::ALL {
        assert!(r.index() > DROP_BASE && r.index() < COUNTERS && seen.insert(r.index()), "{r:?}");
    }
}

#[test]
fn metric_names_are_unique_lower_case_words() {
    let mut seen = HashSet::new();
    for n in Counter::ALL.iter().map(|c| c.name()).chain(DropReason::ALL.iter().map(|r| r.name())) {
        assert!(n.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit()) && seen.insert(n), "{n}");
    }
}

#[test]
fn map_names_fit_the_kernels_fifteen_characters() {
    assert!(names::map::ALL.iter().all(|n| n.len() <= 15));
    assert_eq!(names::map::ALL.iter().collect::<HashSet<_>>().len(), names::map::ALL.len());
}

#[test]
fn a_mac_survives_its_integers() {
    let m = Mac::new([2, 0x72, 10, 42, 0, 7]);
    assert_eq!(m, endpoint_mac(ip_be([10, 42, 0, 7])));
    assert_eq!(m.bytes(), [2, 0x72, 10, 42, 0, 7]);
}

#[test]
fn a_label_survives_the_wire() {
    for kind in [Kind::Overlay, Kind::Ingress, Kind::Reply] {
        for id in [0, 1, 0x12_3456, 0xff_ffff] {
            let label = Label { is_final: id == 1, hops: 3, ..Label::new(kind, id) };
            assert_eq!(Label::read(label.mac()), Some(label));
            assert_eq!(label.mac().bytes()[..2], [2, 0x10 | kind as u8]);
        }
    }
    assert_eq!(Label::read(Mac::new([4, 0x10, 0, 0, 0, 0])), None);
    assert_eq!(previous_nodes(previous_mac([1, 0x7fff, 300])), [1, 0x7fff, 300]);
}

#[test]
fn a_ring_slot_holds_its_largest_values() {
    let s = RingSlot::new(BACKEND_ID_MAX, [NODE_ID_MAX, 1, NODE_ID_MAX]);
    assert_eq!((s.backend_id(), s.previous_node_ids()), (BACKEND_ID_MAX, [NODE_ID_MAX, 1, NODE_ID_MAX]));
    assert_eq!(RingSlot::default().backend_id(), 0);
}

#[test]
fn raising_a_ring_keeps_every_owner_in_place() {
    for hash in (0..u32::MAX).step_by(9_973) {
        assert_eq!(ring_slot(hash, SIZES[1]) / 4, ring_slot(hash, SIZES[0]));
        assert_eq!(ring_slot(hash, SIZES[2]) / 16, ring_slot(hash, SIZES[0]));
    }
}

#[test]
fn a_header_checksum_is_right_and_stays_right_when_updated() {
    // RFC 1071's way, byte by byte, as the reference.
    let header: [u8; 20] = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 192, 168, 0, 1, 192, 168, 0, 199];
    let word = |i: usize| u32::from_ne_bytes(header[4 * i..4 * i + 4].try_into().unwrap());
    let check = checksum::ipv4_header([word(0), word(1), word(2), word(3), word(4)]);
    assert_eq!(u16::from_be(check), 0xb861);
    let new = ip_be([10, 42, 0, 1]);
    let full = checksum::ipv4_header([word(0), word(1), word(2), new, word(4)]);
    assert_eq!(checksum::update(check, word(3), new), full);
}

#[test]
fn published_ports_have_one_bit_each() {
    let mut seen = HashSet::new();
    for proto in [PROTO_TCP, PROTO_UDP] {
        for port in 0..=u16::MAX {
            let word = published_word(proto, port).unwrap();
            assert!(word < PUBLISHED_WORDS && seen.insert((word, published_bit(port))));
        }
    }
    assert_eq!(published_word(PROTO_ICMP, 80), None);
}
