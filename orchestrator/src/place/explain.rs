//! Why no host fits, in words: each host counted at the first filter it fails.

use std::collections::BTreeMap;

use remuda_api::spec::RuntimeKind;

use super::{Candidate, Lack, Pin, Wish};

/// Holders of a port that are named; the rest is counted.
const HOLDERS_MAX: usize = 3;

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
            "{place}, which left the fleet; a host of its name may be a new machine: give the volume up with `remuda volume rm {}`",
            data.volume
        ),
        Some((_, Lack::NotReady(state))) => format!("{place}, which is {state}"),
        Some((_, Lack::Availability(word))) => format!("{place}, which is not active ({word})"),
        Some(_) => format!("{place}: {}", counted(wish, asked)),
    }
}

fn counted(wish: &Wish, asked: &[(&Candidate, &Lack)]) -> String {
    // Who holds a port differs from host to host: counted by port, told by host.
    let kind = |lack: &Lack| match lack {
        Lack::Port(port, _) => Lack::Port(*port, String::new()),
        other => other.clone(),
    };
    let mut by_kind: BTreeMap<Lack, Vec<(&Candidate, &Lack)>> = BTreeMap::new();
    asked.iter().for_each(|(host, lack)| by_kind.entry(kind(lack)).or_default().push((*host, *lack)));
    let room = [(Lack::Cpu, cpu_words(wish, asked)), (Lack::Memory, memory_words(wish, asked))];
    let is_everywhere = |lack: &Lack| by_kind.get(lack).is_some_and(|hosts| hosts.len() == asked.len());
    if let Some((_, words)) = room.iter().find(|(lack, _)| is_everywhere(lack)) {
        return words.clone();
    }
    let part = |(lack, hosts): (&Lack, &Vec<(&Candidate, &Lack)>)| {
        let words = match lack {
            Lack::Cpu => room[0].1.clone(),
            Lack::Memory => room[1].1.clone(),
            Lack::Port(port, _) => format!("port {port} held by {}", holders(hosts)),
            other => words(other),
        };
        format!("{} {words}", hosts.len())
    };
    let parts: Vec<String> = by_kind.iter().map(part).collect();
    format!("0/{} hosts: {}", asked.len(), parts.join(", "))
}

/// `nginx on h1, shop-web-2 on h2 and 7 more`.
fn holders(hosts: &[(&Candidate, &Lack)]) -> String {
    let name = |(host, lack): &(&Candidate, &Lack)| match lack {
        Lack::Port(_, holder) => format!("{holder} on {}", host.name),
        _ => host.name.clone(),
    };
    let named: Vec<String> = hosts.iter().take(HOLDERS_MAX).map(name).collect();
    let more = hosts.len().saturating_sub(HOLDERS_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
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
        Lack::Port(..) | Lack::Cpu | Lack::Memory | Lack::Other => String::new(),
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
