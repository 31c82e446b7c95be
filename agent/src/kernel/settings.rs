//! Kernel settings we change in the host's namespace, with what they were, so that leaving restores them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::{Attempt, KernelError};
use super::flows::Namespace;
use crate::action::HostConfig;
use crate::durable;

/// Everything that cannot be read back from the kernel, kept in `DATA_DIR/kernel.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    #[serde(skip)]
    path: PathBuf,
    /// Written last: set only when every step of `SetHost` was done.
    pub(crate) host: Option<HostConfig>,
    /// What each setting was before us, by path under /proc/sys.
    settings: BTreeMap<String, Setting>,
    /// Ports we added to `ip_local_reserved_ports`, those reserved by others before not counted.
    reserved: BTreeSet<u16>,
    /// Where each local endpoint's sockets are, by its address.
    #[serde(default)]
    pub(crate) namespaces: BTreeMap<Ipv4Addr, Namespace>,
    /// We put the accept rules into Docker's user chain.
    pub(crate) docker_rule: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Setting {
    before: String,
    ours: String,
}

/// A damaged record is kept for people to look at.
fn set_aside(path: &Path, error: &serde_json::Error) -> Result<Record, KernelError> {
    let aside = path.with_extension("json.damaged");
    tracing::warn!(
        "{} is damaged ({error}) and now {}: `remuda leave` will not restore kernel settings that were changed before",
        path.display(),
        aside.display()
    );
    fs::rename(path, &aside).attempt(|| format!("rename {} to {}", path.display(), aside.display()))?;
    Ok(Record::default())
}

const RESERVED_PORTS: &str = "net/ipv4/ip_local_reserved_ports";

impl Record {
    /// Reads what an earlier agent noted; nothing noted is a fresh start, and so is what makes no sense: a host that
    /// cannot be left as it was found is better than one without an agent.
    pub(crate) fn open(data_dir: &Path) -> Result<Record, KernelError> {
        fs::create_dir_all(data_dir).attempt(|| format!("create {}", data_dir.display()))?;
        let path = data_dir.join("kernel.json");
        let mut record: Record = match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(record) => record,
                Err(error) => set_aside(&path, &error)?,
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(e) => return Err(e).attempt(|| format!("read {}", path.display())),
        };
        record.path = path;
        Ok(record)
    }

    pub(crate) fn save(&self) -> Result<(), KernelError> {
        let what = || format!("write {}", self.path.display());
        durable::write(&self.path, &serde_json::to_vec_pretty(self).attempt(what)?, 0o600).attempt(what)
    }

    pub(crate) fn forget(&self) -> Result<(), KernelError> {
        match fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(e).attempt(|| format!("remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Sets one value under /proc/sys. The old one is on disk before the new one is in the kernel.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), KernelError> {
        let before = read(name)?;
        if before == value {
            return Ok(());
        }
        if !self.settings.contains_key(name) {
            self.settings.insert(name.into(), Setting { before, ours: value.into() });
            self.save()?;
        }
        write(name, value)
    }

    /// Keeps the kernel from choosing these ports for outgoing connections; replaces our earlier list.
    pub(crate) fn reserve_ports(&mut self, wanted: &BTreeSet<u16>) -> Result<(), KernelError> {
        let Ok(current) = read(RESERVED_PORTS) else { return Ok(()) };
        let foreign: BTreeSet<u16> = ports(&current).difference(&self.reserved).copied().collect();
        let ours: BTreeSet<u16> = wanted.difference(&foreign).copied().collect();
        let all: BTreeSet<u16> = foreign.union(&ours).copied().collect();
        if ports(&current) == all && self.reserved == ours {
            return Ok(());
        }
        self.reserved.extend(&ours);
        self.save()?;
        write(RESERVED_PORTS, &ranges(&all))?;
        self.reserved = ours;
        self.save()
    }

    /// Puts back every value that is still as we left it.
    pub(crate) fn restore(&mut self) -> Result<(), KernelError> {
        self.reserve_ports(&BTreeSet::new())?;
        for (name, setting) in std::mem::take(&mut self.settings) {
            if read(&name).is_ok_and(|now| now == setting.ours) {
                write(&name, &setting.before)?;
            }
        }
        self.save()
    }
}

pub(crate) fn read(name: &str) -> Result<String, KernelError> {
    let path = Path::new("/proc/sys").join(name);
    let text = fs::read_to_string(&path).attempt(|| format!("read {}", path.display()))?;
    Ok(text.trim().to_string())
}

fn write(name: &str, value: &str) -> Result<(), KernelError> {
    let path = Path::new("/proc/sys").join(name);
    // An empty list is written as a newline: a write of nothing changes nothing.
    fs::write(&path, format!("{value}\n")).attempt(|| format!("write {value:?} to {}", path.display()))
}

/// `1-3,7` as a set; what cannot be read as ports is left out.
fn ports(list: &str) -> BTreeSet<u16> {
    let parts = list.split(',').map(str::trim).filter(|p| !p.is_empty());
    let bounds = parts.filter_map(|part| {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        Some((low.parse::<u16>().ok()?, high.parse::<u16>().ok()?))
    });
    bounds.flat_map(|(low, high)| low..=high).collect()
}

/// A set as the shortest list of ranges.
fn ranges(ports: &BTreeSet<u16>) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for &port in ports {
        match runs.last_mut() {
            Some((_, high)) if u32::from(*high) + 1 == u32::from(port) => *high = port,
            _ => runs.push((port, port)),
        }
    }
    let texts = runs.iter().map(|(low, high)| if low == high { low.to_string() } else { format!("{low}-{high}") });
    texts.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_record_is_set_aside_and_the_agent_goes_on_without_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut record = Record::open(dir.path()).expect("nothing noted");
        record.docker_rule = true;
        record.save().expect("written");
        assert!(Record::open(dir.path()).expect("whole").docker_rule);
        fs::write(dir.path().join("kernel.json"), "{\"host\": nu").expect("written");
        assert!(!Record::open(dir.path()).expect("a fresh start").docker_rule);
        let aside = fs::read_to_string(dir.path().join("kernel.json.damaged")).expect("kept");
        assert_eq!((aside.as_str(), dir.path().join("kernel.json").exists()), ("{\"host\": nu", false));
    }

    #[test]
    fn a_list_of_ports_survives_reading_and_writing() {
        for list in ["", "80", "1-3,7", "22,80-81,61000-65535"] {
            assert_eq!(ranges(&ports(list)), list);
        }
    }

    #[test]
    fn neighbouring_ports_become_one_range_and_nonsense_is_left_out() {
        assert_eq!(ranges(&ports("5,4, 6,x,70000,9-8")), "4-6");
    }
}
