//! The smallest XDP program there is, attached natively: the condition "XDP attached" until ours exists.

use anyhow::{Result, bail};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `r0 = XDP_PASS; exit`, as `struct bpf_insn` (code, registers, offset, immediate).
const PROGRAM: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// Native mode or nothing: generic XDP would measure something else.
const XDP_FLAGS_DRV_MODE: u32 = 4;

/// Attached as long as this lives.
pub struct Attached(#[expect(dead_code, reason = "held: closing it detaches")] OwnedFd);

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    rest: [u64; 16],
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    rest: [u64; 6],
}

/// Attaches to `ifindex` of the network namespace this thread is in.
pub fn attach(ifindex: u32) -> Result<Attached> {
    let load = ProgLoad {
        prog_type: BPF_PROG_TYPE_XDP,
        insn_cnt: PROGRAM.len() as u32,
        insns: PROGRAM.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        rest: [0; 16],
    };
    let program = bpf(BPF_PROG_LOAD, &load)?;
    let link = LinkCreate {
        prog_fd: program.as_raw_fd() as u32,
        target_ifindex: ifindex,
        attach_type: BPF_XDP,
        flags: XDP_FLAGS_DRV_MODE,
        rest: [0; 6],
    };
    Ok(Attached(bpf(BPF_LINK_CREATE, &link)?))
}

fn bpf<T>(command: libc::c_long, attr: &T) -> Result<OwnedFd> {
    // SAFETY: `attr` lives across the call and its size is passed; the kernel only reads it.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attr), size_of::<T>()) };
    if fd < 0 {
        bail!("bpf({command}): {}", std::io::Error::last_os_error());
    }
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
