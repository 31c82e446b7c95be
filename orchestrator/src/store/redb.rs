//! The embedded store: one redb file, one durable transaction per commit.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use tokio::sync::broadcast;

use super::{Committed, FORMAT, Loaded, Store, StoreError, Write};

const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");
/// `revision` and `format`.
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
/// All state is in memory anyway; redb's own default is 1 GiB.
const CACHE_BYTES: usize = 4 << 20;
/// Commits a slow watcher may be behind before it has to load again.
const WATCH_BACKLOG: usize = 256;

pub struct RedbStore {
    file: Arc<File>,
    commits: broadcast::Sender<Committed>,
}

struct File {
    path: PathBuf,
    slot: Mutex<Slot>,
}

enum Slot {
    Open(Database),
    /// At first, and after an I/O error: redb wants to be opened again then, and the next call does.
    ToOpen,
    Closed,
}

impl RedbStore {
    /// Opens or creates the store at `path`.
    pub fn open(path: &Path) -> Result<RedbStore, StoreError> {
        let file = File { path: path.to_owned(), slot: Mutex::new(Slot::ToOpen) };
        file.with(|_| Ok(()))?;
        Ok(RedbStore { file: Arc::new(file), commits: broadcast::channel(WATCH_BACKLOG).0 })
    }
}

impl Store for RedbStore {
    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>> {
        let file = self.file.clone();
        Box::pin(off_thread(move || file.with(load)))
    }

    fn commit(&self, from: u64, writes: Vec<Write>) -> BoxFuture<'_, Result<u64, StoreError>> {
        let file = self.file.clone();
        Box::pin(async move {
            let (writes, revision) = off_thread(move || {
                let revision = file.with(|database| commit(database, from, &writes))??;
                Ok((writes, revision))
            })
            .await?;
            // Nobody watching is fine.
            let _ = self.commits.send(Committed { revision, writes });
            Ok(revision)
        })
    }

    fn watch(&self) -> broadcast::Receiver<Committed> {
        self.commits.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let file = self.file.clone();
        Box::pin(async move {
            let closed = off_thread(move || {
                *file.slot.lock().unwrap_or_else(PoisonError::into_inner) = Slot::Closed;
                Ok(())
            });
            if let Err(error) = closed.await {
                tracing::error!(%error, "the store was not closed");
            }
        })
    }
}

/// Disk work waits on a thread of its own, never on the ones that serve connections.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let lost = |e: tokio::task::JoinError| StoreError::Io { path: PathBuf::new(), why: e.to_string() };
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}

impl File {
    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let database = match std::mem::replace(&mut *slot, Slot::ToOpen) {
            Slot::Open(database) => database,
            Slot::ToOpen => open(&self.path)?,
            Slot::Closed => {
                *slot = Slot::Closed;
                return Err(StoreError::Closed);
            }
        };
        match work(&database) {
            Ok(value) => {
                *slot = Slot::Open(database);
                Ok(value)
            }
            Err(error) => Err(explain(&self.path, error)),
        }
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let fresh = std::fs::metadata(path).map_or(true, |found| found.len() == 0);
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let opened = if fresh { builder.create(path) } else { builder.open(path) };
    let database = opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(path.into()),
        DatabaseError::UpgradeRequired(_) => damaged(path, "redb file format too old"),
        DatabaseError::Storage(StorageError::Io(io)) if io.kind() == std::io::ErrorKind::InvalidData => {
            damaged(path, io)
        }
        other => explain(path, other.into()),
    })?;
    if fresh {
        initialise(&database).map_err(|error| explain(path, error))?;
    }
    match format(&database) {
        Ok(Some(FORMAT)) => Ok(database),
        Ok(Some(found)) if found > FORMAT => Err(StoreError::Newer { path: path.into(), found }),
        Ok(_) => Err(damaged(path, "it has no format number")),
        Err(redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. }) => {
            Err(damaged(path, "it lacks our tables"))
        }
        Err(error) => Err(explain(path, error)),
    }
}

fn initialise(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(NUMBERS)?.insert("format", FORMAT)?;
    transaction.commit()?;
    Ok(())
}

fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    let read = database.begin_read()?;
    let found = read.open_table(NUMBERS)?.get("format")?.map(|number| number.value());
    Ok(found)
}

fn load(database: &Database) -> Result<Loaded, redb::Error> {
    let read = database.begin_read()?;
    let revision = read.open_table(NUMBERS)?.get("revision")?.map_or(0, |number| number.value());
    let table = read.open_table(RECORDS)?;
    let mut records = Vec::new();
    for entry in table.iter()? {
        let (key, value) = entry?;
        records.push((key.value().to_owned(), value.value().to_owned()));
    }
    Ok(Loaded { revision, records })
}

fn commit(database: &Database, from: u64, writes: &[Write]) -> Result<Result<u64, StoreError>, redb::Error> {
    // redb's default durability is Immediate: commit returns when the data is on disk.
    let transaction = database.begin_write()?;
    {
        let mut numbers = transaction.open_table(NUMBERS)?;
        let held = numbers.get("revision")?.map_or(0, |number| number.value());
        if held != from {
            return Ok(Err(StoreError::Conflict { held, from }));
        }
        numbers.insert("revision", from + 1)?;
        let mut records = transaction.open_table(RECORDS)?;
        for write in writes {
            match write {
                Write::Put(key, value) => drop(records.insert(key.as_str(), value.as_slice())?),
                Write::Delete(key) => drop(records.remove(key.as_str())?),
            }
        }
    }
    transaction.commit()?;
    Ok(Ok(from + 1))
}

fn damaged(path: &Path, why: impl ToString) -> StoreError {
    StoreError::Damaged { path: path.into(), why: why.to_string() }
}

fn explain(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Corrupted(why) => damaged(path, why),
        redb::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull => StoreError::Full(path.into()),
        other => StoreError::Io { path: path.into(), why: other.to_string() },
    }
}
