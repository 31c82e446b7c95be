//! The loaded programs in a scratch network namespace, beside the host library with the same tables.

use crate::world::{self, Interfaces};
use anyhow::{Context, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, MapData, PerCpuArray, lpm_trie},
    programs::{CgroupSockAddr, SchedClassifier, TestRun as _, TestRunOptions},
};
use remuda_abi::{
    counter::{Counter, DropReason},
    flow::{Conntrack, FlowKey},
    frontend::{published_bit, published_word},
    names::{map, program},
    plain::Plain,
    route::route_prefix_len,
};
use remuda_ebpf::{
    hook::{Hook, NextHop},
    host::{Frame, Model},
    packet::Packet,
    pipeline,
    verdict::Verdict,
};
use std::{collections::BTreeMap, io::Write, path::PathBuf, process::Command};

/// What the kernel program returned.
pub const NEXT: i32 = -1;
pub const DROPPED: i32 = 2;
pub const REDIRECTED: i32 = 7;

/// A shared type on its way to aya.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Raw<T: Plain>(pub T);
// SAFETY: Plain promises what Pod asks for.
unsafe impl<T: Plain> Pod for Raw<T> {}

pub struct Datapath {
    pub ebpf: Ebpf,
    pub model: Model,
    pub at: Interfaces,
}

/// What one packet did.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub bytes: Vec<u8>,
    pub mark: u32,
    pub counters: BTreeMap<&'static str, u64>,
}

/// How a packet meets the program.
#[derive(Clone, Copy, Default)]
pub struct Entry {
    pub ifindex: u32,
    pub mark: u32,
}

impl Datapath {
    pub fn load() -> Datapath {
        Self::try_load().expect("the datapath loads")
    }

    fn try_load() -> Result<Datapath> {
        let at = scratch_namespace().context("making the scratch namespace (root needed)")?;
        let model = world::model(&at);
        let mut ebpf = load_object()?;
        for name in [program::ENDPOINT, program::UPLINK_INGRESS, program::UPLINK_EGRESS] {
            let p: &mut SchedClassifier = ebpf.program_mut(name).context(name)?.try_into()?;
            p.load().with_context(|| format!("the verifier refused {name}"))?;
        }
        let mut d = Datapath { ebpf, model, at };
        d.write_tables()?;
        Ok(d)
    }

    /// Copies the model's tables into the maps.
    pub fn write_tables(&mut self) -> Result<()> {
        let m = &self.model;
        Array::<_, Raw<_>>::try_from(self.ebpf.map_mut(map::HOST).context("HOST")?)?.set(0, Raw(m.host), 0)?;
        fill(&mut self.ebpf, map::ENDPOINTS, &m.endpoints)?;
        fill(&mut self.ebpf, map::LOCAL4, &m.local)?;
        fill(&mut self.ebpf, map::NODES, &m.nodes)?;
        fill(&mut self.ebpf, map::NODE_ADDRESSES, &m.node_addresses)?;
        fill(&mut self.ebpf, map::LOCAL_IDS, &m.local_ids)?;
        fill(&mut self.ebpf, map::FRONTENDS4, &m.frontends)?;
        fill(&mut self.ebpf, map::OWNERS, &m.owners)?;
        store(&mut self.ebpf, map::BACKENDS, m.backends.iter().map(|(id, b)| (*id, *b)))?;
        store(&mut self.ebpf, map::LISTS, (0..).zip(m.lists.iter().copied()))?;
        store(&mut self.ebpf, map::RINGS, (0..).zip(m.rings.iter().copied()))?;
        store(&mut self.ebpf, map::PUBLISHED, published(&m.published).into_iter())?;
        let mut routes: lpm_trie::LpmTrie<_, Raw<_>, Raw<_>> =
            self.ebpf.map_mut(map::ROUTES4).context("ROUTES4")?.try_into()?;
        for (len, key, route) in &m.routes {
            routes.insert(&lpm_trie::Key::new(route_prefix_len(*len), Raw(*key)), Raw(*route), 0)?;
        }
        Ok(())
    }

    /// From a container's side of its veth.
    pub fn from(&mut self, ifindex: u32, packet: impl Into<Vec<u8>>) -> Case {
        self.case(program::ENDPOINT, packet.into(), Entry { ifindex, mark: 0 })
    }
    /// From the underlay.
    pub fn arrives(&mut self, packet: impl Into<Vec<u8>>) -> Case {
        let ifindex = self.at.uplink;
        self.case(program::UPLINK_INGRESS, packet.into(), Entry { ifindex, mark: 0 })
    }
    /// To the underlay.
    pub fn leaves(&mut self, mark: u32, packet: impl Into<Vec<u8>>) -> Case {
        let ifindex = self.at.uplink;
        self.case(program::UPLINK_EGRESS, packet.into(), Entry { ifindex, mark })
    }

