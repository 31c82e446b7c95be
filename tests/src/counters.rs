//! The kernel's own counters of a host, read from the pinned map.

use anyhow::{Context, Result};
use aya::maps::{Map, MapData, PerCpuArray};
use remuda_abi::counter::{Counter, DropReason};
use remuda_abi::names::{PIN_MAPS, map};
use remuda_lab::Lab;

/// How many packets this host has dropped for `reason`, over all CPUs.
pub fn dropped(lab: &Lab, host: &str, reason: DropReason) -> Result<u64> {
    read(lab, host, reason.index())
}

/// How often this host has counted `counter`, over all CPUs.
pub fn counted(lab: &Lab, host: &str, counter: Counter) -> Result<u64> {
    read(lab, host, counter.index())
}

fn read(lab: &Lab, host: &str, index: u32) -> Result<u64> {
    let path = lab.host(host)?.bpf_dir.join(PIN_MAPS).join(map::COUNTERS);
    let data = MapData::from_pin(&path).with_context(|| format!("opening {}", path.display()))?;
    let counters: PerCpuArray<_, u64> = Map::from_map_data(data)?.try_into()?;
    Ok(counters.get(&index, 0)?.iter().sum())
}
