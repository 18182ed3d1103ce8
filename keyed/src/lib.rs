//! Keyed topics: one partition's log folded into a table, the newest row of each key.
//!
//! ```text
//! log ─▶ fold ─▶ overlay ─(flush, only below the stable end)─▶ engine (index/, may be lost)
//!                   │                                            │
//!                   └───────────▶ lookup ◀───────────────────────┤ snapshot
//!                                                                ▼
//! restore ◀──────────── checkpoints/<file id>.arrow (durable, named by the manifest)
//! ```
//!
//! Unless told otherwise, full-row last-row semantics: the key is the record's key, byte for byte; a
//! row is the record's value with its offset and timestamp; a null value deletes. [`merge`] has the
//! other engines, [`changelog`] what a table says of its changes, [`scan`] what reads it in order.
//!
//! Promises:
//! - The table is the fold of the log in offset order. A lookup says the offset it reflects, shows
//!   everything below it and nothing at or above it.
//! - Nothing beyond the stable end is ever answered, flushed or checkpointed.
//! - The engine is a cache. Checkpoint + log is the truth: the index may vanish, be torn or stem
//!   from another life of the log, and the table is made anew.
//! - Memory is bounded: the overlay by its budget plus what is in flight, loading and checkpoints by
//!   one batch.
//!
//! No clock, no randomness, no Kafka error code, no async runtime. Blocking on purpose; whoever
//! calls chooses the thread.

mod admit;
pub mod changelog;
pub mod checkpoint;
pub mod engine;
mod fjall_engine;
mod fold;
pub mod key_order;
pub mod merge;
mod open;
mod overlay;
pub mod partitioner;
mod row;
pub mod scan;
mod table;

pub use admit::{Refused, RefusedBecause, admit};
pub use engine::{EngineError, EngineStore, KeyEngine, KeySnapshot};
pub use fjall_engine::{FjallOptions, FjallStore, INDEX_DIRECTORY};
pub use fold::{COLUMNS_HEADER, Chunk, FoldError};
pub use open::{Home, OpenError, Opened, Start, Unfit, open};
pub use partitioner::{Rule, RuleSet, WrongBucket};
pub use row::{Change, KEY_BYTES_MAX, KeyError, Row, check_key};
pub use table::{
    CatchUpError, ChangelogError, ChangelogPart, CheckError, FlushStep, Folded, KeyedTable, Lookup,
    Page, TableOptions, TableView,
};