    /// Lets every flow be seen so much longer ago, in both worlds.
    pub fn age(&mut self, ticks: u32) -> Result<()> {
        for entry in self.model.conntrack.borrow_mut().values_mut() {
            entry.last_seen_tick = entry.last_seen_tick.wrapping_sub(ticks);
        }
        let map = self.ebpf.map_mut(map::CONNTRACK4).context("CONNTRACK4")?;
        let mut m: HashMap<_, Raw<FlowKey>, Raw<Conntrack>> = map.try_into()?;
        let entries: Vec<_> = m.iter().collect::<Result<_, _>>()?;
        for (key, Raw(entry)) in entries {
            let last_seen_tick = entry.last_seen_tick.wrapping_sub(ticks);
            m.insert(key, Raw(Conntrack { last_seen_tick, ..entry }), 0)?;
        }
        Ok(())
    }

    /// Both worlds; they must agree.
    fn case(&mut self, name: &str, packet: Vec<u8>, entry: Entry) -> Case {
        let kernel = self.in_kernel(name, &packet, entry).expect("the kernel takes this packet for a test run");
        let host = self.in_library(name, &packet, entry);
        assert_eq!(kernel.code, host.code, "kernel and library disagree on the verdict");
        assert_eq!(hex(&kernel.bytes), hex(&host.bytes), "kernel and library disagree on the bytes");
        assert_eq!(kernel.counters, host.counters, "kernel and library disagree on the counters");
        assert_eq!(kernel.mark, host.mark, "kernel and library disagree on the mark");
        Case { before: packet, outcome: kernel }
    }

    pub fn in_kernel(&mut self, name: &str, packet: &[u8], entry: Entry) -> Result<Outcome> {
        let before = self.counters()?;
        let mut ctx = [0u8; SK_BUFF_BYTES];
        ctx[8..12].copy_from_slice(&entry.mark.to_ne_bytes());
        ctx[40..44].copy_from_slice(&entry.ifindex.to_ne_bytes());
        let mut ctx_out = [0u8; SK_BUFF_BYTES];
        let mut out = vec![0u8; packet.len() + 256];
        let p: &mut SchedClassifier = self.ebpf.program_mut(name).context("program")?.try_into()?;
        let r = p.test_run(TestRunOptions {
            data_in: Some(packet),
            data_out: Some(&mut out),
            ctx_in: Some(&ctx),
            ctx_out: Some(&mut ctx_out),
            ..TestRunOptions::new()
        })?;
        out.truncate(r.data_size_out as usize);
        let after = self.counters()?;
        let moved = after.into_iter().map(|(k, v)| (k, v - before.get(k).copied().unwrap_or(0)));
        Ok(Outcome {
            code: r.return_value as i32,
            bytes: out,
            mark: u32::from_ne_bytes(ctx_out[8..12].try_into()?),
            counters: moved.filter(|(_, n)| *n != 0).collect(),
        })
    }

    pub fn in_library(&self, name: &str, packet: &[u8], entry: Entry) -> Outcome {
        let mut f = Frame::new(packet, 256);
        f.ifindex = entry.ifindex;
        f.mark = entry.mark;
        self.model.take_counters();
        f.next_hop = self.next_hop(packet, name);
        let v = match name {
            program::ENDPOINT => pipeline::endpoint(&mut f, &self.model),
            program::UPLINK_INGRESS => pipeline::uplink_ingress(&mut f, &self.model),
            _ => pipeline::uplink_egress(&mut f, &self.model),
        };
        let code = match v {
            Verdict::Next => NEXT,
            Verdict::Drop(_) => DROPPED,
            _ => REDIRECTED,
        };
        Outcome { code, bytes: f.bytes(), mark: f.mark(), counters: self.model.take_counters() }
    }

    /// The scratch namespace's FIB in words: there is a way to everywhere but one host.
    fn next_hop(&self, packet: &[u8], name: &str) -> Option<NextHop> {
        let f = Frame::new(packet, 0);
        let dst_be = f.at::<remuda_ebpf::packet::Ipv4>(14).ok()?.dst.raw();
        let to_unreachable = dst_be == remuda_abi::addr::ip_be(world::ON_UNREACHABLE);
        (name != program::ENDPOINT || !to_unreachable).then_some(NextHop { ifindex: 1, family: 2, address: [0; 4] })
    }

    fn counters(&self) -> Result<BTreeMap<&'static str, u64>> {
        let m: PerCpuArray<&MapData, u64> = self.ebpf.map(map::COUNTERS).context("COUNTERS")?.try_into()?;
        let counters = Counter::ALL.iter().map(|c| (c.name(), c.index()));
        let drops = DropReason::ALL.iter().map(|r| (r.name(), r.index()));
        counters.chain(drops).map(|(name, i)| Ok((name, m.get(&i, 0)?.iter().sum()))).collect()
    }

    /// The socket hooks too; nothing is attached.
    pub fn load_sockets(&mut self) {
        for name in program::SOCKET {
            let p: &mut CgroupSockAddr = self.ebpf.program_mut(name).unwrap().try_into().unwrap();
            p.load().unwrap_or_else(|e| panic!("the verifier refused {name}: {e:?}"));
        }
    }

    /// Instructions the verifier walked for each program.
    pub fn verified_instructions(&self) -> Vec<(String, u32)> {
        let count = |p: &aya::programs::Program| match p {
            aya::programs::Program::SchedClassifier(p) => p.info().ok()?.verified_instruction_count(),
            aya::programs::Program::CgroupSockAddr(p) => p.info().ok()?.verified_instruction_count(),
            _ => None,
        };
        self.ebpf.programs().filter_map(|(n, p)| Some((n.to_string(), count(p)?))).collect()
    }
}

