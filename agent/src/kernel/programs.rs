//! Loading the programs, and where each is attached.
//!
//! Every link is pinned as `links/PROGRAM@DEVICE` (socket hooks: `links/PROGRAM`), so that it outlives the agent and
//! a newer agent replaces the program in it without a gap. Kernels before 6.6 have no such links for tc: there we use
//! netlink filters of a fixed place, replaced in place and never removed by our own end.

use std::fs;
use std::io;
use std::path::Path;

use aya::programs::links::FdLink;
use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle};
use aya::programs::{
    CgroupAttachMode, CgroupSockAddr, LinkOrder, Program, ProgramError, SchedClassifier, TcAttachType, tc,
};
use aya::util::KernelVersion;
use aya::{Ebpf, EbpfLoader};
use remuda_abi::names::{map, program};

use super::bpf;
use super::error::{Attempt, KernelError};
use super::maps::{Maps, Pins};
use super::netlink::Device;

/// The kernel half of the product.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("REMUDA_EBPF_OBJECT"));

/// Place of our netlink filters: before what people usually add, and easy to recognise.
const FILTER_PRIORITY: u16 = 114;
const FILTER_HANDLE: TcHandle = TcHandle::new(0, 1);

pub(crate) struct Programs {
    ebpf: Ebpf,
    pins: Pins,
    /// tc programs attach as pinned links (Linux 6.6).
    has_tcx: bool,
}

