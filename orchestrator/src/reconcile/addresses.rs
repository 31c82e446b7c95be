//! Endpoint ids and overlay addresses for containers that were given a host.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnetwork::Ipv4Network;
use remuda_api::spec::NetworkMode;

use crate::alloc;
use crate::state::State;

/// Endpoint ids and addresses that are taken.
pub(super) struct Used {
    endpoint_ids: BTreeSet<u32>,
    addresses: BTreeSet<Ipv4Addr>,
}

impl Used {
    pub(super) fn of(state: &State) -> Used {
        let hosts = state.nodes.values().map(|node| node.host_endpoint_id);
        let leftovers = || state.nodes.values().flat_map(|node| &node.leftovers);
        let ids = state.containers.values().map(|c| c.endpoint_id).chain(leftovers().map(|l| l.endpoint_id));
        let addresses = state.containers.values().flat_map(|c| c.ip.into_iter().chain(c.heir_of));
        Used {
            endpoint_ids: ids.chain(hosts).collect(),
            addresses: addresses.chain(leftovers().filter_map(|l| l.ip)).collect(),
        }
    }

    /// An endpoint id and, where the mode has one, an overlay address of the host; takes another block if needed. `kept` = this one, wherever
    /// it came from.
    pub(super) fn address(
        &mut self,
        state: &mut State,
        node_id: u32,
        mode: NetworkMode,
        kept: Option<Ipv4Addr>,
    ) -> Result<(u32, Option<Ipv4Addr>), String> {
        if mode == NetworkMode::None {
            return Ok((0, None));
        }
        let ip = match mode {
            NetworkMode::Managed if kept.is_some() => kept,
            NetworkMode::Managed => Some(self.overlay_address(state, node_id)?),
            _ => None,
        };
        let cursors = &mut Arc::make_mut(&mut state.fleet).cursors;
        let taken = &self.endpoint_ids;
        let id = alloc::next_id(&mut cursors.endpoint_id, alloc::ENDPOINT_ID_MAX, |id| taken.contains(&id))
            .ok_or_else(|| format!("endpoint ids: all {} are in use", alloc::ENDPOINT_ID_MAX))?;
        self.endpoint_ids.insert(id);
        self.addresses.extend(ip);
        Ok((id, ip))
    }

    fn overlay_address(&self, state: &mut State, node_id: u32) -> Result<Ipv4Addr, String> {
        let taken = taken_blocks(state);
        let State { nodes, fleet, .. } = state;
        let node = Arc::make_mut(nodes.get_mut(&node_id).ok_or("its host is gone")?);
        let is_used = |ip| self.addresses.contains(&ip);
        if let Some(ip) = alloc::next_address(&node.blocks, &mut node.address_cursor, is_used) {
            return Ok(ip);
        }
        let fleet = Arc::make_mut(fleet);
        let block = alloc::next_block(&fleet.overlay_pools, &mut fleet.cursors.block, &taken).ok_or_else(|| {
            format!("addresses: every block of the overlay pools is in use, {} needs one more", node.name)
        })?;
        node.blocks.push(block);
        alloc::next_address(&node.blocks, &mut node.address_cursor, is_used)
            .ok_or_else(|| "addresses: none left".into())
    }
}

/// Blocks of hosts, and those of addresses that moved away from the host whose block it was: nobody gets these while such
/// an address lives.
pub(crate) fn taken_blocks(state: &State) -> BTreeSet<Ipv4Network> {
    let of_hosts = state.nodes.values().flat_map(|node| node.blocks.iter().copied());
    let kept = state.containers.values().flat_map(|c| c.ip.into_iter().chain(c.heir_of)).filter_map(alloc::block_of);
    of_hosts.chain(kept).collect()
}
