//! What a name means to an asker: every naming rule of the fleet, as data.
//!
//! | Question | Asked by | Answer |
//! |---|---|---|
//! | `service` | its stack; else askers on one of its networks | members (or VIP with `endpoint_mode: vip`) |
//! | an alias | askers on the network that carries it | the same |
//! | `service.stack` | everyone of the environment | the same |
//! | `vip.service[.stack]` | as above | the VIP |
//! | `tasks.service[.stack]` | as above | members, always |
//! | a balancer's name | as a service's | its VIP: it has no members |
//! | an external service's | as a service's | the addresses it leads to, or CNAME and what is found behind that |
//! | `<stack>-<service>-<n>[.stack]` | everyone | that container while it serves |
//! | any of these with `.stack` and `.<env>.remuda.internal` | everyone | the same |
//! | address in a pool, reversed | everyone | full name of the container or VIP |
//! | `localhost`, `*.localhost` | everyone | 127.0.0.1, ::1 |
//! | `invalid`, `*.invalid` | everyone | does not exist |
//! | anything else | everyone | forwarded; does not exist for containers on `internal` networks |
//!
//! Members are those that serve, in an order drawn anew for each answer. A name that exists but has nothing to give
//! (no healthy member, another type) is NODATA with the SOA, never NXDOMAIN: a resolver that caches "no such name"
//! for AAAA would take the A away too. A VIP is answered even while nobody serves behind it: the kernel refuses the
//! connection at once, and the name keeps its one answer.
//!
//! Which foreign-looking names are ours: a stack's own name (exists, empty: RFC 8020, else a resolver that hears
//! NXDOMAIN for `shop` may conclude that `web.shop` is gone too), everything one label below it, and below its
//! services. Deeper names are forwarded, so that a stack called `dev` does not take `pkg.go.dev` away.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::message::{A, AAAA, ANY, AXFR, CLASS_IN, CNAME, IXFR, NS, OPT, PTR, Rcode, SERVER_LABEL, SOA};
use crate::question::Query;
use crate::view::{Asker, Service, View};

/// What to do with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    Answer(Answer),
    /// Not ours: the host's resolvers know better.
    Forward,
    /// Ours, and leads to this name, without the final dot: what stands there belongs into the answer, too.
    Alias(String),
}

/// An answer before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub rcode: Rcode,
    /// In the order to send; every owner is the question.
    pub records: Vec<Record>,
    /// SOA in the authority section, owned by the question's last so many labels.
    pub soa_labels: Option<usize>,
    pub is_authoritative: bool,
}

/// Data of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    /// Full name, no final dot.
    Ptr(String),
    /// Full name, no final dot.
    Cname(String),
    Ns,
    Soa,
    /// HINFO "RFC8482": all that type ANY gets.
    Minimal,
}

/// The answer to `query` for `asker`; `seed` decides the order of addresses, every order equally likely.
pub fn answer(view: &View, asker: &Asker, query: &Query, seed: u64) -> Decision {
    if let Some(rcode) = refusal(query) {
        return Decision::Answer(Answer { rcode, records: Vec::new(), soa_labels: None, is_authoritative: false });
    }
    let labels: Vec<&[u8]> = query.name.labels().collect();
    let (found, soa_labels) = find(view, asker, &labels);
    match found {
        Found::Foreign if asker.is_internal => Decision::Answer(Answer {
            rcode: Rcode::NxDomain,
            records: Vec::new(),
            soa_labels: None, // we cannot speak for that zone; without SOA nobody caches it (RFC 2308, 5)
            is_authoritative: false,
        }),
        Found::Foreign => Decision::Forward,
        // Who may not learn of the world outside hears the name alone, and nothing of what stands there.
        Found::Alias(name) if ![CNAME, ANY].contains(&query.kind) && !asker.is_internal => {
            Decision::Alias(name.to_owned())
        }
        Found::Missing => Decision::Answer(ours(Rcode::NxDomain, Vec::new(), soa_labels)),
        found => Decision::Answer(ours(Rcode::NoError, records(found, query.kind, seed), soa_labels)),
    }
}

