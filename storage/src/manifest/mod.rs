//! What each partition consists of: a chain of versions, kept as records of one log.
//!
//! A [`PartitionManifest`] names everything of a partition that is durable outside the WAL. It
//! changes by a [`ManifestEdit`], which makes the next version; the named checks of `invariants`
//! run before every write and after every read. Readers trust manifests, never listings: data
//! first, manifest second, delete last.
//!
//! Locally the versions of all partitions are records of one group-committed [`ManifestLog`]:
//!
//! ```text
//! append(records) ─▶ checked, applied, written ─▶ sync ─▶ durable, may be published
//!                                         roll ─▶ a new file that opens with the whole state
//! ```
//!
//! The bytes are described in `docs/formats/manifest-log.md`.

pub(crate) mod codec;
mod frame;
mod invariants;
mod log;
mod producer;
mod record;
mod recover;
mod state;
#[cfg(test)]
mod tests;

pub use invariants::Violation;
pub use log::{AppendError, DIRECTORY, ManifestLog, OpenError, RollError, SyncError};
pub use producer::{AbortedTransaction, OpenTransaction, ProducerBatch, ProducerState};
pub use record::Record;
pub use recover::{Recovered, TornTail};
pub use state::{ManifestEdit, PartitionManifest};
