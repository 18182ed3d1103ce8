//! Opens a table: on the engine it left, or on a new one loaded from a checkpoint.
//!
//! ```text
//! engine opens, whole, log start ≤ applied ≤ log end ── yes ─▶ go on with it
//!        │ no: destroy it
//!        ▼
//! newest checkpoint with log start ≤ reflects ≤ log end ─▶ load ── corrupt ─▶ the older one
//!        │ none                                                                  │ none
//!        ▼                                                                       ▼
//! log start = 0: an empty engine, all of the log is replayed; else the table is lost
//! ```
//! Either way the table then catches up with the log.

use std::fmt;
use std::sync::Arc;

use tidelog_storage::disk::Disk;
use tidelog_storage::ids::{Offset, PartitionId};
use tidelog_storage::segment::FileId;

use crate::checkpoint::{self, CheckpointMeta, LoadError};
use crate::engine::{EngineError, EngineStore, KeyEngine};
use crate::table::{KeyedTable, TableOptions};

/// Everything that a table comes from.
pub struct Home<'a> {
    pub partition: PartitionId,
    pub engines: &'a dyn EngineStore,
    pub disk: &'a Arc<dyn Disk>,
    /// As the partition's manifest names them.
    pub checkpoints: &'a [CheckpointMeta],
    /// What the recovered log holds: its start, and its durable end.
    pub log_start: Offset,
    pub log_end: Offset,
}

/// A table, not yet caught up with its log.
pub struct Opened {
    pub table: KeyedTable,
    pub start: Start,
    /// Checkpoints found unreadable. The manifest should name them no longer: they are nothing to
    /// fall back on, and would let retention go too far.
    pub unreadable: Vec<FileId>,
}

/// How a table came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The engine was good.
    Resumed,
    /// The engine was made anew, from a checkpoint or, without one, from the log alone.
    Rebuilt {
        why: Unfit,
        checkpoint: Option<FileId>,
    },
}

/// Why an engine could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It did not open, or cannot be read.
    Failed(String),
    /// A load was interrupted.
    Incomplete,
    /// New, while there is a checkpoint to load.
    Empty,
    /// The log no longer holds what it lacks.
    BehindLog { applied: Offset, log_start: Offset },
    /// It holds what the log does not: a power cut took that back. Other records will get these
    /// offsets.
    AheadOfLog { applied: Offset, log_end: Offset },
}

/// Why a table cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(
        "the key table of {partition} is lost: its log starts at {log_start}, and no checkpoint \
         leads there{}",
        List(faults)
    )]
    Lost {
        partition: PartitionId,
        log_start: Offset,
        /// What was wrong with each checkpoint that should have.
        faults: Vec<String>,
    },
}

struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "; {line}"))
    }
}

/// Opens or restores the table, in memory bounded by one block of a checkpoint. Takes as long as
/// loading the checkpoint does, where the engine is gone.
///
/// # Errors
/// [`OpenError::Engine`] if not even a new engine can be made, or another process holds it;
/// [`OpenError::Lost`] if the log does not begin at 0 and no checkpoint can be read.
pub fn open(home: &Home<'_>, options: TableOptions) -> Result<Opened, OpenError> {
    let table = |engine, applied| KeyedTable::new(home.partition, engine, applied, options);
    match resume(home)? {
        Ok((engine, applied)) => Ok(Opened {
            table: table(engine, applied),
            start: Start::Resumed,
            unreadable: Vec::new(),
        }),
        Err(why) => {
            tracing::info!(partition = %home.partition, ?why, "key index is made anew");
            let rebuilt = rebuild(home)?;
            let checkpoint = rebuilt.checkpoint;
            let applied = checkpoint.map_or(0, |checkpoint| checkpoint.reflects);
            let checkpoint = checkpoint.map(|checkpoint| checkpoint.file);
            Ok(Opened {
                table: table(rebuilt.engine, applied),
                start: Start::Rebuilt { why, checkpoint },
                unreadable: rebuilt.unreadable,
            })
        }
    }
}

type Resumed = Result<(Box<dyn KeyEngine>, Offset), Unfit>;

fn resume(home: &Home<'_>) -> Result<Resumed, EngineError> {
    let opened = home.engines.open(home.partition).and_then(|engine| {
        let applied = engine.snapshot()?.applied()?;
        Ok((engine, applied))
    });
    match opened {
        Err(EngineError::Locked) => Err(EngineError::Locked),
        Err(error) => Ok(Err(Unfit::Failed(error.to_string()))),
        Ok((engine, applied)) => Ok(judge(home, applied).map(|applied| (engine, applied))),
    }
}

/// Whether an engine that has applied so much fits the log.
fn judge(home: &Home<'_>, applied: Option<Offset>) -> Result<Offset, Unfit> {
    let (log_start, log_end) = (home.log_start, home.log_end);
    match applied {
        None => Err(Unfit::Incomplete),
        Some(applied) if applied > log_end => Err(Unfit::AheadOfLog { applied, log_end }),
        Some(applied) if applied < log_start => Err(Unfit::BehindLog { applied, log_start }),
        Some(0) if !checkpoint::usable(home.checkpoints, log_start, log_end).is_empty() => {
            Err(Unfit::Empty)
        }
        Some(applied) => Ok(applied),
    }
}

struct Rebuilt<'a> {
    engine: Box<dyn KeyEngine>,
    checkpoint: Option<&'a CheckpointMeta>,
    unreadable: Vec<FileId>,
}

fn rebuild<'a>(home: &Home<'a>) -> Result<Rebuilt<'a>, OpenError> {
    let (mut unreadable, mut faults) = (Vec::new(), Vec::new());
    for checkpoint in checkpoint::usable(home.checkpoints, home.log_start, home.log_end) {
        let engine = fresh(home)?;
        match checkpoint::load(&**home.disk, checkpoint, &*engine) {
            Ok(()) => {
                return Ok(Rebuilt {
                    engine,
                    checkpoint: Some(checkpoint),
                    unreadable,
                });
            }
            Err(LoadError::Engine(error)) => return Err(error.into()),
            Err(LoadError::Checkpoint(error)) => {
                tracing::warn!(partition = %home.partition, %error, "checkpoint passed over");
                faults.push(error.to_string());
                unreadable.push(checkpoint.file);
            }
        }
    }
    if home.log_start > 0 {
        return Err(OpenError::Lost {
            partition: home.partition,
            log_start: home.log_start,
            faults,
        });
    }
    Ok(Rebuilt {
        engine: fresh(home)?,
        checkpoint: None,
        unreadable,
    })
}

fn fresh(home: &Home<'_>) -> Result<Box<dyn KeyEngine>, EngineError> {
    home.engines.destroy(home.partition)?;
    home.engines.open(home.partition)
}
