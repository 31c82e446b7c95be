//! Why no host fits, in words: each host counted at the first filter it fails.

use std::collections::BTreeMap;

use remuda_api::spec::RuntimeKind;

use super::{Candidate, Lack, Pin, Wish};

/// `0/3 hosts: 3 lack label zone=b`; when room alone is missing everywhere, how much.
pub(super) fn in_words(wish: &Wish, hosts: &[Candidate], lacks: &[Option<Lack>]) -> String {
    let asked: Vec<(&Candidate, &Lack)> =
        hosts.iter().zip(lacks.iter().flatten()).filter(|(_, lack)| **lack != Lack::Other).collect();
    if let Some(data) = &wish.data {
        return about_data(wish, data, &asked);
    }
    if asked.is_empty() {
        return "0/0 hosts: none has joined; `remuda token create` on the server prints the line to paste".into();
    }
    counted(wish, &asked)
}

/// `volume shop_data is on h2, which is dead`: one host is asked, the one that has it.
fn about_data(wish: &Wish, data: &Pin, asked: &[(&Candidate, &Lack)]) -> String {
    let place = format!("volume {} is on {}", data.volume, data.host);
    match asked.first() {
        None => format!(
            "{place}, which left the fleet: let it join again under its name, or give the data up with `remuda volume rm {}`",
            data.volume
        ),
        Some((_, Lack::NotReady(state))) => format!("{place}, which is {state}"),
        Some((_, Lack::Availability(word))) => format!("{place}, which is not active ({word})"),
        Some(_) => format!("{place}: {}", counted(wish, asked)),
    }
}

fn counted(wish: &Wish, asked: &[(&Candidate, &Lack)]) -> String {
    let mut counts: BTreeMap<&Lack, usize> = BTreeMap::new();
    asked.iter().for_each(|(_, lack)| *counts.entry(lack).or_default() += 1);
    let room = [(Lack::Cpu, cpu_words(wish, asked)), (Lack::Memory, memory_words(wish, asked))];
    if let Some((_, words)) = room.iter().find(|(lack, _)| counts.get(lack) == Some(&asked.len())) {
        return words.clone();
    }
    let parts: Vec<String> = counts
        .iter()
        .map(|(lack, count)| match lack {
            Lack::Cpu => format!("{count} {}", room[0].1),
            Lack::Memory => format!("{count} {}", room[1].1),
            other => format!("{count} {}", words(other)),
        })
        .collect();
    format!("0/{} hosts: {}", asked.len(), parts.join(", "))
}

fn words(lack: &Lack) -> String {
    match lack {
        Lack::NotReady(state) => format!("not ready ({state})"),
        Lack::Availability(word) => format!("not active ({word})"),
        Lack::Runtime(RuntimeKind::Docker) => "have no docker engine".into(),
        Lack::Runtime(RuntimeKind::Process) => "cannot run containers under runtime process".into(),
        Lack::Constraint(words) => words.clone(),
        Lack::Leftover => "still stopping the container of this name that was moved away".into(),
        Lack::MaxPerHost => "at max_replicas_per_node".into(),
        Lack::Port(port, holder) => format!("port {port} held by {holder}"),
        Lack::Cpu | Lack::Memory | Lack::Other => String::new(),
    }
}

fn cpu_words(wish: &Wish, asked: &[(&Candidate, &Lack)]) -> String {
    let best = best(asked, &Lack::Cpu, Candidate::free_cpu_milli);
    format!("cpu: needs {}, best host has {} free", cores(wish.claim.cpu_milli), cores(best))
}

fn memory_words(wish: &Wish, asked: &[(&Candidate, &Lack)]) -> String {
    let best = best(asked, &Lack::Memory, Candidate::free_memory_bytes);
    format!("memory: needs {}, best host has {} free", bytes(wish.claim.memory_bytes), bytes(best))
}

fn best(asked: &[(&Candidate, &Lack)], of: &Lack, free: impl Fn(&Candidate) -> u64) -> u64 {
    asked.iter().filter(|(_, lack)| *lack == of).map(|(host, _)| free(host)).max().unwrap_or(0)
}

fn cores(milli: u64) -> String {
    let text = format!("{}.{:03}", milli / 1000, milli % 1000);
    let short = text.trim_end_matches('0').trim_end_matches('.');
    format!("{short} cpu")
}

/// `1 GiB`, `1 GB`, `1.5 GiB`, `0`: the unit that divides it, else binary with one digit.
pub fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 6] =
        [(1 << 30, "GiB"), (1_000_000_000, "GB"), (1 << 20, "MiB"), (1_000_000, "MB"), (1 << 10, "KiB"), (1000, "kB")];
    if count == 0 {
        return "0".into();
    }
    if let Some((unit, name)) = UNITS.iter().find(|(unit, _)| count.is_multiple_of(*unit)) {
        return format!("{} {name}", count / unit);
    }
    let (unit, name) = UNITS.iter().step_by(2).find(|(unit, _)| count >= *unit).unwrap_or(&(1, "bytes"));
    format!("{:.1} {name}", count as f64 / *unit as f64)
}

/// The word the API uses for a state.
pub(super) fn kebab(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "unknown".into(),
    }
}
