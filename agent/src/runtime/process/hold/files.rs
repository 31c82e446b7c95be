//! What a unit sees instead of the host's: its own name, hosts and resolver, on the host's files otherwise.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use super::{Unit, words};

/// Writes the files in the unit's directory. In host networking the host's own resolver and hosts stay.
pub(super) fn write(unit: &Unit) -> Result<(), String> {
    for (name, content) in contents(unit) {
        let path = unit.path(name);
        fs::write(&path, content).map_err(|e| words(format!("write {}", path.display()), e))?;
    }
    Ok(())
}

/// Puts them over the host's in the calling process's own mount namespace, with a /proc of its own processes.
pub(super) fn mount_over(unit: &Unit) -> Result<(), String> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .map_err(|e| words("make mounts private", e.into()))?;
    for (name, _) in contents(unit) {
        let target = Path::new("/etc").join(name);
        match bind(&unit.path(name), &target) {
            // A host without the file has nothing to hide; names need theirs.
            Err(e) if e.kind() == io::ErrorKind::NotFound && name != "resolv.conf" => {}
            other => {
                other.map_err(|e| words(format!("put the unit's {name} over the host's {}", target.display()), e))?
            }
        }
    }
    pin_devices()?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).map_err(|e| words("mount /proc", e.into()))
}

/// Devices every program of the host relies on.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// A mount point can neither be unlinked nor renamed over by who sees it: a unit that runs as root and removes
/// "its" file (nginx its `pid`, redirected to /dev/null) would take the device from the whole host.
fn pin_devices() -> Result<(), String> {
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        match bind(&path, &path) {
            // A host without it has nothing to lose.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|e| words(format!("keep {} from being removed", path.display()), e))?,
        }
    }
    Ok(())
}

/// The file must exist on the host to be covered; a link (systemd-resolved makes one) is followed.
fn bind(source: &Path, target: &Path) -> io::Result<()> {
    let target = fs::canonicalize(target)?;
    mount(Some(source), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}

fn contents(unit: &Unit) -> Vec<(&'static str, String)> {
    let spec = &unit.spec;
    let mut files = vec![("hostname", format!("{}\n", spec.hostname))];
    if spec.network_mode == "host" {
        return files;
    }
    let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    if let Some(ip) = spec.ip {
        hosts.push_str(&format!("{ip} {} {}\n", spec.hostname, spec.name));
    }
    files.push(("hosts", hosts));
    if spec.network_mode == "managed" {
        files.push(("resolv.conf", resolv_conf(unit)));
    }
    files
}

fn resolv_conf(unit: &Unit) -> String {
    let mut text = format!("nameserver {}\n", unit.spec.dns_ip);
    if !unit.spec.dns_search.is_empty() {
        text.push_str(&format!("search {}\n", unit.spec.dns_search.join(" ")));
    }
    text
}
