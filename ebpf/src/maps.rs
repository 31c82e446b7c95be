//! The maps, and the pipeline's questions answered from them. Layouts: crate `remuda-abi`.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, SkStorage, lpm_trie::Key},
    helpers::generated::bpf_ktime_get_boot_ns,
    macros::btf_map,
};
use remuda_abi::{
    counter::{COUNTERS as COUNTERS_LEN, Counter, DropReason},
    endpoint::{Endpoint, Local, LocalKey},
    flow::{Conntrack, FlowKey, Original, VIP_USERS, VipFlow, tick},
    frontend::{
        BACKEND_ID_MAX, Backend, Frontend, FrontendKey, OwnerKey, PUBLISHED_WORDS, RingSlot, published_bit,
        published_word,
    },
    host::Host,
    route::{Node, Route, RouteKey},
    socket::{Dialled, Peer, RevKey, SEEN_SLOTS, Seen, SocketEndpoint},
};
use remuda_ebpf::{tables::*, width::V4};

/// Allocate entries when they are written: many agents may share one kernel.
const LAZY: usize = BPF_F_NO_PREALLOC as usize;

/// 0 -> this host. Written by the agent, live.
#[btf_map]
static HOST: Array<Host, 1> = Array::new();
/// ifindex -> who may enter there. Written by the agent; full: the endpoint is refused by the agent.
#[btf_map]
static ENDPOINTS: HashMap<u32, Endpoint, 4096, LAZY> = HashMap::new();
/// Address -> how to deliver on this host. Written by the agent.
#[btf_map]
static LOCAL4: HashMap<LocalKey, Local, 4096, LAZY> = HashMap::new();
/// Endpoint id -> its address; local endpoints only. Written by the agent.
#[btf_map]
static LOCAL_IDS: HashMap<u32, LocalKey, 4096, LAZY> = HashMap::new();
/// Prefix -> what it is. Written by the agent. 1,024 blocks per pool, host addresses, a few pools.
#[btf_map]
static ROUTES4: LpmTrie<RouteKey, Route, 32768> = LpmTrie::new();
/// Underlay address -> peer. Written by the agent.
#[btf_map]
static NODES: HashMap<u32, Node, 16384, LAZY> = HashMap::new();
/// Node id -> underlay address. Written by the agent.
#[btf_map]
static NODE_ADDRESSES: HashMap<u32, u32, 16384, LAZY> = HashMap::new();
/// Counter or drop reason -> count, per CPU. Written by the programs, read by the agent.
#[btf_map]
static COUNTERS: PerCpuArray<u64, { COUNTERS_LEN as usize }> = PerCpuArray::new();

/// Frontend address -> who serves it. Written by the agent, last when adding, first when removing.
#[btf_map]
static FRONTENDS4: HashMap<FrontendKey, Frontend, 65536, LAZY> = HashMap::new();
/// One bit per published port, TCP then UDP. Written by the agent.
#[btf_map]
static PUBLISHED: Array<u64, { PUBLISHED_WORDS as usize }> = Array::new();
/// Backend id -> backend. Written by the agent.
#[btf_map]
static BACKENDS: Array<Backend, { BACKEND_ID_MAX as usize + 1 }> = Array::new();
/// Lists of backend ids, back to back. Written by the agent; the loader may set another size.
#[btf_map]
static LISTS: Array<u32, 131072> = Array::new();
/// Rings, back to back; memory-mapped by the agent. The loader may set another size: 256 smallest rings (8 MiB).
#[btf_map]
static RINGS: Array<RingSlot, 1047808, { BPF_F_MMAPABLE as usize }> = Array::new();
/// (Frontend, node) -> 1 if that node owns a backend of it. Written by the agent.
#[btf_map]
static OWNERS: HashMap<OwnerKey, u32, 65536, LAZY> = HashMap::new();
/// Reply tuple at the backend -> flow. Written by the programs; full: the least recently used goes.
#[btf_map]
static CONNTRACK4: LruHashMap<FlowKey, Conntrack, 65536> = LruHashMap::new();
/// Client's tuple -> backend of this host. Written by the programs with CONNTRACK4; full: the least recently used goes.
#[btf_map]
static ORIGINALS4: LruHashMap<FlowKey, Original, 65536> = LruHashMap::new();
/// Tuple -> per-packet VIP translation. Written by the programs; full: the least recently used goes.
#[btf_map]
static VIPFLOWS4: LruHashMap<FlowKey, VipFlow, 16384> = LruHashMap::new();
/// Endpoint id modulo the size -> 1 if it has had per-packet VIP flows. Written by the programs.
#[btf_map]
static VIPUSERS: Array<u32, { VIP_USERS as usize }> = Array::new();
/// Network namespace cookie -> its endpoint. Written by the agent.
#[btf_map]
pub static NETNS: HashMap<u64, SocketEndpoint, 4096, LAZY> = HashMap::new();
/// Socket cookie modulo the size -> its last connect. Written by the programs; newer connects overwrite.
#[btf_map]
pub static SEEN: Array<Seen, { SEEN_SLOTS as usize }> = Array::new();
/// UDP socket -> its first frontend. Written by the programs, freed with the socket.
#[btf_map]
pub static PEER: SkStorage<Peer> = SkStorage::new();
/// (UDP socket, backend) -> frontend, for sockets with several. Written by the programs.
#[btf_map]
pub static REV: LruHashMap<RevKey, Dialled, 16384> = LruHashMap::new();

