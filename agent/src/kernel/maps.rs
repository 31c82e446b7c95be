//! Typed access to the pinned maps, and where they are pinned.

use std::path::{Path, PathBuf};

use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapInfo, MapType, PerCpuArray};
use aya::{Ebpf, Pod};
use remuda_abi::endpoint::{Endpoint, Local, LocalKey};
use remuda_abi::flow::{Conntrack, FlowKey, Original, VipFlow};
use remuda_abi::frontend::{Backend, Frontend, FrontendKey, OwnerKey};
use remuda_abi::host::Host;
use remuda_abi::names::{PIN_LINKS, PIN_MAPS, PIN_PROGS, PIN_ROOT, map};
use remuda_abi::plain::Plain;
use remuda_abi::route::{Node, Route, RouteKey};
use remuda_abi::socket::SocketEndpoint;

use super::error::{Attempt, KernelError};

/// Every map user space touches, opened by name.
pub(crate) struct Maps {
    pub(crate) host: Array<MapData, Raw<Host>>,
    pub(crate) endpoints: HashMap<MapData, u32, Raw<Endpoint>>,
    pub(crate) local4: HashMap<MapData, Raw<LocalKey>, Raw<Local>>,
    pub(crate) local_ids: HashMap<MapData, u32, Raw<LocalKey>>,
    pub(crate) routes4: LpmTrie<MapData, Raw<RouteKey>, Raw<Route>>,
    pub(crate) nodes: HashMap<MapData, u32, Raw<Node>>,
    pub(crate) node_addresses: HashMap<MapData, u32, u32>,
    pub(crate) counters: PerCpuArray<MapData, u64>,
    pub(crate) frontends4: HashMap<MapData, Raw<FrontendKey>, Raw<Frontend>>,
    pub(crate) published: Array<MapData, u64>,
    pub(crate) backends: Array<MapData, Raw<Backend>>,
    pub(crate) lists: Array<MapData, u32>,
    pub(crate) rings: Array<MapData, u64>,
    pub(crate) owners: HashMap<MapData, Raw<OwnerKey>, u32>,
    pub(crate) conntrack4: HashMap<MapData, Raw<FlowKey>, Raw<Conntrack>>,
    pub(crate) originals4: HashMap<MapData, Raw<FlowKey>, Raw<Original>>,
    pub(crate) vipflows4: HashMap<MapData, Raw<FlowKey>, Raw<VipFlow>>,
    pub(crate) netns: HashMap<MapData, u64, Raw<SocketEndpoint>>,
}

impl Maps {
    /// Takes the maps out of a loaded object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Maps, KernelError> {
        Ok(Maps {
            host: open(ebpf, map::HOST)?,
            endpoints: open(ebpf, map::ENDPOINTS)?,
            local4: open(ebpf, map::LOCAL4)?,
            local_ids: open(ebpf, map::LOCAL_IDS)?,
            routes4: open(ebpf, map::ROUTES4)?,
            nodes: open(ebpf, map::NODES)?,
            node_addresses: open(ebpf, map::NODE_ADDRESSES)?,
            counters: open(ebpf, map::COUNTERS)?,
            frontends4: open(ebpf, map::FRONTENDS4)?,
            published: open(ebpf, map::PUBLISHED)?,
            backends: open(ebpf, map::BACKENDS)?,
            lists: open(ebpf, map::LISTS)?,
            rings: open(ebpf, map::RINGS)?,
            owners: open(ebpf, map::OWNERS)?,
            conntrack4: open(ebpf, map::CONNTRACK4)?,
            originals4: open(ebpf, map::ORIGINALS4)?,
            vipflows4: open(ebpf, map::VIPFLOWS4)?,
            netns: open(ebpf, map::NETNS)?,
        })
    }
}

fn open<M>(ebpf: &mut Ebpf, name: &str) -> Result<M, KernelError>
where
    M: TryFrom<Map, Error = aya::maps::MapError>,
{
    let map = ebpf.take_map(name).ok_or_else(|| {
        KernelError::Unusable(format!(
            "the embedded kernel object has no map {name}: build it with `cargo xtask build-ebpf`"
        ))
    })?;
    M::try_from(map).attempt(|| format!("open map {name}"))
}

/// Hands a shared type to aya.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Raw<T: Plain>(pub(crate) T);

// SAFETY: `Plain` promises what `Pod` asks for: no padding, no pointers, every bit pattern valid.
unsafe impl<T: Plain> Pod for Raw<T> {}

/// Where one node's maps, programs and links are pinned.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    root: PathBuf,
}

