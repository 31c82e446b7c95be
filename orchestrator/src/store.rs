//! Where the fleet's state lives: records by key, one revision for all of them.
//!
//! A commit names the revision it was made from and is refused when the store has moved on: several orchestrators
//! on one store, or a commit whose outcome was unknown, never overwrite each other. An acknowledged commit is on
//! disk. [`redb`] is the embedded store; one suite (`tests/store.rs`) holds for every store.

pub mod redb;

use std::path::PathBuf;

use futures::future::BoxFuture;
use tokio::sync::broadcast;

/// Version of keys and values; a store of a newer one is refused, an older one migrated on opening.
pub const FORMAT: u64 = 1;

/// What every store can do.
pub trait Store: Send + Sync + 'static {
    /// All records and the revision they are of.
    fn load(&self) -> BoxFuture<'_, Result<Loaded, StoreError>>;
    /// Writes all of `writes` or nothing, durably, if the store is at revision `from`; answers the new revision,
    /// which is `from + 1`.
    fn commit(&self, from: u64, writes: Vec<Write>) -> BoxFuture<'_, Result<u64, StoreError>>;
    /// Every commit from now on, in order; a receiver that lags loads again.
    fn watch(&self) -> broadcast::Receiver<Committed>;
    /// Lets go of the store, whoever still holds a reference: what comes later is refused, another may open it.
    fn close(&self) -> BoxFuture<'_, ()>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    Put(String, Vec<u8>),
    Delete(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    pub revision: u64,
    /// Sorted by key.
    pub records: Vec<(String, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub revision: u64,
    pub writes: Vec<Write>,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store is at revision {held}, the change was made from {from}: read again and repeat it")]
    Conflict { held: u64, from: u64 },
    #[error("{}: another process has this store open: is a `remuda server` running on this data directory?", .0.display())]
    InUse(PathBuf),
    #[error("{}: written by a newer version (format {found}, this is {FORMAT}): start that version, or restore a backup", path.display())]
    Newer { path: PathBuf, found: u64 },
    #[error("{}: is not a store of ours or is damaged ({why}): restore it from a backup, or move it away to start an empty fleet", path.display())]
    Damaged { path: PathBuf, why: String },
    #[error("the server is stopping")]
    Closed,
    #[error("{}: no space left on the device: free some; nothing was changed", .0.display())]
    Full(PathBuf),
    #[error("{}: {why}", path.display())]
    Io { path: PathBuf, why: String },
    #[error("record `{key}` cannot be read: {why}: restore the store from a backup")]
    Record { key: String, why: String },
}