/// The answers.
pub struct Maps;

impl Addresses<V4> for Maps {
    #[inline(always)]
    fn local(&self, vni: u32, ip_be: u32) -> Option<Local> {
        // SAFETY: copied at once; entries are written whole, under RCU.
        unsafe { LOCAL4.get(LocalKey { vni, ip_be }) }.copied()
    }
    #[inline(always)]
    fn route(&self, vni: u32, ip_be: u32) -> Option<Route> {
        ROUTES4.get(&Key::new(64, RouteKey { vni, ip_be })).copied()
    }
    #[inline(always)]
    fn frontend(&self, key: &FrontendKey) -> Option<Frontend> {
        // SAFETY: copied at once.
        unsafe { FRONTENDS4.get(key) }.copied()
    }
    #[inline(always)]
    fn conntrack(&self, key: &FlowKey) -> Option<Conntrack> {
        // SAFETY: copied at once.
        unsafe { CONNTRACK4.get(key) }.copied()
    }
    #[inline(always)]
    fn set_conntrack(&self, key: &FlowKey, entry: &Conntrack) -> bool {
        CONNTRACK4.insert(key, entry, 0).is_ok()
    }
    #[inline(always)]
    fn original(&self, key: &FlowKey) -> Option<Original> {
        // SAFETY: copied at once.
        unsafe { ORIGINALS4.get(key) }.copied()
    }
    #[inline(always)]
    fn set_original(&self, key: &FlowKey, entry: &Original) -> bool {
        ORIGINALS4.insert(key, entry, 0).is_ok()
    }
    #[inline(always)]
    fn vip_flow(&self, key: &FlowKey) -> Option<VipFlow> {
        // SAFETY: copied at once.
        unsafe { VIPFLOWS4.get(key) }.copied()
    }
    #[inline(always)]
    fn set_vip_flow(&self, key: &FlowKey, entry: &VipFlow) -> bool {
        VIPFLOWS4.insert(key, entry, 0).is_ok()
    }
}
impl Tables for Maps {
    #[inline(always)]
    fn host(&self) -> Option<&Host> {
        HOST.get(0).filter(|h| h.abi_version != 0)
    }
    #[inline(always)]
    fn endpoint(&self, ifindex: u32) -> Option<Endpoint> {
        // SAFETY: copied at once.
        unsafe { ENDPOINTS.get(ifindex) }.copied()
    }
    #[inline(always)]
    fn node(&self, node_underlay_ip_be: u32) -> Option<Node> {
        // SAFETY: copied at once.
        unsafe { NODES.get(node_underlay_ip_be) }.copied()
    }
    #[inline(always)]
    fn node_address(&self, node_id: u16) -> Option<u32> {
        // SAFETY: copied at once.
        unsafe { NODE_ADDRESSES.get(u32::from(node_id)) }.copied()
    }
    #[inline(always)]
    fn local_id(&self, endpoint_id: u32) -> Option<LocalKey> {
        // SAFETY: copied at once.
        unsafe { LOCAL_IDS.get(endpoint_id) }.copied()
    }
    #[inline(always)]
    fn is_published(&self, proto: u8, port: u16) -> bool {
        let word = published_word(proto, port).and_then(|i| PUBLISHED.get(i));
        word.is_some_and(|w| w & published_bit(port) != 0)
    }
    #[inline(always)]
    fn backend(&self, backend_id: u32) -> Option<Backend> {
        BACKENDS.get(backend_id).copied()
    }
    #[inline(always)]
    fn list_member(&self, position: u32) -> Option<u32> {
        LISTS.get(position).copied()
    }
    #[inline(always)]
    fn ring_slot(&self, position: u32) -> Option<RingSlot> {
        RINGS.get(position).copied()
    }
    #[inline(always)]
    fn is_owner(&self, key: &OwnerKey) -> bool {
        // SAFETY: only asked whether it is there.
        unsafe { OWNERS.get(key) }.is_some()
    }
    #[inline(always)]
    fn has_vip_flows(&self, endpoint_id: u32) -> bool {
        VIPUSERS.get(endpoint_id & (VIP_USERS - 1)).is_some_and(|v| *v != 0)
    }
    #[inline(always)]
    fn set_has_vip_flows(&self, endpoint_id: u32) {
        if let Some(v) = VIPUSERS.get_ptr_mut(endpoint_id & (VIP_USERS - 1)) {
            // SAFETY: one aligned word; every writer writes 1.
            unsafe { *v = 1 }
        }
    }
    #[inline(always)]
    fn tick(&self) -> u32 {
        // SAFETY: no arguments.
        tick(unsafe { bpf_ktime_get_boot_ns() })
    }
    #[inline(always)]
    fn count(&self, counter: Counter) {
        add(counter.index());
    }
    #[inline(always)]
    fn count_drop(&self, reason: DropReason) {
        add(reason.index());
    }
}

/// For the socket hooks, which have no packet.
#[inline(always)]
pub fn count(counter: Counter) {
    add(counter.index());
}

#[inline(always)]
fn add(index: u32) {
    if let Some(c) = COUNTERS.get_ptr_mut(index) {
        // SAFETY: this CPU's cell; programs do not nest on one CPU.
        unsafe { *c += 1 }
    }
}
