//! What travels along while a stack is read: inputs, the report, budgets, and what to check once all services are known.

use std::collections::{BTreeMap, BTreeSet};

use remuda_api::spec::Protocol;

use crate::Sources;
use crate::limits::{EXPANDED_MAX_BYTES, PORTS_MAX};
use crate::report::{Place, Report};

pub(crate) struct Context<'a> {
    pub sources: &'a Sources<'a>,
    pub env: &'a BTreeMap<String, String>,
    pub stack: &'a str,
    /// Absolute paths of files that files name.
    pub wanted: BTreeSet<String>,
    pub report: Report,
    /// What may still be built from the files, bytes.
    pub bytes_left: usize,
    /// Ports the stack may still name.
    pub ports_left: usize,
    pub references: References,
}

/// Mentions of other things of the stack, to be looked up when everything is read.
#[derive(Default)]
pub(crate) struct References {
    /// Network names services attach to.
    pub networks: Vec<(String, Place)>,
    pub depends_on: Vec<Dependency>,
    pub published: Vec<Published>,
    pub targets: Vec<Target>,
}

/// A service of this stack that a balancer leads to.
pub(crate) struct Target {
    pub service: String,
    pub place: Place,
}

pub(crate) struct Dependency {
    pub from: String,
    pub to: String,
    /// `required: false` was not said.
    pub is_required: bool,
    pub place: Place,
}

pub(crate) struct Published {
    pub port: u16,
    pub protocol: Protocol,
    pub service: String,
    pub place: Place,
}

impl<'a> Context<'a> {
    pub(crate) fn new(sources: &'a Sources<'a>) -> Self {
        Self {
            sources,
            env: sources.env,
            stack: sources.stack,
            wanted: BTreeSet::new(),
            report: Report::default(),
            bytes_left: EXPANDED_MAX_BYTES,
            ports_left: PORTS_MAX,
            references: References::default(),
        }
    }

    /// Takes `bytes` from the budget; false when it is spent.
    pub(crate) fn spend(&mut self, bytes: usize) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or(0);
        left.is_some()
    }
}