fn ours(rcode: Rcode, records: Vec<Record>, soa_labels: usize) -> Answer {
    let soa_labels = records.is_empty().then_some(soa_labels);
    Answer { rcode, records, soa_labels, is_authoritative: true }
}

/// Queries that no name can save.
fn refusal(query: &Query) -> Option<Rcode> {
    match query {
        Query { edns: Some(edns), .. } if edns.version > 0 => Some(Rcode::BadVers),
        Query { kind: OPT, .. } => Some(Rcode::FormErr),
        Query { class, .. } if *class != CLASS_IN => Some(Rcode::Refused),
        Query { kind: AXFR | IXFR, .. } => Some(Rcode::Refused),
        _ => None,
    }
}

/// What stands behind a name.
enum Found<'v> {
    Addresses(Vec<IpAddr>),
    Name(&'v str),
    /// Another name, which has all the rest.
    Alias(&'v str),
    Apex,
    /// Exists with nothing of its own: a stack, an environment.
    Empty,
    Missing,
    Foreign,
}

fn records(found: Found, kind: u16, seed: u64) -> Vec<Record> {
    match (kind, found) {
        (ANY, _) => vec![Record::Minimal],
        (A | AAAA, Found::Addresses(ips)) => {
            let mut of_kind: Vec<Record> =
                ips.into_iter().map(address).filter(|record| kind_is(record, kind)).collect();
            shuffle(&mut of_kind, seed);
            of_kind
        }
        (_, Found::Alias(name)) => vec![Record::Cname(name.to_owned())],
        (PTR, Found::Name(name)) => vec![Record::Ptr(name.to_owned())],
        (SOA, Found::Apex) => vec![Record::Soa],
        (NS, Found::Apex) => vec![Record::Ns],
        _ => Vec::new(),
    }
}

fn address(ip: IpAddr) -> Record {
    match ip {
        IpAddr::V4(ip) => Record::A(ip),
        IpAddr::V6(ip) => Record::Aaaa(ip),
    }
}

fn kind_is(record: &Record, kind: u16) -> bool {
    matches!((record, kind), (Record::A(_), A) | (Record::Aaaa(_), AAAA))
}

/// Fisher-Yates over SplitMix64; the bias of 64-bit multiplication is below 2^-50 for any list that fits a message.
fn shuffle<T>(list: &mut [T], mut seed: u64) {
    for last in (1..list.len()).rev() {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = seed;
        drawn = (drawn ^ drawn >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ drawn >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^= drawn >> 31;
        let chosen = (u128::from(drawn) * (last as u128 + 1)) >> 64;
        list.swap(last, chosen as usize);
    }
}

/// What `labels` mean to `asker`, and how many of them name the zone that says so.
fn find<'v>(view: &'v View, asker: &Asker, labels: &[&[u8]]) -> (Found<'v>, usize) {
    match labels {
        [] => (Found::Foreign, 0),
        [.., b"localhost"] => (Found::Addresses(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]), 1),
        [.., b"invalid"] => (Found::Missing, 1),
        [inside @ .., b"remuda", b"internal"] => (in_zone(view, inside), 2),
        [reversed @ .., b"in-addr", b"arpa"] => in_reverse(view, reversed),
        _ => (relative(view, asker, labels), 1),
    }
}

/// Names below `remuda.internal`: never forwarded, whoever asks.
fn in_zone<'v>(view: &'v View, inside: &[&[u8]]) -> Found<'v> {
    match inside {
        [] => Found::Apex,
        [.., environment] if **environment == *view.environment => in_environment(view, &inside[..inside.len() - 1]),
        [server] if *server == SERVER_LABEL.as_bytes() => Found::Addresses(view.dns_ip.into_iter().collect()),
        _ => Found::Missing,
    }
}

