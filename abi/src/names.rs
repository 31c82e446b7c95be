//! Names of maps and programs, and where they are pinned. User space takes every name from here.

/// Pins live under `PIN_ROOT/<node id>/{maps,progs,links}`.
pub const PIN_ROOT: &str = "/sys/fs/bpf/remuda";
pub const PIN_MAPS: &str = "maps";
pub const PIN_PROGS: &str = "progs";
pub const PIN_LINKS: &str = "links";

/// Maps. The layout of each is stated beside its value type in this crate.
pub mod map {
    /// Array of 1: [`crate::host::Host`].
    pub const HOST: &str = "HOST";
    /// Hash: ifindex (u32) -> [`crate::endpoint::Endpoint`].
    pub const ENDPOINTS: &str = "ENDPOINTS";
    /// Hash: [`crate::endpoint::LocalKey`] -> [`crate::endpoint::Local`].
    pub const LOCAL4: &str = "LOCAL4";
    /// Hash: endpoint id (u32) -> [`crate::endpoint::LocalKey`]; local endpoints only.
    pub const LOCAL_IDS: &str = "LOCAL_IDS";
    /// LPM trie: prefix_len, [`crate::route::RouteKey`] -> [`crate::route::Route`].
    pub const ROUTES4: &str = "ROUTES4";
    /// Hash: node_underlay_ip_be (u32) -> [`crate::route::Node`].
    pub const NODES: &str = "NODES";
    /// Hash: node id (u32) -> node_underlay_ip_be (u32).
    pub const NODE_ADDRESSES: &str = "NODE_ADDRESSES";
    /// Per-CPU array: [`crate::counter`] index -> u64.
    pub const COUNTERS: &str = "COUNTERS";
    /// Hash: [`crate::frontend::FrontendKey`] -> [`crate::frontend::Frontend`].
    pub const FRONTENDS4: &str = "FRONTENDS4";
    /// Array: [`crate::frontend::published_word`] -> u64, one bit per port.
    pub const PUBLISHED: &str = "PUBLISHED";
    /// Array: backend id -> [`crate::frontend::Backend`].
    pub const BACKENDS: &str = "BACKENDS";
    /// Array: position -> backend id (u32).
    pub const LISTS: &str = "LISTS";
    /// Array, memory-mappable: position -> [`crate::frontend::RingSlot`] (u64).
    pub const RINGS: &str = "RINGS";
    /// Hash: [`crate::frontend::OwnerKey`] -> u32 (1).
    pub const OWNERS: &str = "OWNERS";
    /// LRU hash: [`crate::flow::FlowKey`] -> [`crate::flow::Conntrack`].
    pub const CONNTRACK4: &str = "CONNTRACK4";
    /// LRU hash: [`crate::flow::FlowKey`] -> [`crate::flow::Original`].
    pub const ORIGINALS4: &str = "ORIGINALS4";
    /// LRU hash: [`crate::flow::FlowKey`] -> [`crate::flow::VipFlow`].
    pub const VIPFLOWS4: &str = "VIPFLOWS4";
    /// Array of [`crate::flow::VIP_USERS`]: endpoint id modulo that -> u32, 1 = has had VIPFLOWS4 entries.
    pub const VIPUSERS: &str = "VIPUSERS";
    /// Hash: network namespace cookie (u64) -> [`crate::socket::SocketEndpoint`].
    pub const NETNS: &str = "NETNS";
    /// Array of [`crate::socket::SEEN_SLOTS`]: [`crate::socket::Seen`], direct mapped by socket cookie.
    pub const SEEN: &str = "SEEN";
    /// Socket storage: [`crate::socket::Peer`].
    pub const PEER: &str = "PEER";
    /// LRU hash: [`crate::socket::RevKey`] -> [`crate::socket::Dialled`].
    pub const REV: &str = "REV";

    /// Every map of the object. All are pinned by name under [`super::PIN_MAPS`].
    pub const ALL: [&str; 22] = [
        HOST,
        ENDPOINTS,
        LOCAL4,
        LOCAL_IDS,
        ROUTES4,
        NODES,
        NODE_ADDRESSES,
        COUNTERS,
        FRONTENDS4,
        PUBLISHED,
        BACKENDS,
        LISTS,
        RINGS,
        OWNERS,
        CONNTRACK4,
        ORIGINALS4,
        VIPFLOWS4,
        VIPUSERS,
        NETNS,
        SEEN,
        PEER,
        REV,
    ];
}

/// Programs.
pub mod program {
    /// tc, ingress of every endpoint's host-side veth, and of `remuda0`'s peer.
    pub const ENDPOINT: &str = "endpoint";
    /// tc, ingress of every uplink.
    pub const UPLINK_INGRESS: &str = "uplink_ingress";
    /// tc, egress of every uplink.
    pub const UPLINK_EGRESS: &str = "uplink_egress";
    /// cgroup sock_addr programs, each named as its attach type, at the cgroup v2 root.
    pub const SOCKET: [&str; 8] =
        ["connect4", "connect6", "sendmsg4", "sendmsg6", "recvmsg4", "recvmsg6", "getpeername4", "getpeername6"];
}