const SK_BUFF_BYTES: usize = 192;

fn fill<K: Plain, V: Plain>(ebpf: &mut Ebpf, name: &str, table: &std::collections::HashMap<K, V>) -> Result<()> {
    let mut m: HashMap<_, Raw<K>, Raw<V>> = ebpf.map_mut(name).with_context(|| name.to_string())?.try_into()?;
    for (k, v) in table {
        m.insert(Raw(*k), Raw(*v), 0)?;
    }
    Ok(())
}

fn store<V: Plain>(ebpf: &mut Ebpf, name: &str, values: impl Iterator<Item = (u32, V)>) -> Result<()> {
    let mut m: Array<_, Raw<V>> = ebpf.map_mut(name).with_context(|| name.to_string())?.try_into()?;
    for (index, v) in values {
        m.set(index, Raw(v), 0)?;
    }
    Ok(())
}

/// The bitmap of published ports, its words that are not 0.
fn published(ports: &std::collections::HashSet<(u8, u16)>) -> BTreeMap<u32, u64> {
    let mut words = BTreeMap::new();
    for (proto, port) in ports {
        let word = published_word(*proto, *port).expect("TCP or UDP");
        *words.entry(word).or_default() |= published_bit(*port);
    }
    words
}

pub fn load_object() -> Result<Ebpf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/ebpf/bpfel-unknown-none/release/remuda-ebpf");
    let path: PathBuf = std::env::var_os("REMUDA_EBPF_OBJECT").map_or(default.into(), PathBuf::from);
    let load = EbpfLoader::new().load_file(&path);
    load.with_context(|| format!("{}: build it with `cargo xtask build-ebpf`", path.display()))
}

/// Runs lines of `ip` in this thread's namespace.
pub fn ip_batch(script: &str) -> Result<()> {
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(std::process::Stdio::piped()).spawn()?;
    ip.stdin.take().context("stdin")?.write_all(script.as_bytes())?;
    ensure!(ip.wait()?.success(), "ip -batch failed");
    Ok(())
}

/// A network namespace that ends with this thread: an uplink with a neighbour, `remuda0`'s pair, three veths.
fn scratch_namespace() -> Result<Interfaces> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
    let mut script = String::new();
    for name in ["u0", "remuda0", "c1", "c2", "c3"] {
        script += &format!("link add {name} type veth peer name {name}p\nlink set {name} up\nlink set {name}p up\n");
    }
    script += "addr add 192.168.77.1/24 dev u0\nroute add default via 192.168.77.254\n";
    script += "route add unreachable 203.0.113.4\n";
    ip_batch(&script)?;
    // /proc/sys/net shows the reading thread's own namespace.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    let index = |name| nix::net::if_::if_nametoindex(name).context("if_nametoindex");
    Ok(Interfaces {
        uplink: index("u0")?,
        remuda0: index("remuda0")?,
        remuda0_peer: index("remuda0p")?,
        c1: index("c1")?,
        c2: index("c2")?,
        internal: index("c3")?,
    })
}

/// One packet and what became of it; each claim checks one side, `counters` the whole difference.
pub struct Case {
    before: Vec<u8>,
    outcome: Outcome,
}
impl Case {
    pub fn bytes(&self) -> Vec<u8> {
        self.outcome.bytes.clone()
    }
    #[track_caller]
    pub fn verdict(self, code: i32) -> Self {
        assert_eq!(self.outcome.code, code, "verdict; counters {:?}", self.outcome.counters);
        self
    }
    #[track_caller]
    pub fn packet(self, bytes: impl Into<Vec<u8>>) -> Self {
        assert_eq!(hex(&self.outcome.bytes), hex(&bytes.into()), "packet");
        self
    }
    #[track_caller]
    pub fn untouched(self) -> Self {
        assert_eq!(hex(&self.outcome.bytes), hex(&self.before), "packet");
        self
    }
    #[track_caller]
    pub fn mark(self, mark: u32) -> Self {
        assert_eq!(self.outcome.mark, mark, "mark");
        self
    }
    /// These moved by one each, and no others.
    #[track_caller]
    pub fn counters<const N: usize>(self, counters: [Counter; N]) -> Self {
        let expected: BTreeMap<_, _> = counters.iter().map(|c| (c.name(), 1)).collect();
        assert_eq!(self.outcome.counters, expected, "counters");
        self
    }
    /// Dropped for this reason, untouched, and nothing else counted.
    #[track_caller]
    pub fn dropped(self, reason: DropReason) {
        let expected = BTreeMap::from([(reason.name(), 1)]);
        assert_eq!(self.outcome.counters, expected, "counters");
        self.verdict(DROPPED).untouched();
    }
    /// Left to the next program, untouched, and nothing counted.
    #[track_caller]
    pub fn passed(self) {
        self.verdict(NEXT).untouched().counters([]);
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}
