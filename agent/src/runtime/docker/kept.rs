//! What the engine told last, on disk: an agent that starts while its engine is down (or being upgraded) still knows
//! the containers that run, and that there is an engine.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::container::Container;
use super::labels::{self, Role};
use super::record::Record;
use super::work::Shared;
use crate::durable;

/// In the data directory.
const FILE: &str = "docker.json";
/// Changes come in bursts; one writing is enough for each.
const BURST: Duration = Duration::from_millis(200);

/// Where it is kept.
pub(super) struct Kept {
    path: PathBuf,
    /// Held while it is written or removed; true = this host has left, and nothing is written any more.
    has_left: Mutex<bool>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Content {
    /// What the engine said it is; empty = it never answered.
    pub(super) engine: String,
    /// [`KeptUnit`]s, as an agent of any version wrote them.
    units: Vec<serde_json::Value>,
}

#[derive(Deserialize, Serialize)]
struct KeptUnit {
    spec: serde_json::Value,
    holder: Option<Container>,
    unit: Option<Container>,
    restarts: u32,
}

impl Kept {
    pub(super) fn at(data_dir: &Path) -> Kept {
        Kept { path: data_dir.join(FILE), has_left: Mutex::default() }
    }

    /// Nothing if there is none, or it cannot be read: the engine tells again.
    pub(super) fn load(&self) -> Content {
        let read = std::fs::read(&self.path).and_then(|bytes| serde_json::from_slice(&bytes).map_err(io::Error::other));
        read.unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!("{}: {error}; the engine will tell again", self.path.display());
            }
            Content::default()
        })
    }

    pub(super) fn forget(&self) {
        let mut has_left = self.has_left();
        *has_left = true;
        let _ = std::fs::remove_file(&self.path);
    }

    fn save(&self, content: &[u8]) {
        let has_left = self.has_left();
        // Commands may hold secrets.
        if !*has_left && let Err(error) = durable::write(&self.path, content, 0o600) {
            tracing::warn!("remember the engine's containers in {}: {error}", self.path.display());
        }
    }

    fn has_left(&self) -> MutexGuard<'_, bool> {
        self.has_left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Content {
    pub(super) fn records(self) -> Vec<Record> {
        let record = |kept: serde_json::Value| {
            // The engine tells of one that cannot be read.
            let KeptUnit { spec, holder, unit, restarts } = serde_json::from_value(kept).ok()?;
            Some(Record { holder, unit, restarts, ..Record::new(Arc::new(labels::spec_of(spec)?)) })
        };
        self.units.into_iter().filter_map(record).collect()
    }
}

/// Keeps what is known, for as long as the agent runs.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut changes = shared.table.changes();
    let mut state = shared.engine.state();
    let mut held = Vec::new();
    loop {
        let content = content(&shared);
        if content != held {
            shared.kept.save(&content);
            held = content;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            _ = state.changed() => {}
        }
        tokio::time::sleep(BURST).await;
    }
}

fn content(shared: &Shared) -> Vec<u8> {
    let engine = shared.engine.state().borrow().version.clone();
    let unit = |record: Record| {
        let Record { spec, holder, unit, restarts, .. } = record;
        let spec = serde_json::to_value(labels::remembered(&spec, Role::Unit)).unwrap_or_default();
        serde_json::to_value(KeptUnit { spec, holder, unit, restarts }).unwrap_or_default()
    };
    let units = shared.table.all().into_iter().map(unit).collect();
    serde_json::to_vec(&Content { engine, units }).unwrap_or_default()
}
