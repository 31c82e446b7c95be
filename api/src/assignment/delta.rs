//! What changed of an assignment between two generations: whole records that are new or different, and keys of those
//! that are gone.

use serde::{Deserialize, Serialize};

use super::{Assignment, Check, Container, Endpoint, Environment, Fleet, Node, Service};

/// From one generation to the next.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delta {
    #[prost(uint64, tag = "1")]
    pub from: u64,
    #[prost(uint64, tag = "2")]
    pub to: u64,
    #[prost(message, optional, tag = "3")]
    pub fleet: Option<Fleet>,
    #[prost(message, optional, tag = "4")]
    pub environment: Option<Environment>,
    #[prost(message, repeated, tag = "5")]
    pub nodes: Vec<Node>,
    #[prost(message, repeated, tag = "6")]
    pub services: Vec<Service>,
    #[prost(message, repeated, tag = "7")]
    pub endpoints: Vec<Endpoint>,
    #[prost(message, repeated, tag = "8")]
    pub containers: Vec<Container>,
    #[prost(uint32, repeated, tag = "9")]
    pub removed_nodes: Vec<u32>,
    #[prost(uint32, repeated, tag = "10")]
    pub removed_services: Vec<u32>,
    #[prost(uint32, repeated, tag = "11")]
    pub removed_endpoints: Vec<u32>,
    #[prost(string, repeated, tag = "12")]
    pub removed_containers: Vec<String>,
    #[prost(message, repeated, tag = "13")]
    pub checks: Vec<Check>,
    #[prost(uint32, repeated, tag = "14")]
    pub removed_checks: Vec<u32>,
}

/// Why a delta was not applied; the agent asks for a full assignment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error("delta starts from generation {from}, this host holds {held}")]
    DoesNotChain { from: u64, held: u64 },
}

impl Assignment {
    /// This assignment one delta later. Nothing changes on error.
    pub fn apply(&mut self, delta: Delta) -> Result<(), ApplyError> {
        if delta.from != self.generation {
            return Err(ApplyError::DoesNotChain { from: delta.from, held: self.generation });
        }
        merge(&mut self.nodes, delta.nodes, &delta.removed_nodes);
        merge(&mut self.services, delta.services, &delta.removed_services);
        merge(&mut self.endpoints, delta.endpoints, &delta.removed_endpoints);
        merge(&mut self.containers, delta.containers, &delta.removed_containers);
        merge(&mut self.checks, delta.checks, &delta.removed_checks);
        self.fleet = delta.fleet.or(self.fleet.take());
        self.environment = delta.environment.or(self.environment.take());
        self.generation = delta.to;
        Ok(())
    }

    /// The delta that leads from `self` to `next`; records are sorted by key in both.
    pub fn delta_to(&self, next: &Assignment) -> Delta {
        let (nodes, removed_nodes) = diff(&self.nodes, &next.nodes);
        let (services, removed_services) = diff(&self.services, &next.services);
        let (endpoints, removed_endpoints) = diff(&self.endpoints, &next.endpoints);
        let (containers, removed_containers) = diff(&self.containers, &next.containers);
        let (checks, removed_checks) = diff(&self.checks, &next.checks);
        Delta {
            from: self.generation,
            to: next.generation,
            fleet: changed(&self.fleet, &next.fleet),
            environment: changed(&self.environment, &next.environment),
            nodes,
            services,
            endpoints,
            containers,
            removed_nodes,
            removed_services,
            removed_endpoints,
            removed_containers,
            checks,
            removed_checks,
        }
    }

    /// Records in key order, as [`Assignment::delta_to`] and [`Assignment::apply`] need them.
    pub fn sort(&mut self) {
        self.nodes.sort_by_key(Keyed::key);
        self.services.sort_by_key(Keyed::key);
        self.endpoints.sort_by_key(Keyed::key);
        self.containers.sort_by_key(Keyed::key);
        self.checks.sort_by_key(Keyed::key);
    }
}

impl Delta {
    /// Nothing but the number changes.
    pub fn is_empty(&self) -> bool {
        *self == Delta { from: self.from, to: self.to, ..Delta::default() }
    }
}

/// A record with a key unique among its kind.
trait Keyed: Clone + PartialEq {
    type Key: Ord + Clone;
    fn key(&self) -> Self::Key;
}

macro_rules! keyed {
    ($($record:ty, $field:ident: $key:ty;)*) => { $(
        impl Keyed for $record {
            type Key = $key;
            fn key(&self) -> $key {
                self.$field.clone()
            }
        }
    )* };
}
keyed! {
    Node, id: u32;
    Service, id: u32;
    Endpoint, id: u32;
    Container, name: String;
    Check, endpoint_id: u32;
}

fn merge<R: Keyed>(held: &mut Vec<R>, upserts: Vec<R>, removed: &[R::Key]) {
    for key in removed {
        if let Ok(at) = held.binary_search_by_key(key, Keyed::key) {
            held.remove(at);
        }
    }
    for record in upserts {
        match held.binary_search_by_key(&record.key(), Keyed::key) {
            Ok(at) => held[at] = record,
            Err(at) => held.insert(at, record),
        }
    }
}

fn diff<R: Keyed>(old: &[R], new: &[R]) -> (Vec<R>, Vec<R::Key>) {
    let find = |set: &[R], key: &R::Key| set.binary_search_by_key(key, Keyed::key).ok();
    let upserts = new.iter().filter(|r| find(old, &r.key()).is_none_or(|at| old[at] != **r)).cloned().collect();
    let removed = old.iter().map(Keyed::key).filter(|key| find(new, key).is_none()).collect();
    (upserts, removed)
}

fn changed<T: Clone + PartialEq>(old: &Option<T>, new: &Option<T>) -> Option<T> {
    if old == new { None } else { new.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Assignment {
        Assignment {
            generation: 4,
            node_id: 1,
            nodes: vec![Node { id: 1, name: "h1".into(), ..Node::default() }],
            services: (1..4).map(|id| Service { id, ..Service::default() }).collect(),
            ..Assignment::default()
        }
    }

    #[test]
    fn a_delta_leads_from_the_old_set_to_the_new_one() {
        let old = held();
        let mut new = held();
        new.generation = 9;
        new.services.remove(0);
        new.services[0].vip = "10.43.0.7".into();
        new.endpoints.push(Endpoint { id: 3, ..Endpoint::default() });
        new.environment = Some(Environment { id: 1, ..Environment::default() });
        let delta = old.delta_to(&new);
        assert_eq!(delta.removed_services, [1]);
        assert_eq!(delta.services.len(), 1, "only the service that changed travels");
        let mut got = old.clone();
        got.apply(delta).expect("it chains");
        assert_eq!(got, new);
    }

    #[test]
    fn a_delta_that_does_not_start_here_is_refused_and_changes_nothing() {
        let mut got = held();
        let error = got.apply(Delta { from: 3, to: 5, removed_nodes: vec![1], ..Delta::default() });
        assert_eq!(error, Err(ApplyError::DoesNotChain { from: 3, held: 4 }));
        assert_eq!(got, held());
    }

    #[test]
    fn the_delta_between_equal_sets_is_empty() {
        assert!(held().delta_to(&held()).is_empty());
    }
}
