//! From a checkpoint into an engine.

use tidelog_storage::disk::Disk;

use super::{CheckpointMeta, CheckpointReader, ReadError};
use crate::engine::{EngineError, KeyEngine};

/// Why a checkpoint could not be loaded. The engine is incomplete then, and says so.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Checkpoint(#[from] ReadError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Puts all rows into an empty engine, a block at a time, which then reflects what the checkpoint
/// reflects.
pub fn load(
    disk: &dyn Disk,
    checkpoint: &CheckpointMeta,
    engine: &dyn KeyEngine,
) -> Result<(), LoadError> {
    let mut reader = CheckpointReader::open(disk, checkpoint)?;
    while let Some(rows) = reader.next_block()? {
        engine.apply(&rows, None)?;
    }
    Ok(engine.apply(&[], Some(checkpoint.reflects))?)
}