impl Programs {
    /// Loads everything against the pinned maps (made now where missing), and puts the new programs into whatever
    /// links an earlier agent left.
    pub(crate) fn load(pins: &Pins) -> Result<(Programs, Maps), KernelError> {
        pins.prepare()?;
        pins.check_layout()?;
        let mut loader = EbpfLoader::new();
        for name in map::ALL {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut ebpf =
            loader.load(OBJECT).attempt(|| "load the kernel programs (Linux 6.1 or newer with BPF is needed)")?;
        let maps = Maps::of(&mut ebpf)?;
        let mut programs = Programs { ebpf, pins: pins.clone(), has_tcx: kernel_has_tcx() };
        programs.verify_all()?;
        programs.renew_links()?;
        Ok((programs, maps))
    }

    /// Whether tc programs are attached as pinned links.
    pub(crate) fn has_tcx(&self) -> bool {
        self.has_tcx
    }

    fn verify_all(&mut self) -> Result<(), KernelError> {
        for name in [program::ENDPOINT, program::UPLINK_INGRESS, program::UPLINK_EGRESS] {
            self.classifier(name)?.load().attempt(|| format!("load program {name}"))?;
            self.pin_program(name)?;
        }
        for name in program::SOCKET {
            self.socket_hook(name)?.load().attempt(|| format!("load program {name}"))?;
            self.pin_program(name)?;
        }
        Ok(())
    }

    /// For operators and `remuda trace`: programs can be found by name.
    fn pin_program(&mut self, name: &str) -> Result<(), KernelError> {
        let path = self.pins.program(name);
        remove_if_there(&path)?;
        self.program(name)?.pin(&path).attempt(|| format!("pin program {name} at {}", path.display()))
    }

    /// Puts this agent's programs into the links of the agent before it; drops links whose device is gone.
    fn renew_links(&mut self) -> Result<(), KernelError> {
        let dir = self.pins.links();
        for entry in fs::read_dir(&dir).attempt(|| format!("list {}", dir.display()))? {
            let entry = entry.attempt(|| format!("list {}", dir.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let program = name.split('@').next().unwrap_or_default();
            if self.ebpf.program(program).is_none() || !self.renew_link(&entry.path(), program)? {
                remove_if_there(&entry.path())?;
            }
        }
        Ok(())
    }

    /// False when the link's device or cgroup is gone.
    fn renew_link(&mut self, pin: &Path, program: &str) -> Result<bool, KernelError> {
        let link = bpf::open_pinned(pin).attempt(|| format!("open link {}", pin.display()))?;
        let fd = self.program(program)?.fd().attempt(|| format!("program {program}"))?;
        match bpf::update_link(&link, fd) {
            Ok(()) => Ok(true),
            Err(e) if e.raw_os_error() == Some(libc::ENOLINK) => Ok(false),
            Err(e) => Err(e).attempt(|| format!("put program {program} into link {}", pin.display())),
        }
    }

    /// Attaches a tc program to a device, or replaces what an earlier agent attached there.
    pub(crate) fn attach(&mut self, program: &str, device: &Device) -> Result<(), KernelError> {
        if self.has_tcx { self.attach_link(program, device) } else { self.attach_filter(program, device) }
    }

    fn attach_link(&mut self, program: &str, device: &Device) -> Result<(), KernelError> {
        let pin = self.link_pin(program, device);
        if self.is_attached(program, device) && self.renew_link(&pin, program)? {
            return Ok(());
        }
        remove_if_there(&pin)?;
        let what = || format!("attach {program} to {}", device.name);
        let classifier = self.classifier(program)?;
        // The chain's end: whoever was there first still runs, and runs first.
        let order = TcAttachOptions::TcxOrder(LinkOrder::default());
        let id = classifier.attach_with_options(&device.name, direction(program), order).attempt(what)?;
        let link: FdLink = classifier.take_link(id).attempt(what)?.try_into().attempt(what)?;
        link.pin(&pin).attempt(|| format!("pin link {}", pin.display())).map(drop)
    }

    fn attach_filter(&mut self, program: &str, device: &Device) -> Result<(), KernelError> {
        let what = || format!("attach {program} to {} as a tc filter", device.name);
        // An error here is "there already", or shows again in the next step.
        let _ = tc::qdisc_add_clsact(&device.name);
        let side = direction(program);
        let classifier = self.classifier(program)?;
        let place = NlOptions { priority: FILTER_PRIORITY, handle: FILTER_HANDLE, classid: None };
        let first = classifier.attach_with_options(&device.name, side, TcAttachOptions::Netlink(place));
        let id = match first {
            Err(ProgramError::TcError(TcError::NetlinkError(_)) | ProgramError::NetlinkError(_)) => {
                let old = SchedClassifierLink::attached(&device.name, side, FILTER_PRIORITY, FILTER_HANDLE, None);
                classifier.attach_to_link(old.attempt(what)?).attempt(what)?
            }
            other => other.attempt(what)?,
        };
        // Forgotten, not dropped: dropping would detach it.
        std::mem::forget(classifier.take_link(id).attempt(what)?);
        Ok(())
    }

    /// Detaches a program from a device by name; the device may be gone.
    pub(crate) fn detach(&mut self, program: &str, device_name: &str) -> Result<(), KernelError> {
        remove_if_there(&self.pins.link(&link_name(program, device_name)))?;
        if !self.has_tcx
            && let Ok(link) =
                SchedClassifierLink::attached(device_name, direction(program), FILTER_PRIORITY, FILTER_HANDLE, None)
        {
            // Dropping detaches; a filter or device that is gone is what we want.
            drop(link);
        }
        Ok(())
    }

    /// Whether our link of this program is on this very device (not on a namesake before it).
    /// Always true for netlink filters, which cannot be told from here.
    pub(crate) fn is_attached(&self, program: &str, device: &Device) -> bool {
        if !self.has_tcx {
            return true;
        }
        let info = bpf::open_pinned(&self.link_pin(program, device)).and_then(|link| bpf::link_info(&link));
        info.is_ok_and(|i| i.target == device.index)
    }

    /// Names of the devices a program is attached to, by its pins.
    pub(crate) fn attached_to(&self, program: &str) -> Vec<String> {
        let Ok(dir) = fs::read_dir(self.pins.links()) else { return Vec::new() };
        dir.flatten()
            .filter_map(|e| Some(e.file_name().to_str()?.strip_prefix(program)?.strip_prefix('@')?.to_string()))
            .collect()
    }

    /// Attaches the eight socket hooks to the root of cgroup v2: they ask for the namespace themselves.
    pub(crate) fn attach_sockets(&mut self, cgroup_root: &Path) -> Result<(), KernelError> {
        for name in program::SOCKET {
            self.attach_socket(name, cgroup_root)?;
        }
        Ok(())
    }

    fn attach_socket(&mut self, name: &str, cgroup_root: &Path) -> Result<(), KernelError> {
        let pin = self.pins.link(name);
        if pin.exists() && self.renew_link(&pin, name)? {
            return Ok(());
        }
        remove_if_there(&pin)?;
        let what = || format!("attach {name} to {} (a cgroup takes 64 programs of a kind)", cgroup_root.display());
        let cgroup = fs::File::open(cgroup_root).attempt(what)?;
        let hook = self.socket_hook(name)?;
        // Single: links are "multi" by nature, and the kernel refuses the flag that says so.
        let id = hook.attach(cgroup, CgroupAttachMode::Single).attempt(what)?;
        let link: FdLink = hook.take_link(id).attempt(what)?.try_into().attempt(what)?;
        link.pin(&pin).attempt(|| format!("pin link {}", pin.display())).map(drop)
    }

    pub(crate) fn sockets_attached(&self) -> bool {
        program::SOCKET.iter().all(|name| self.pins.link(name).exists())
    }

    fn link_pin(&self, program: &str, device: &Device) -> std::path::PathBuf {
        self.pins.link(&link_name(program, &device.name))
    }

    fn program(&mut self, name: &str) -> Result<&mut Program, KernelError> {
        self.ebpf.program_mut(name).ok_or_else(|| {
            KernelError::Unusable(format!(
                "the embedded kernel object has no program {name}: run `cargo xtask build-ebpf`"
            ))
        })
    }

    fn classifier(&mut self, name: &str) -> Result<&mut SchedClassifier, KernelError> {
        self.program(name)?.try_into().attempt(|| format!("program {name}"))
    }

    fn socket_hook(&mut self, name: &str) -> Result<&mut CgroupSockAddr, KernelError> {
        self.program(name)?.try_into().attempt(|| format!("program {name}"))
    }
}

/// Pinned links for tc came with Linux 6.6.
pub(crate) fn kernel_has_tcx() -> bool {
    KernelVersion::current().is_ok_and(|version| version >= KernelVersion::new(6, 6, 0))
}

fn direction(program: &str) -> TcAttachType {
    if program == program::UPLINK_EGRESS { TcAttachType::Egress } else { TcAttachType::Ingress }
}

/// bpffs refuses dots in names: a device such as `eth0.5` is pinned as `eth0:5`.
fn link_name(program: &str, device: &str) -> String {
    format!("{program}@{}", device.replace('.', ":"))
}

fn remove_if_there(path: &Path) -> Result<(), KernelError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).attempt(|| format!("remove {}", path.display())),
        _ => Ok(()),
    }
}
