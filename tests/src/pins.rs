//! What the kernel maps of a host hold, as numbers: entries of every pinned map that only the agent writes.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use remuda_abi::names::PIN_MAPS;
use remuda_lab::Lab;

/// Commands of bpf(2).
const GET_NEXT_KEY: libc::c_int = 4;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
/// Map types whose entries come and go by the agent's hand: hash, LPM trie, hash of maps. Arrays have a fixed size;
/// LRU maps and socket storage are written by the programs.
const KEYED: [u32; 3] = [1, 11, 13];
/// No map of ours has a larger key.
const KEY_MAX_BYTES: usize = 64;

/// Entries by map name.
pub fn entries(lab: &Lab, host: &str) -> Result<BTreeMap<String, usize>> {
    let dir = lab.host(host)?.bpf_dir.join(PIN_MAPS);
    let mut counts = BTreeMap::new();
    for pin in std::fs::read_dir(&dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = pin?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(count) = count(&path).with_context(|| format!("reading map {name}"))? {
            counts.insert(name, count);
        }
    }
    Ok(counts)
}

/// None for maps whose entries say nothing.
fn count(pin: &Path) -> io::Result<Option<usize>> {
    let map = open(pin)?;
    let (kind, key_bytes) = kind_and_key(&map)?;
    if !KEYED.contains(&kind) || key_bytes > KEY_MAX_BYTES {
        return Ok(None);
    }
    let (mut key, mut next, mut count) = ([0; KEY_MAX_BYTES], [0_u8; KEY_MAX_BYTES], 0);
    let mut attributes = Attributes::default();
    attributes.put(0, map.as_raw_fd() as u64);
    attributes.put(2, next.as_mut_ptr() as u64);
    loop {
        match attributes.call(GET_NEXT_KEY) {
            Ok(_) => count += 1,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(Some(count)),
            Err(error) => return Err(error),
        }
        key.copy_from_slice(&next);
        attributes.put(1, key.as_ptr() as u64);
    }
}

fn open(pin: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut attributes = Attributes::default();
    attributes.put(0, path.as_ptr() as u64);
    let fd = attributes.call(OBJ_GET)?;
    // SAFETY: the kernel just gave us this descriptor; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The first words of struct bpf_map_info: type, id, key size.
fn kind_and_key(map: &OwnedFd) -> io::Result<(u32, usize)> {
    let mut info = [0_u32; 32];
    let mut attributes = Attributes::default();
    attributes.put(0, map.as_raw_fd() as u64 | (size_of_val(&info) as u64) << 32);
    attributes.put(1, info.as_mut_ptr() as u64);
    attributes.call(OBJ_GET_INFO_BY_FD)?;
    Ok((info[0], info[2] as usize))
}

/// union bpf_attr as words of 64 bits, little-endian machines.
#[derive(Default)]
struct Attributes([u64; 16]);

impl Attributes {
    fn put(&mut self, word: usize, value: u64) {
        self.0[word] = value;
    }

    fn call(&mut self, command: libc::c_int) -> io::Result<i32> {
        // SAFETY: a whole, zero-padded bpf_attr; what its addresses lead to lives through the call at the caller.
        let code = unsafe { libc::syscall(libc::SYS_bpf, command, self.0.as_mut_ptr(), size_of_val(&self.0)) };
        if code < 0 { Err(io::Error::last_os_error()) } else { Ok(code as i32) }
    }
}
