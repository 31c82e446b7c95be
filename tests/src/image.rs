//! What images of tests are made of: busybox, which is one static program that is a shell and everything else.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

/// The image every engine of a test has.
pub const BUSYBOX: &str = "busybox:test";
/// Of package busybox-static.
const PROGRAM: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];
/// In `/etc/passwd` and `/etc/group` of the image.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1234:app:/home/app:/bin/sh\n";
const GROUP: &str = "root:x:0:\napp:x:1234:\naudio:x:29:app\n";

/// Its file system as a tar archive.
pub fn busybox() -> Result<Vec<u8>> {
    let path =
        PROGRAM.iter().find(|path| Path::new(path).exists()).context("busybox is missing (package busybox-static)")?;
    let program = std::fs::read(path)?;
    let applets = Command::new(path).arg("--list").output()?.stdout;
    let mut archive = Builder::new(Vec::new());
    for directory in ["bin", "etc", "proc", "sys", "dev", "root", "home", "data"] {
        archive.append_data(&mut header(EntryType::Directory, 0o755, 0), format!("{directory}/"), &[][..])?;
    }
    archive.append_data(&mut header(EntryType::Directory, 0o1777, 0), "tmp/", &[][..])?;
    for (name, mode, content) in [
        ("bin/busybox", 0o755, program.as_slice()),
        ("etc/passwd", 0o644, PASSWD.as_bytes()),
        ("etc/group", 0o644, GROUP.as_bytes()),
        ("data/from-the-image", 0o644, b"yes\n"),
    ] {
        archive.append_data(&mut header(EntryType::Regular, mode, content.len()), name, content)?;
    }
    for applet in String::from_utf8_lossy(&applets).lines().filter(|applet| *applet != "busybox") {
        archive.append_link(&mut header(EntryType::Symlink, 0o777, 0), format!("bin/{applet}"), "busybox")?;
    }
    Ok(archive.into_inner()?)
}

fn header(kind: EntryType, mode: u32, len_bytes: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(len_bytes as u64);
    header
}

/// The end of an archive: one file of this size, whose bytes nothing can squeeze.
pub fn filler(name: &str, len_bytes: usize) -> Result<Vec<u8>> {
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    let content: Vec<u8> = noise.take(len_bytes).collect();
    let mut archive = Builder::new(Vec::new());
    archive.append_data(&mut header(EntryType::Regular, 0o644, len_bytes), name, content.as_slice())?;
    Ok(archive.into_inner()?)
}
