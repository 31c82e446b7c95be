//! What the options of a volume lead to: data of the engine's own, memory, a server elsewhere, or anything of the host.
//!
//! Those of driver `local` are what mount(8) takes: a `type` decides nothing where `o` says `bind`, and a device is what
//! it says only in the shape of its type. What is not surely elsewhere is of the host.

use remuda_api::spec::VolumeSpec;

/// The driver of a volume that names none.
pub const LOCAL: &str = "local";
/// Words of `o` that make a mount one of what is there already, whatever its type; propagation goes with them.
const BINDING: [&str; 12] = [
    "bind",
    "rbind",
    "move",
    "remount",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
];

/// Where the data of a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a directory that the engine made.
    Own,
    Memory,
    /// A server that any host reaches.
    Network,
    /// Wherever on the host the options say.
    Host,
    /// Where a driver of another name puts it.
    Driver,
}

/// Where the data of a volume with these options is.
pub fn place(volume: &VolumeSpec) -> Place {
    let words = option(volume, "o").unwrap_or_default();
    let is_bound = words.split(',').any(|word| BINDING.contains(&word.trim().to_ascii_lowercase().as_str()));
    let device = option(volume, "device").unwrap_or_default();
    if volume.driver.as_deref().is_some_and(|driver| driver != LOCAL) {
        return Place::Driver;
    }
    match option(volume, "type").unwrap_or_default() {
        "" if device.is_empty() && words.is_empty() => Place::Own,
        _ if is_bound => Place::Host,
        "tmpfs" if !device.starts_with('/') => Place::Memory,
        "nfs" | "nfs4" | "ceph" | "glusterfs" if is_export(device) => Place::Network,
        "cifs" | "smb3" if is_share(device) => Place::Network,
        _ => Place::Host,
    }
}

/// What a volume leads to on its host, in words that hold nothing of `o`: that may be passwords.
pub fn host_path(volume: &VolumeSpec) -> Option<&str> {
    (place(volume) == Place::Host).then(|| option(volume, "device").unwrap_or("a file system"))
}

fn option<'a>(volume: &'a VolumeSpec, key: &str) -> Option<&'a str> {
    volume.driver_options.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

/// `host:/path`, `:/path` with the host in `addr=`.
fn is_export(device: &str) -> bool {
    device.split_once(":/").is_some_and(|(host, _)| !host.contains('/'))
}

/// `//host/share`.
fn is_share(device: &str) -> bool {
    let parts = device.strip_prefix("//").and_then(|rest| rest.split_once('/'));
    parts.is_some_and(|(host, share)| !host.is_empty() && !share.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &[(&str, &str)]) -> VolumeSpec {
        let driver_options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        VolumeSpec { driver_options, ..VolumeSpec::default() }
    }

    #[test]
    fn a_volume_is_of_the_host_unless_its_options_surely_lead_elsewhere() {
        let leads_to = |options: &[(&str, &str)]| host_path(&of(options)).map(str::to_owned);
        let bind = |device| leads_to(&[("type", "none"), ("o", "bind"), ("device", device)]);
        assert_eq!(["/etc", "//", ".", "etc"].map(bind), ["/etc", "//", ".", "etc"].map(|path| Some(path.to_owned())));
        assert_eq!(leads_to(&[("type", "proc"), ("device", "proc")]).as_deref(), Some("proc"));
        let overlay = leads_to(&[("type", "overlay"), ("device", "overlay"), ("o", "lowerdir=/etc:/root")]);
        assert_eq!(overlay.as_deref(), Some("overlay"));
        assert_eq!(leads_to(&[]), None);
        assert_eq!(leads_to(&[("type", "nfs"), ("o", "addr=10.0.0.9,rw"), ("device", ":/data")]), None);
        assert_eq!(leads_to(&[("type", "nfs4"), ("device", "nas:/data")]), None);
        assert_eq!(leads_to(&[("type", "cifs"), ("o", "password=x"), ("device", "//nas/data")]), None);
        assert_eq!(leads_to(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=64m")]), None);
    }

    #[test]
    fn a_bind_is_a_bind_whatever_its_type_says() {
        for words in ["bind", "rw,rbind", "ro, bind", "Bind", "move", "remount,rw", "rshared"] {
            for (kind, device) in [("tmpfs", "etc"), ("nfs", ":/etc"), ("cifs", "//etc/ssl"), ("", "/etc")] {
                let place = place(&of(&[("type", kind), ("o", words), ("device", device)]));
                assert_eq!(place, Place::Host, "{kind} {words} {device}");
            }
        }
    }

    #[test]
    fn a_device_of_another_shape_than_its_types_is_of_the_host() {
        for (kind, device) in
            [("tmpfs", "/etc"), ("nfs", "/etc"), ("nfs", "/a:/b"), ("nfs", ""), ("cifs", "//etc"), ("cifs", "/etc/x")]
        {
            assert_eq!(place(&of(&[("type", kind), ("device", device)])), Place::Host, "{kind} {device}");
        }
    }

    #[test]
    fn nothing_of_the_words_is_said_as_they_may_hold_passwords() {
        let secret = of(&[("type", "cifs"), ("o", "username=ann,password=hunter2")]);
        assert_eq!(host_path(&secret), Some("a file system"));
    }
}
