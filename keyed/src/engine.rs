//! The seam to whatever keeps the rows on disk.
//!
//! An engine may lose its newest batches (nothing of it is synced for each batch), but only from the
//! end: what it holds is always the whole effect of a prefix of the batches it was given, and it
//! knows up to which offset. Everything else (an error, a panic, a state that does not fit the log)
//! is answered by destroying it and loading it anew.

use std::io;

use bytes::Bytes;
use tidelog_storage::ids::{Offset, PartitionId};

use crate::row::{Change, Row};

/// Why an engine failed. There is one remedy: destroy and load anew.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("key index: {0}")]
    Engine(String),
    #[error("key index holds a row that cannot be read: {0}")]
    Corrupt(&'static str),
    #[error("key index: {0}")]
    Io(#[from] io::Error),
    /// The one error that must not lead to destruction.
    #[error("the key index is in use by another process")]
    Locked,
}

/// Where engines come from: one per partition.
pub trait EngineStore: Send + Sync {
    /// Opens the partition's engine, or makes an empty one that has applied everything below 0.
    fn open(&self, partition: PartitionId) -> Result<Box<dyn KeyEngine>, EngineError>;

    /// Removes the partition's engine; fine if there is none. Handles on it answer errors from now
    /// on, or go on with what they hold.
    fn destroy(&self, partition: PartitionId) -> Result<(), EngineError>;
}

/// The rows of one partition. One writer at a time; any number of readers.
pub trait KeyEngine: Send + Sync {
    /// Applies changes and remembers how far that brings it, all or nothing. Keys are distinct.
    /// `applied` is `None` while rows are being loaded: an engine left so is incomplete.
    fn apply(&self, changes: &[Change], applied: Option<Offset>) -> Result<(), EngineError>;

    /// The present state; later batches do not show in it.
    fn snapshot(&self) -> Result<Box<dyn KeySnapshot>, EngineError>;

    /// Rows, about; overwritten and deleted ones may still count.
    fn approximate_rows(&self) -> u64;
}

/// An iterator over rows in key order.
pub type Rows<'a> = Box<dyn Iterator<Item = Result<(Bytes, Row), EngineError>> + 'a>;

/// An engine at one moment.
pub trait KeySnapshot: Send + Sync {
    /// The rows are the fold of the log below this offset; `None` if a load was interrupted.
    fn applied(&self) -> Result<Option<Offset>, EngineError>;

    /// One answer for each key.
    fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Row>>, EngineError>;

    /// The rows whose keys are `start` or beyond, in the order of their keys' bytes.
    fn rows_from(&self, start: &[u8]) -> Rows<'_>;

    /// All rows, in the same order.
    fn rows(&self) -> Rows<'_> {
        self.rows_from(&[])
    }
}
