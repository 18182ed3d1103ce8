//! From rows to the lake: row batches become Parquet files, and files become part of an Iceberg
//! table by commits that move each offset exactly once.
//!
//! ```text
//! RowSource ── pass ──┬─ plan       which offsets go next              pure
//!                     ├─ convert    rows in the shape of the table     pure
//!                     ├─ intake     the source, held to its promises
//!                     ├─ data_file  one Parquet file per commit; of keyed tables per partition
//!                     ├─ dead_letters  records that are no rows, in a table of their own
//!                     ├─ snapshot   manifest, manifest list
//!                     └─ commit ──── port ──── catalog (embedded)  ──── PointerStore
//!                          │                     └─ http (REST for DuckDB, PyIceberg, …)
//!                          └─ mark   how far the lake is, read back from the table
//! retry   dead letters that are rows by now
//! union   snapshot + log bounds → what a reader takes from which        pure
//! keyed   tables with one row per key: net of changes, deletes by position, merged reads
//! maintain  few snapshots, manifests and files, none that nothing names
//! ```
//!
//! **Why each row lands exactly once.** The table itself holds how far it is filled, changed in
//! the same atomic commit as its rows ([`mark`]); a commit is tried only if its ranges start
//! exactly there, and the catalog swaps only if nothing has changed since ([`commit`]). Files are
//! durable before a commit names them ([`files`]), metadata before the catalog points at it
//! ([`catalog`]).
//!
//! Invariants: no broker, no Kafka wire, no clock or randomness but [`Env`].

pub mod catalog;
pub mod commit;
mod convert;
mod data_file;
mod dead_letters;
mod env;
pub mod files;
mod intake;
pub mod keyed;
pub mod maintain;
pub mod mark;
pub mod names;
mod opening;
mod parquet_file;
mod pass;
pub mod plan;
pub mod port;
mod retry;
pub mod rows;
pub mod schema;
mod snapshot;
mod table;
pub mod union;

pub use convert::ConvertError;
pub use env::{Env, SystemEnv};
pub use mark::{OffsetRange, Suspension, TierMark, TopicIdentity};
pub use pass::{PassError, PassLimits, PassReport, TierState, Tierer};
pub use plan::LogBounds;
pub use port::{CommitPort, CommitRequest, LoadedTable, PortError};
pub use retry::{Redecoder, Retry, RetryReport};
pub use rows::{ReadRange, RowBatch, RowSource, SourceError};
pub use schema::ValueLayout;
