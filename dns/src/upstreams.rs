//! Which resolvers the host itself uses, as its files say now.

use std::fs::Metadata;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where queries for names that are not the fleet's go.
#[derive(Debug)]
pub struct Upstreams {
    /// `None`: a fixed list.
    files: Option<Files>,
    held: Mutex<Held>,
}

impl Upstreams {
    /// The host's own resolvers: `/etc/resolv.conf`, and where that names systemd-resolved's stub, the real ones
    /// behind it.
    pub fn host() -> Upstreams {
        Upstreams::from_files("/etc/resolv.conf".into(), "/run/systemd/resolve/resolv.conf".into())
    }

    /// The same from other files: `resolved` is read instead when `resolv_conf` names the stub 127.0.0.53.
    pub fn from_files(resolv_conf: PathBuf, resolved: PathBuf) -> Upstreams {
        Upstreams { files: Some(Files { resolv_conf, resolved }), held: Mutex::default() }
    }

    pub fn fixed(addresses: Vec<SocketAddr>) -> Upstreams {
        Upstreams { files: None, held: Mutex::new(Held { addresses: addresses.into(), read_from: None }) }
    }

    /// The resolvers to ask now, in order, without `ours` (asking ourselves would go round for ever). Two `stat` calls
    /// per look; the files are read again only when one of them changed.
    pub(crate) fn current(&self, ours: &[SocketAddr]) -> Arc<[SocketAddr]> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(files) = &self.files {
            let now = files.marks();
            if held.read_from != Some(now) {
                *held = Held { addresses: files.read(ours).into(), read_from: Some(now) };
            }
        }
        held.addresses.clone()
    }
}

#[derive(Debug)]
struct Files {
    resolv_conf: PathBuf,
    resolved: PathBuf,
}

#[derive(Debug, Default)]
struct Held {
    addresses: Arc<[SocketAddr]>,
    read_from: Option<[Option<Mark>; 2]>,
}

/// Tells one version of a file from another: device, inode, size, modification time in seconds and nanoseconds.
type Mark = (u64, u64, u64, i64, i64);

impl Files {
    fn marks(&self) -> [Option<Mark>; 2] {
        [&self.resolv_conf, &self.resolved].map(|path| std::fs::metadata(path).ok().as_ref().map(mark))
    }

    fn read(&self, ours: &[SocketAddr]) -> Vec<SocketAddr> {
        let named = nameservers(&read_start(&self.resolv_conf));
        let is_stub = named.iter().any(|server| RESOLVED_STUBS.contains(&server.ip()));
        let behind = if is_stub { nameservers(&read_start(&self.resolved)) } else { Vec::new() };
        let servers = if behind.is_empty() { named } else { behind };
        servers.into_iter().filter(|server| !ours.contains(server)).take(UPSTREAMS_MAX).collect()
    }
}

/// systemd-resolved's own listeners: it would answer, with one hop and one cache more.
const RESOLVED_STUBS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)), IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54))];
/// More than glibc's three, for resolved's per-link lists; an answer from the ninth would come too late anyway.
const UPSTREAMS_MAX: usize = 8;
/// A resolv.conf is a few lines; a runaway file must not fill our memory.
const FILE_BYTES_MAX: u64 = 64 << 10;
const DNS_PORT: u16 = 53;

fn mark(metadata: &Metadata) -> Mark {
    (metadata.dev(), metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec())
}

/// A file that cannot be read names nobody.
fn read_start(path: &Path) -> String {
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path);
    if let Err(cause) = opened.and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)) {
        tracing::warn!("cannot read {}: {cause}; its name servers are not used until it changes", path.display());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The `nameserver` lines of a resolv.conf, in order (resolv.conf(5)).
fn nameservers(text: &str) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()).flatten()
    });
    servers.filter_map(server_address).collect()
}

/// `192.0.2.1`, `2001:db8::1` or `fe80::1%eth0`.
fn server_address(text: &str) -> Option<SocketAddr> {
    match text.split_once('%') {
        None => text.parse().ok().map(|ip| SocketAddr::new(ip, DNS_PORT)),
        Some((ip, interface)) => {
            let ip: Ipv6Addr = ip.parse().ok()?;
            let scope = interface.parse().ok().or_else(|| nix::net::if_::if_nametoindex(interface).ok())?;
            Some(SocketAddrV6::new(ip, DNS_PORT, 0, scope).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(resolv_conf: &str, resolved: Option<&str>) -> (tempfile::TempDir, Upstreams) {
        let dir = tempfile::tempdir().expect("a directory");
        let [etc, run] = ["etc", "run"].map(|name| dir.path().join(name));
        std::fs::write(&etc, resolv_conf).expect("written");
        if let Some(text) = resolved {
            std::fs::write(&run, text).expect("written");
        }
        let upstreams = Upstreams::from_files(etc, run);
        (dir, upstreams)
    }

    fn asked(upstreams: &Upstreams) -> Vec<String> {
        let ours = ["169.254.169.250:53".parse().expect("an address")];
        upstreams.current(&ours).iter().map(|server| server.ip().to_string()).collect()
    }

    #[test]
    fn name_servers_are_asked_in_the_order_of_the_file_and_other_lines_are_passed_over() {
        let text = "# nameserver 192.0.2.9\nsearch example.org\nnameserver\t192.0.2.1\nnameserver nonsense\n\
                    nameserver 2001:db8::1 # second\nnameserver fe80::1%1\noptions edns0\n";
        assert_eq!(asked(&host(text, None).1), ["192.0.2.1", "2001:db8::1", "fe80::1"]);
    }

    #[test]
    fn behind_the_stub_of_systemd_resolved_the_real_servers_are_asked() {
        let (_dir, upstreams) = host("nameserver 127.0.0.53\n", Some("nameserver 192.0.2.7\nnameserver 192.0.2.8\n"));
        assert_eq!(asked(&upstreams), ["192.0.2.7", "192.0.2.8"]);
    }

    #[test]
    fn the_stub_itself_is_asked_when_the_servers_behind_it_are_unknown() {
        assert_eq!(asked(&host("nameserver 127.0.0.53\n", None).1), ["127.0.0.53"]);
    }

    #[test]
    fn we_never_ask_ourselves() {
        assert_eq!(asked(&host("nameserver 169.254.169.250\nnameserver 192.0.2.1\n", None).1), ["192.0.2.1"]);
    }

    #[test]
    fn a_changed_file_is_read_again_at_the_next_look_and_a_missing_one_names_nobody() {
        let (dir, upstreams) = host("nameserver 192.0.2.1\n", None);
        assert_eq!(asked(&upstreams), ["192.0.2.1"]);
        let next = dir.path().join("next");
        std::fs::write(&next, "nameserver 192.0.2.2\n").expect("written");
        std::fs::rename(&next, dir.path().join("etc")).expect("replaced");
        assert_eq!(asked(&upstreams), ["192.0.2.2"]);
        std::fs::remove_file(dir.path().join("etc")).expect("removed");
        assert!(asked(&upstreams).is_empty());
    }
}
