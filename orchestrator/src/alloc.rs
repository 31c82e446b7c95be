//! Numbers and addresses that are unique in the fleet; 0 and "none" are never handed out.
//!
//! Every allocation starts looking behind the last one of its kind (a cursor kept in the state), so that what was
//! released is not used again at once: stale caches and late packets then find nobody instead of somebody else.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;

/// Node ids fit the three previous owners of a ring slot, 15 bits each (`abi/src/frontend.rs`).
pub const NODE_ID_MAX: u32 = (1 << 15) - 1;
/// Endpoint ids are backend ids, and the kernel map of those has so many (`abi/src/frontend.rs`); the wire has room
/// for 24 bits.
pub const ENDPOINT_ID_MAX: u32 = (1 << 17) - 1;
/// Services and published ports share one space: a VIP's frontend has its service's id. Agents use the upper half
/// for ports of mode `host`.
pub const FRONTEND_ID_MAX: u32 = (1 << 31) - 1;
/// 64 addresses: a /16 pool holds 1,024 blocks.
pub const BLOCK_PREFIX: u8 = 26;
/// Never given to containers: the block's own address, its last one, and of a host's first block the second
/// position, the host endpoint's ([`host_address`]).
const BLOCK_EDGES: [u32; 2] = [0, (1 << (32 - BLOCK_PREFIX)) - 1];

/// The next free id in 1..=max behind `cursor`, which moves there. None = all are taken.
pub fn next_id(cursor: &mut u32, max: u32, is_used: impl Fn(u32) -> bool) -> Option<u32> {
    let start = (*cursor).min(max);
    let found = (start.saturating_add(1)..=max).chain(1..=start).find(|id| *id != 0 && !is_used(*id))?;
    *cursor = found;
    Some(found)
}

/// The next free block of the pools behind `cursor` (a position among all their blocks).
pub fn next_block(pools: &[Ipv4Network], cursor: &mut u32, used: &BTreeSet<Ipv4Network>) -> Option<Ipv4Network> {
    let total: u32 = pools.iter().map(blocks_in).sum();
    let position = (0..total)
        .map(|step| (*cursor + step) % total)
        .find(|at| block_at(pools, *at).is_some_and(|block| !used.contains(&block)))?;
    *cursor = (position + 1) % total;
    block_at(pools, position)
}

fn blocks_in(pool: &Ipv4Network) -> u32 {
    1 << BLOCK_PREFIX.saturating_sub(pool.prefix())
}

fn block_at(pools: &[Ipv4Network], mut position: u32) -> Option<Ipv4Network> {
    for pool in pools {
        let here = blocks_in(pool);
        if position < here {
            let first = u32::from(pool.network()) + (position << (32 - BLOCK_PREFIX));
            return Ipv4Network::new(first.into(), BLOCK_PREFIX).ok();
        }
        position -= here;
    }
    None
}

/// The address of a host's own endpoint: the first usable one of its first block.
pub fn host_address(first_block: Ipv4Network) -> Ipv4Addr {
    (u32::from(first_block.network()) + 1).into()
}

/// The block an address is in.
pub fn block_of(ip: Ipv4Addr) -> Option<Ipv4Network> {
    let first = u32::from(ip) >> (32 - BLOCK_PREFIX) << (32 - BLOCK_PREFIX);
    Ipv4Network::new(first.into(), BLOCK_PREFIX).ok()
}

/// The next free address in a host's blocks behind `cursor`. None = the host needs another block.
pub fn next_address(blocks: &[Ipv4Network], cursor: &mut u32, is_used: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
    let size = 1u32 << (32 - BLOCK_PREFIX);
    let total = blocks.len() as u32 * size;
    let address = |at: u32| Ipv4Addr::from(u32::from(blocks[(at / size) as usize].network()) + at % size);
    let usable = |at: &u32| !BLOCK_EDGES.contains(&(at % size)) && *at != 1 && !is_used(address(*at));
    let found = (0..total).map(|step| (*cursor + step) % total).find(usable)?;
    *cursor = (found + 1) % total;
    Some(address(found))
}

/// The next free VIP of the pools; a pool's first and last address stay unused.
pub fn next_vip(pools: &[Ipv4Network], cursor: &mut u32, used: &BTreeSet<Ipv4Addr>) -> Option<Ipv4Addr> {
    let total: u32 = pools.iter().map(usable_in).sum();
    let at = (0..total)
        .map(|step| (*cursor + step) % total)
        .find(|at| vip_at(pools, *at).is_some_and(|vip| !used.contains(&vip)))?;
    *cursor = (at + 1) % total;
    vip_at(pools, at)
}

