//! The bpf(2) calls aya 0.14 has no door for: link update of a pinned link of any kind, link info, batched look-up.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya::Pod;

const BPF_OBJ_GET: libc::c_int = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;
const BPF_MAP_UPDATE_BATCH: libc::c_int = 26;
const BPF_LINK_UPDATE: libc::c_int = 29;

/// Opens whatever is pinned at `path`.
pub(crate) fn open_pinned(path: &Path) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        pathname: u64,
        bpf_fd: u32,
        file_flags: u32,
    }
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = Attr { pathname: name.as_ptr() as u64, bpf_fd: 0, file_flags: 0 };
    let fd = bpf(BPF_OBJ_GET, &mut attr)?;
    // SAFETY: the kernel just gave us this descriptor; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Replaces the program of a link, without a moment in which none runs.
/// ENOLINK: the device or cgroup the link was made for is gone.
pub(crate) fn update_link(link: &OwnedFd, program: impl AsFd) -> io::Result<()> {
    #[repr(C)]
    struct Attr {
        link_fd: u32,
        new_prog_fd: u32,
        flags: u32,
        old_prog_fd: u32,
    }
    let new_prog_fd = program.as_fd().as_raw_fd() as u32;
    let mut attr = Attr { link_fd: link.as_raw_fd() as u32, new_prog_fd, flags: 0, old_prog_fd: 0 };
    bpf(BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// What a link runs, and where. For tcx links `target` is the interface index (0 = gone).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct LinkInfo {
    pub(crate) kind: u32,
    pub(crate) id: u32,
    pub(crate) program_id: u32,
    pad: u32,
    /// Type-specific part: its first word.
    pub(crate) target: u32,
    rest: [u32; 11],
}

pub(crate) fn link_info(link: &OwnedFd) -> io::Result<LinkInfo> {
    #[repr(C)]
    struct Attr {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
    let mut info = LinkInfo::default();
    let info_len = size_of::<LinkInfo>() as u32;
    let mut attr = Attr { bpf_fd: link.as_raw_fd() as u32, info_len, info: (&raw mut info) as u64 };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info)
}

/// The part of union bpf_attr for batches.
#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Elements `base..base + count` of an array map in one call.
pub(crate) fn read_array<T: Pod>(map: impl AsFd, base: u32, count: u32) -> io::Result<Vec<T>> {
    let before = base.wrapping_sub(1);
    let mut keys = vec![0u32; count as usize];
    let mut values = Vec::<T>::with_capacity(count as usize);
    let mut out_batch = 0u32;
    let mut attr = BatchAttr {
        // The key before the first one wanted; none = from the beginning.
        in_batch: if base == 0 { 0 } else { (&raw const before) as u64 },
        out_batch: (&raw mut out_batch) as u64,
        keys: keys.as_mut_ptr() as u64,
        values: values.as_mut_ptr() as u64,
        count,
        map_fd: map.as_fd().as_raw_fd() as u32,
        elem_flags: 0,
        flags: 0,
    };
    match bpf(BPF_MAP_LOOKUP_BATCH, &mut attr) {
        Ok(_) => {}
        // ENOENT: the end of the map was reached; `count` says how many came.
        Err(e) if e.raw_os_error() == Some(libc::ENOENT) => {}
        Err(e) => return Err(e),
    }
    // SAFETY: the kernel wrote `attr.count` elements of T (Pod, of the map's value size) into memory of that capacity.
    unsafe { values.set_len((attr.count as usize).min(count as usize)) };
    Ok(values)
}

/// Writes `values` to an array map from element `base` on, in one call.
pub(crate) fn write_array<T: Pod>(map: impl AsFd, base: u32, values: &[T]) -> io::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let count = values.len() as u32;
    let keys: Vec<u32> = (base..base + count).collect();
    let mut attr = BatchAttr {
        in_batch: 0,
        out_batch: 0,
        keys: keys.as_ptr() as u64,
        values: values.as_ptr() as u64,
        count,
        map_fd: map.as_fd().as_raw_fd() as u32,
        elem_flags: 0,
        flags: 0,
    };
    bpf(BPF_MAP_UPDATE_BATCH, &mut attr).map(drop)
}

fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: `attr` is a repr(C) prefix of union bpf_attr with every pointer in it valid for the call.
    let code = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    if code < 0 { Err(io::Error::last_os_error()) } else { Ok(code as libc::c_int) }
}
