//! Who the peers of this host are, out of its assignment. Pure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use remuda_api::assignment::{Assignment, Node};

use super::seal::FleetKey;
use crate::desired::first_address;

/// Each host is probed by the three before it in the circle of node ids, however large the fleet is.
pub const WITNESSES: usize = 3;

/// This host's place among the hosts of its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    pub own: Place,
    pub peers: BTreeMap<u16, Peer>,
}

/// What a conversation with others rests on; when it changes, they begin anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub node_id: u16,
    pub underlay_ip: Ipv4Addr,
    /// None = no gossip in this fleet.
    pub key: Option<FleetKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub underlay_ip: Ipv4Addr,
    /// Overlay address of its host endpoint; None while it has no block.
    pub host_ip: Option<Ipv4Addr>,
}

impl Roster {
    /// None if this host is not in its own assignment, which the source does not let through.
    pub fn of(assignment: &Assignment) -> Option<Roster> {
        let mut peers: BTreeMap<u16, Peer> = assignment.nodes.iter().filter_map(peer).collect();
        let node_id = u16::try_from(assignment.node_id).ok()?;
        let underlay_ip = peers.remove(&node_id)?.underlay_ip;
        let key = assignment.fleet.as_ref().and_then(|fleet| FleetKey::parse(&fleet.gossip_key));
        Some(Roster { own: Place { node_id, underlay_ip, key }, peers })
    }

    /// The hosts whose host endpoint this one probes: the next ones in the circle of node ids.
    pub fn witnessed(&self) -> Vec<(u16, Ipv4Addr)> {
        let (before, behind) = (self.peers.range(..self.own.node_id), self.peers.range(self.own.node_id..));
        let circle = behind.chain(before).filter_map(|(id, peer)| Some((*id, peer.host_ip?)));
        circle.take(WITNESSES).collect()
    }
}

fn peer(node: &Node) -> Option<(u16, Peer)> {
    let underlay_ip = node.underlay_ip.parse().ok()?;
    let host_ip = node.blocks.first().and_then(|block| block.parse().ok()).map(|block| first_address(&block));
    Some((u16::try_from(node.id).ok()?, Peer { underlay_ip, host_ip }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::two_hosts;

    fn circle(node_id: u16, peers: &[u16]) -> Vec<u16> {
        let peer = |id: &u16| {
            let host_ip = (*id < 900).then(|| Ipv4Addr::new(10, 42, 0, *id as u8));
            (*id, Peer { underlay_ip: Ipv4Addr::LOCALHOST, host_ip })
        };
        let own = Place { node_id, underlay_ip: Ipv4Addr::LOCALHOST, key: None };
        let roster = Roster { own, peers: peers.iter().map(peer).collect() };
        roster.witnessed().into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn the_next_three_in_the_circle_are_probed() {
        assert_eq!(circle(3, &[1, 2, 4, 7, 9]), [4, 7, 9]);
        assert_eq!(circle(7, &[1, 2, 4, 9]), [9, 1, 2]);
        assert_eq!(circle(9, &[4]), [4]);
        assert_eq!(circle(9, &[]), [0; 0]);
    }

    #[test]
    fn a_host_without_a_block_cannot_be_probed() {
        assert_eq!(circle(3, &[900, 1]), [1]);
    }

    #[test]
    fn the_assignment_names_peers_and_their_host_endpoints() {
        let mut assignment = two_hosts();
        let roster = Roster::of(&assignment).expect("this host is in it");
        assert_eq!((roster.own.node_id, roster.own.key.is_some(), roster.peers.len()), (1, false, 1));
        assert_eq!(roster.peers[&2].host_ip, Some(Ipv4Addr::new(10, 42, 2, 1)));
        assignment.fleet.as_mut().expect("a fleet").gossip_key = "00".repeat(32);
        assert!(Roster::of(&assignment).expect("this host is in it").own.key.is_some());
        assignment.node_id = 9;
        assert!(Roster::of(&assignment).is_none());
    }
}
