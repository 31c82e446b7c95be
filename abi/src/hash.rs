//! The flow hash: outer source ports, list members and ring slots come from it.

/// Mixes a flow into 32 bits. Addresses and ports as they lie in memory; for v6 addresses pass each
/// folded to a word. The same everywhere in the fleet for one seed.
#[inline(always)]
pub const fn flow_hash(seed: u32, src_be: u32, dst_be: u32, ports_be: u32) -> u32 {
    let mut h = ((src_be ^ seed) as u64).wrapping_mul(0x85eb_ca6b);
    h ^= h >> 29;
    h = h.wrapping_add(dst_be as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    h ^= h >> 32;
    h = h.wrapping_add(ports_be as u64).wrapping_mul(0x1656_67b1_9e37_79f9);
    (h >> 32) as u32
}

/// Mixes a socket cookie and an address: one unconnected socket stays on one backend per frontend.
#[inline(always)]
pub const fn socket_hash(socket_cookie: u64, dst_be: u32) -> u32 {
    let h = socket_cookie ^ dst_be as u64 ^ 0x9e37_79b9_7f4a_7c15;
    (h.wrapping_mul(0xc2b2_ae3d_27d4_eb4f) >> 32) as u32
}
