//! What travels along while a stack is read: inputs, the report, budgets, and what to check once all services are known.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use remuda_api::spec::Protocol;

use crate::Sources;
use crate::field::Field;
use crate::limits::{EXPANDED_MAX_BYTES, NAMED_FILES_MAX, PORTS_MAX};
use crate::problem::{plain_shown, shown};
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
    /// Services none of whose profiles is active.
    pub left_out: BTreeSet<String>,
    /// Targets of the mounts of the service that is being read, with the lines they are at.
    pub mounted: HashMap<String, u32>,
    pub references: References,
}

/// Mentions of other things of the stack, to be looked up when everything is read.
#[derive(Default)]
pub(crate) struct References {
    /// Network names services attach to.
    pub networks: Vec<(String, Place)>,
    pub links: Vec<Link>,
    pub volumes: Vec<VolumeUse>,
    pub taken: Vec<Taken>,
    pub depends_on: Vec<Dependency>,
    pub published: Vec<Published>,
    pub targets: Vec<Target>,
    pub aliases: Vec<Alias>,
}

/// A name for other services of this stack.
pub(crate) struct Alias {
    pub name: String,
    pub targets: Vec<(String, Place)>,
    pub place: Place,
}

/// A service of this stack that a balancer leads to.
pub(crate) struct Target {
    pub service: String,
    pub place: Place,
}

/// A service wants another one under a name of its own.
pub(crate) struct Link {
    pub service: String,
    pub alias: String,
    pub place: Place,
}

/// A service mounts what another one does.
pub(crate) struct Taken {
    pub from: String,
    pub to: String,
    pub is_read_only: bool,
    pub place: Place,
}

/// A service mounts a volume.
pub(crate) struct VolumeUse {
    pub name: String,
    /// Of Compose 1's `volume_driver`.
    pub driver: Option<String>,
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
            left_out: BTreeSet::new(),
            mounted: HashMap::new(),
            references: References::default(),
        }
    }

    /// The text of a file that a file names at `field`; within, None when it does not exist. None when it cannot be read
    /// (reported) or too many are named.
    pub(crate) fn named_file(&mut self, path: &str, field: &Field) -> Option<Option<&'a str>> {
        if self.wanted.len() >= NAMED_FILES_MAX && !self.wanted.contains(path) {
            let message = format!("more than {NAMED_FILES_MAX} files are named: name fewer");
            field.problem(message, &mut self.report);
            return None;
        }
        self.wanted.insert(path.to_owned());
        match self.sources.named.get(path) {
            Some(Ok(text)) => Some(Some(text)),
            None => Some(None),
            Some(Err(why)) => {
                let message = format!("cannot read {}: {}", shown(path), plain_shown(why));
                field.problem(message, &mut self.report);
                None
            }
        }
    }

    /// Takes `bytes` from the budget; false when it is spent.
    pub(crate) fn spend(&mut self, bytes: usize) -> bool {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or(0);
        left.is_some()
    }
}