fn usable_in(pool: &Ipv4Network) -> u32 {
    pool.size().saturating_sub(2)
}

fn vip_at(pools: &[Ipv4Network], mut position: u32) -> Option<Ipv4Addr> {
    for pool in pools {
        if position < usable_in(pool) {
            return Some((u32::from(pool.network()) + 1 + position).into());
        }
        position -= usable_in(pool);
    }
    None
}

/// Pairs of a pool and a route of a host that overlap: packets for the pool would go astray there. Default routes
/// overlap everything and mean nothing.
pub fn overlaps(pools: &[Ipv4Network], routes: &[Ipv4Network]) -> Vec<(Ipv4Network, Ipv4Network)> {
    let real = routes.iter().filter(|route| route.prefix() > 0);
    real.flat_map(|route| pools.iter().filter(|pool| pool.overlaps(*route)).map(|pool| (*pool, *route))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> Ipv4Network {
        text.parse().expect("a network")
    }

    #[test]
    fn a_released_id_is_not_reused_at_once() {
        let mut cursor = 0;
        let used = BTreeSet::from([2]);
        assert_eq!(next_id(&mut cursor, 4, |id| used.contains(&id)), Some(1));
        assert_eq!(next_id(&mut cursor, 4, |id| used.contains(&id)), Some(3));
        assert_eq!(next_id(&mut cursor, 4, |id| used.contains(&id)), Some(4));
        assert_eq!(next_id(&mut cursor, 4, |id| used.contains(&id)), Some(1), "it wraps, past 0");
        assert_eq!(next_id(&mut cursor, 4, |_| true), None);
    }

    #[test]
    fn blocks_come_in_order_and_from_the_second_pool_when_the_first_is_full() {
        let pools = [net("10.42.0.0/25"), net("10.50.0.0/26")];
        let (mut cursor, mut used) = (0, BTreeSet::new());
        for expected in ["10.42.0.0/26", "10.42.0.64/26", "10.50.0.0/26"] {
            let block = next_block(&pools, &mut cursor, &used).expect("room");
            assert_eq!(block, net(expected));
            used.insert(block);
        }
        assert_eq!(next_block(&pools, &mut cursor, &used), None);
    }

    #[test]
    fn a_host_gets_61_addresses_from_its_first_block_and_62_from_the_next() {
        let blocks = [net("10.42.0.0/26"), net("10.42.1.0/26")];
        let (mut cursor, mut used) = (0, BTreeSet::new());
        while let Some(ip) = next_address(&blocks, &mut cursor, |ip| used.contains(&ip)) {
            assert!(used.insert(ip));
        }
        assert_eq!(used.len(), 61 + 62);
        assert!(!used.contains(&host_address(blocks[0])));
    }

    #[test]
    fn a_pool_inside_or_around_a_route_overlaps_and_the_default_route_does_not() {
        let pools = [net("10.42.0.0/16")];
        assert_eq!(overlaps(&pools, &[net("0.0.0.0/0"), net("192.168.0.0/16")]), []);
        assert_eq!(overlaps(&pools, &[net("10.0.0.0/8"), net("10.42.7.0/24")]).len(), 2);
    }

    proptest! {
        /// Any order of taking and releasing: what is held is unique, in range, and all of it can be held.
        #[test]
        fn held_numbers_stay_unique(steps in proptest::collection::vec(any::<(bool, usize)>(), 1..300)) {
            let blocks = [net("10.42.0.0/26")];
            let (mut id_cursor, mut ip_cursor) = (0, 0);
            let (mut ids, mut ips): (Vec<u32>, Vec<Ipv4Addr>) = (vec![], vec![]);
            for (take, which) in steps {
                if take {
                    let id = next_id(&mut id_cursor, 50, |id| ids.contains(&id));
                    prop_assert_eq!(id.is_none(), ids.len() == 50, "refused only when all are taken");
                    if let Some(id) = id {
                        prop_assert!((1..=50).contains(&id) && !ids.contains(&id));
                        ids.push(id);
                    }
                    let ip = next_address(&blocks, &mut ip_cursor, |ip| ips.contains(&ip));
                    prop_assert_eq!(ip.is_none(), ips.len() == 61);
                    if let Some(ip) = ip {
                        prop_assert!(blocks[0].contains(ip) && !ips.contains(&ip));
                        ips.push(ip);
                    }
                } else if !ids.is_empty() {
                    ids.remove(which % ids.len());
                    if !ips.is_empty() { ips.remove(which % ips.len()); }
                }
            }
        }
    }
}
