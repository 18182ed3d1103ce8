//! Tidelog's storage: one write-ahead log, a tail, immutable Arrow files, and the manifests that
//! name them.
//!
//! ```text
//! Append ─▶ engine ─▶ appender ─▶ wal ─────────▶ (synced) ─▶ answered, high watermark moves
//!                        │ tail runs                │
//!                        ▼                          ▼ janitor: flush
//!            partition ◀─ read plans ◀─────── segments + manifest ─▶ retention, merging, removal
//! ```
//!
//! Invariants that always hold:
//! - An offset, once acknowledged with [`Ack::Durable`] in [`FlushMode::Sync`], survives a power cut.
//! - Offsets of a partition are given densely, and never twice; compaction leaves gaps.
//! - Readers never see what a power cut could take back: everything served lies below the high
//!   watermark.
//! - Data is durable before a manifest names it; a manifest stops naming it before it is removed.
//! - No clock, no randomness, no Kafka error code, no async runtime: time and ids are arguments, and
//!   the [`Disk`](disk::Disk) is a seam.
//!
//! Blocking on purpose; whoever calls chooses the thread.

pub mod checkpoint;
pub mod compaction;
pub mod directory;
pub mod disk;
pub mod ids;
pub mod manifest;
pub mod partition;
pub mod rows;
pub mod segment;
pub mod sink;

mod aborted;
mod appender;
mod ballast;
mod engine;
mod epochs;
mod flush;
mod janitor;
mod producers;
mod recovery;
mod request;
mod retention;
mod store;
mod wal;

pub use appender::{
    Ack, Append, AppendError, AppendSink, Appended, Appender, GroupOutcome, Written,
};
pub use compaction::{CompactionOptions, CompactionSettings};
pub use engine::{Engine, Installed, Persisted};
pub use janitor::{ChoreError, InstallError, Janitor, Reopened};
pub use partition::{
    AbortedRanges, Committed, LogSettings, Marks, OpenTransactions, Partition, ProducerView,
    ReadEnd, ReadError, ReadPlan, Standing, Watch, WatchId,
};
pub use producers::{
    MarkerRule, SequenceError, Terms, TransactionError, Verification, VerificationGuard,
};
pub use recovery::{OpenError, Opened, Report, open};
pub use request::{EndTransaction, ImportError, Origin, Refusal, Request, marker_batch};
pub use segment::arrow_schema_message;
pub use store::{FlushMode, FreshId, Options, Store};
pub use wal::{WalOptions, WalSyncer};
