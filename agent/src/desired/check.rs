//! Collects everything that is wrong with an assignment, naming record and field.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use ipnetwork::Ipv4Network;
use remuda_api::assignment::Assignment;
use remuda_api::names::check_label;

use super::Problem;

/// Endpoint ids are 24 bits on the wire.
const ENDPOINT_ID_MAX: u32 = (1 << 24) - 1;
/// More would flood a log and help nobody.
const PROBLEMS_MAX: usize = 100;

/// The problems so far.
#[derive(Default)]
pub(super) struct Checker {
    problems: Vec<Problem>,
}

/// Checks the fields of one record. A field that is wrong yields a harmless value: the whole is refused anyway.
pub(super) struct Record<'a> {
    checker: &'a mut Checker,
    name: String,
}

impl Checker {
    pub(super) fn record(&mut self, name: impl Into<String>) -> Record<'_> {
        Record { checker: self, name: name.into() }
    }

    pub(super) fn done(self) -> Result<(), Vec<Problem>> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }

    /// No two records of a kind may share their key, and no two endpoints an overlay address.
    pub(super) fn unique_keys(&mut self, assignment: &Assignment) {
        self.unique("nodes", "id", assignment.nodes.iter().map(|r| r.id));
        self.unique("nodes", "underlay_ip", assignment.nodes.iter().map(|r| &r.underlay_ip));
        self.unique("services", "id", assignment.services.iter().map(|r| r.id));
        let vips = assignment.services.iter().map(|r| &r.vip).filter(|vip| !vip.is_empty());
        self.unique("services", "vip", vips);
        self.unique("endpoints", "id", assignment.endpoints.iter().map(|r| r.id));
        self.unique("endpoints", "name", assignment.endpoints.iter().map(|r| &r.name));
        let own_ips = assignment.endpoints.iter().filter(|r| !r.host_network && !r.ip.is_empty()).map(|r| &r.ip);
        self.unique("endpoints", "ip", own_ips);
        self.unique("checks", "endpoint_id", assignment.checks.iter().map(|r| r.endpoint_id));
        self.unique("containers", "name", assignment.containers.iter().map(|r| &r.name));
        let ips = assignment.containers.iter().map(|r| &r.ip).filter(|ip| !ip.is_empty());
        self.unique("containers", "ip", ips);
    }

    fn unique<K: Ord + Display>(&mut self, records: &str, field: &'static str, keys: impl Iterator<Item = K>) {
        let mut seen = BTreeSet::new();
        for key in keys {
            let text = key.to_string();
            if !seen.insert(key) {
                self.record(records).problem(field, format!("{text} occurs twice"));
            }
        }
    }
}

impl Record<'_> {
    pub(super) fn problem(&mut self, field: &'static str, what: impl Into<String>) {
        if self.checker.problems.len() < PROBLEMS_MAX {
            self.checker.problems.push(Problem { record: self.name.clone(), field, what: what.into() });
        }
    }

    pub(super) fn ip(&mut self, field: &'static str, text: &str) -> Ipv4Addr {
        match text.parse::<Ipv4Addr>() {
            Ok(ip) if !ip.is_unspecified() => ip,
            _ => {
                self.problem(field, format!("is {text:?}: write an IPv4 address such as 10.42.0.5"));
                Ipv4Addr::UNSPECIFIED
            }
        }
    }

    pub(super) fn network(&mut self, field: &'static str, text: &str) -> Ipv4Network {
        match text.parse::<Ipv4Network>() {
            Ok(network) if network.network() == network.ip() && text.contains('/') => network,
            _ => {
                self.problem(field, format!("is {text:?}: write a CIDR block such as 10.42.0.0/26, host bits 0"));
                Ipv4Network::from(Ipv4Addr::UNSPECIFIED)
            }
        }
    }

    pub(super) fn range(&mut self, field: &'static str, value: u32, range: RangeInclusive<u32>) -> u32 {
        if range.contains(&value) {
            return value;
        }
        self.problem(field, format!("is {value}: allowed are {} to {}", range.start(), range.end()));
        *range.start()
    }

    /// A time that must pass.
    pub(super) fn positive(&mut self, field: &'static str, value_ms: u64) -> u64 {
        if value_ms == 0 {
            self.problem(field, "is 0: write milliseconds, at least 1");
        }
        value_ms.max(1)
    }

    pub(super) fn node_id(&mut self, field: &'static str, value: u32) -> u16 {
        self.range(field, value, 1..=u32::from(remuda_abi::route::NODE_ID_MAX)) as u16
    }

    pub(super) fn endpoint_id(&mut self, field: &'static str, value: u32) -> u32 {
        self.range(field, value, 1..=ENDPOINT_ID_MAX)
    }

    pub(super) fn port(&mut self, field: &'static str, value: u32) -> u16 {
        self.range(field, value, 1..=u32::from(u16::MAX)) as u16
    }

    /// The IP protocol number of `tcp` or `udp`.
    pub(super) fn protocol(&mut self, field: &'static str, name: &str) -> u8 {
        self.word(field, name, &[("tcp", 6), ("udp", 17)], 6)
    }

    /// One of a few words, and what it stands for.
    pub(super) fn word<T: Copy>(&mut self, field: &'static str, word: &str, known: &[(&str, T)], otherwise: T) -> T {
        if let Some((_, meaning)) = known.iter().find(|(name, _)| *name == word) {
            return *meaning;
        }
        let words: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        self.problem(field, format!("is {word:?}: allowed are {}", words.join(", ")));
        otherwise
    }

    pub(super) fn label(&mut self, field: &'static str, name: &str) {
        if let Err(error) = check_label(name) {
            self.problem(field, format!("{name:?} {error}"));
        }
    }
}