fn in_environment<'v>(view: &'v View, inside: &[&[u8]]) -> Found<'v> {
    match inside {
        [] => Found::Empty,
        [name] => match view.container(name) {
            Some(ip) => Found::Addresses(ip.into_iter().collect()),
            None if view.has_stack(name) => Found::Empty,
            None => Found::Missing,
        },
        _ => in_stack(view, inside).unwrap_or(Found::Missing),
    }
}

/// Names whose last label is a stack.
fn in_stack<'v>(view: &'v View, labels: &[&[u8]]) -> Option<Found<'v>> {
    let addresses = match labels {
        [name, stack] => match view.service(name, stack) {
            Some(Service { alias: Some(name), .. }) => return Some(Found::Alias(name)),
            Some(service) => plain(service),
            None => view.container_of(name, stack)?.into_iter().collect(),
        },
        [b"vip", name, stack] => view.service(name, stack)?.vip.into_iter().collect(),
        [b"tasks", name, stack] => view.service(name, stack)?.members.clone(),
        _ => return None,
    };
    Some(Found::Addresses(addresses))
}

/// Names without the zone: completed from the asker's stack and networks, then as `….stack`, else foreign.
fn relative<'v>(view: &'v View, asker: &Asker, labels: &[&[u8]]) -> Found<'v> {
    in_asker_scope(view, asker, labels).or_else(|| in_stack(view, labels)).unwrap_or_else(|| match labels {
        [stack] if view.has_stack(stack) => Found::Empty,
        [_, stack] if view.has_stack(stack) => Found::Missing,
        [_, service, stack] if view.service(service, stack).is_some() => Found::Missing,
        [b"vip" | b"tasks", _, stack] if view.has_stack(stack) => Found::Missing,
        _ => Found::Foreign,
    })
}

fn in_asker_scope<'v>(view: &'v View, asker: &Asker, labels: &[&[u8]]) -> Option<Found<'v>> {
    let (name, pick): (_, fn(&Service) -> Vec<IpAddr>) = match labels {
        [name] => (name, plain),
        [b"vip", name] => (name, |service| service.vip.into_iter().collect()),
        [b"tasks", name] => (name, |service| service.members.clone()),
        _ => return None,
    };
    let services = view.bare_services(asker, name);
    if services.is_empty() {
        let container = if labels.len() == 1 { view.container(name)? } else { return None };
        return Some(Found::Addresses(container.into_iter().collect()));
    }
    // One name cannot have a CNAME and anything else: where several services share it, those with addresses count.
    if let ([_], [Service { alias: Some(alias), .. }]) = (labels, services.as_slice()) {
        return Some(Found::Alias(alias));
    }
    let mut ips: Vec<IpAddr> = Vec::new();
    for ip in services.into_iter().flat_map(pick) {
        if !ips.contains(&ip) {
            ips.push(ip);
        }
    }
    Some(Found::Addresses(ips))
}

/// What the plain name of a service answers.
fn plain(service: &Service) -> Vec<IpAddr> {
    match service.vip {
        Some(vip) if service.answers_vip => vec![vip],
        _ => service.members.clone(),
    }
}

/// `labels` are the octets of an address, last first. Ours inside the fleet's pools, foreign elsewhere.
fn in_reverse<'v>(view: &'v View, labels: &[&[u8]]) -> (Found<'v>, usize) {
    let Some(octets) = octets(labels) else { return (Found::Foreign, 0) };
    let ip = IpAddr::from(octets);
    let Some(pool) = view.pool_of(ip) else { return (Found::Foreign, 0) };
    let found = match view.name_of(ip) {
        Some(name) => Found::Name(name),
        None => Found::Missing,
    };
    (found, 2 + usize::from(pool.prefix() / 8))
}

fn octets(labels: &[&[u8]]) -> Option<[u8; 4]> {
    let mut octets = [0; 4];
    if labels.len() != octets.len() {
        return None;
    }
    for (octet, label) in octets.iter_mut().zip(labels.iter().rev()) {
        *octet = std::str::from_utf8(label).ok()?.parse().ok()?;
    }
    Some(octets)
}