impl Pins {
    pub(crate) fn of_node(node_id: u16) -> Pins {
        // Fleets that share one kernel (labs, tests) number their nodes alike and must not share pins.
        let root = std::env::var_os("REMUDA_BPF_ROOT").unwrap_or_else(|| PIN_ROOT.into());
        Pins { root: Path::new(&root).join(node_id.to_string()) }
    }
    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.root.join(PIN_MAPS).join(name)
    }
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.root.join(PIN_PROGS).join(name)
    }
    pub(crate) fn links(&self) -> PathBuf {
        self.root.join(PIN_LINKS)
    }
    pub(crate) fn link(&self, name: &str) -> PathBuf {
        self.links().join(name)
    }

    /// Makes the directories, mounting bpffs where nobody did.
    pub(crate) fn prepare(&self) -> Result<(), KernelError> {
        mount_bpffs()?;
        for dir in [PIN_MAPS, PIN_PROGS, PIN_LINKS] {
            let path = self.root.join(dir);
            std::fs::create_dir_all(&path).attempt(|| format!("create {}", path.display()))?;
        }
        Ok(())
    }

    /// Removes every pin of this node, which detaches every link.
    pub(crate) fn remove_all(&self) -> Result<(), KernelError> {
        match std::fs::remove_dir_all(&self.root) {
            Ok(()) => {
                // Other nodes of this kernel may have pins there.
                let _ = std::fs::remove_dir(PIN_ROOT);
                Ok(())
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e).attempt(|| format!("remove {}", self.root.display())),
        }
    }

    /// Compares what is pinned with what this agent would create. Maps of another layout are dropped when no link
    /// of this node uses them, and refused otherwise.
    pub(crate) fn check_layout(&self) -> Result<(), KernelError> {
        let Some(error) = self.foreign_map() else { return Ok(()) };
        let links = std::fs::read_dir(self.links()).map(|d| d.count()).unwrap_or(0);
        if links > 0 {
            return Err(error);
        }
        tracing::warn!(%error, "no link uses these maps: replacing them");
        self.remove_all()?;
        self.prepare()
    }

    fn foreign_map(&self) -> Option<KernelError> {
        for (name, kind, key, value) in LAYOUT {
            let path = self.map(name);
            let Ok(info) = MapInfo::from_pin(&path) else { continue };
            let found = (info.map_type().ok(), info.key_size(), info.value_size());
            if found != (Some(kind), key as u32, value as u32) {
                return Some(KernelError::ForeignLayout {
                    path: path.display().to_string(),
                    found: format!("{:?} {} -> {} bytes", found.0, found.1, found.2),
                    expected: format!("{kind:?} {key} -> {value} bytes"),
                });
            }
        }
        self.foreign_version()
    }

    fn foreign_version(&self) -> Option<KernelError> {
        let path = self.map(map::HOST);
        let data = MapData::from_pin(&path).ok()?;
        let host = Array::<_, Raw<Host>>::try_from(Map::Array(data)).ok()?.get(&0, 0).ok()?;
        let found = host.0.abi_version;
        let known = remuda_abi::ABI_OLDEST..=remuda_abi::ABI_VERSION;
        (found != 0 && !known.contains(&found)).then(|| KernelError::ForeignLayout {
            path: path.display().to_string(),
            found: format!("of map layout {found}"),
            expected: format!("layout {} to {}", known.start(), known.end()),
        })
    }
}

/// Kind, key and value size of the maps whose content outlives an agent.
const LAYOUT: [(&str, MapType, usize, usize); 17] = [
    (map::HOST, MapType::Array, 4, size_of::<Host>()),
    (map::ENDPOINTS, MapType::Hash, 4, size_of::<Endpoint>()),
    (map::LOCAL4, MapType::Hash, size_of::<LocalKey>(), size_of::<Local>()),
    (map::LOCAL_IDS, MapType::Hash, 4, size_of::<LocalKey>()),
    (map::ROUTES4, MapType::LpmTrie, 4 + size_of::<RouteKey>(), size_of::<Route>()),
    (map::NODES, MapType::Hash, 4, size_of::<Node>()),
    (map::NODE_ADDRESSES, MapType::Hash, 4, 4),
    (map::FRONTENDS4, MapType::Hash, size_of::<FrontendKey>(), size_of::<Frontend>()),
    (map::PUBLISHED, MapType::Array, 4, 8),
    (map::BACKENDS, MapType::Array, 4, size_of::<Backend>()),
    (map::LISTS, MapType::Array, 4, 4),
    (map::RINGS, MapType::Array, 4, 8),
    (map::OWNERS, MapType::Hash, size_of::<OwnerKey>(), 4),
    (map::CONNTRACK4, MapType::LruHash, size_of::<FlowKey>(), size_of::<Conntrack>()),
    (map::ORIGINALS4, MapType::LruHash, size_of::<FlowKey>(), size_of::<Original>()),
    (map::VIPFLOWS4, MapType::LruHash, size_of::<FlowKey>(), size_of::<VipFlow>()),
    (map::NETNS, MapType::Hash, 8, size_of::<SocketEndpoint>()),
];

/// Mounts the bpf file system at its usual place unless it is there.
fn mount_bpffs() -> Result<(), KernelError> {
    const BPFFS: &str = "/sys/fs/bpf";
    let kind = nix::sys::statfs::statfs(BPFFS).attempt(|| format!("look at {BPFFS}"))?.filesystem_type();
    if kind == nix::sys::statfs::BPF_FS_MAGIC {
        return Ok(());
    }
    nix::mount::mount(Some("bpf"), BPFFS, Some("bpf"), nix::mount::MsFlags::empty(), None::<&str>)
        .attempt(|| format!("mount the bpf file system at {BPFFS} (root is needed)"))
}
